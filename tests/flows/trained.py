"""What a night's students are trained on, in one list: the lakes of tests are small."""

from flows.corpus import CorpusStory
from flows.night import Tonight
from flows.trained_stories import each_training_story, training_ids


def training_stories(tonight: Tonight) -> list[CorpusStory]:
    """The stories in the order in which students could read them."""
    return list(each_training_story(tonight, training_ids(tonight)))
