"""Specs as the plan makes them for the family `story`, for tests that name the words themselves."""

from datagen.plan import PromptSpec, RequiredWord
from datagen.vocabulary import PartOfSpeech


def story_spec(verb: str, noun: str, adjective: str, *features: str) -> PromptSpec:
    """A story that must hold the three words."""
    return PromptSpec(
        plan_index=0,
        family="story",
        values={"verb": (verb,), "noun": (noun,), "adjective": (adjective,), "features": features},
        required=(
            RequiredWord(verb, PartOfSpeech.VERB),
            RequiredWord(noun, PartOfSpeech.NOUN),
            RequiredWord(adjective, PartOfSpeech.ADJECTIVE),
        ),
        sentence=None,
    )
