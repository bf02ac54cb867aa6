"""What a vocabulary is made of: words, each with its part of speech."""

from dataclasses import dataclass
from enum import StrEnum


class PartOfSpeech(StrEnum):
    """What a word is. Prompts ask for some of these; an "other" is allowed and never asked for."""

    VERB = "verb"
    NOUN = "noun"
    ADJECTIVE = "adjective"
    ADVERB = "adverb"
    AUXILIARY = "auxiliary"
    CONJUNCTION = "conjunction"
    DETERMINER = "determiner"
    INTERJECTION = "interjection"
    NAME = "name"
    NUMBER = "number"
    OTHER = "other"
    PREPOSITION = "preposition"
    PRONOUN = "pronoun"
    PUNCTUATION = "punctuation"
    QUESTION = "question"


@dataclass(frozen=True, slots=True)
class Word:
    """A lemma as one part of speech and all its forms, spelled as in the file ("Tom", "I").

    `weight`, 1 to 100: how often prompts ask for it beside the others of its part of speech.
    """

    lemma: str
    part_of_speech: PartOfSpeech
    forms: tuple[str, ...]
    weight: int = 1
    topic: str | None = None
