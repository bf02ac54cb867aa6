"""The stories that tonight's students are trained on, one after the other: of all of them together
memory holds the ids alone.
"""

from collections.abc import Callable, Iterable, Iterator

from flows.corpus import CorpusStory, each_accepted_story, refused_across
from flows.night import Tonight


def training_ids(tonight: Tonight) -> set[str]:
    """The doc_ids of what students are trained on: each accepted text of all units, less every text
    that is held out (nights that overlapped did not see each other's texts), or that nearly repeats
    an older one which is.
    """
    ids, held_out = set[str](), set[str]()
    for story in _each(tonight):
        (held_out if story.is_held_out else ids).add(story.doc_id)
    return ids - held_out


def each_training_story(tonight: Tonight, doc_ids: Iterable[str]) -> Iterator[CorpusStory]:
    """The stories with these ids, each once: oldest unit first, and in a unit shard by shard, as
    their targets lie in the lake.
    """
    left = set(doc_ids)
    for story in _each(tonight):
        if story.doc_id in left:
            left.remove(story.doc_id)
            yield story


def story_finder(stories: Iterator[CorpusStory]) -> Callable[[str], CorpusStory]:
    """Finds each of the stories once, by its doc_id. Memory holds those that came before one that
    was asked for and were not yet asked for themselves: one shard's, where stories are asked for in
    about the order in which they come.
    """
    waiting: dict[str, CorpusStory] = {}

    def find(doc_id: str) -> CorpusStory:
        while doc_id not in waiting:
            story = next(stories)
            waiting[story.doc_id] = story
        return waiting.pop(doc_id)

    return find


def _each(tonight: Tonight) -> Iterator[CorpusStory]:
    refused = refused_across(tonight)
    for unit in tonight.units:
        for story in each_accepted_story(tonight, unit):
            if story.story_id not in refused:
                yield story
