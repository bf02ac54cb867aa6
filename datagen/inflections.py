"""Proposes the forms of English words whose line in a vocabulary file names none.

lemminflect's dictionary knows some 50,000 lemmas and their irregular forms. For a word that it does
not know we spell the regular forms; lemminflect's own guess is not asked, as its rules come in a
pickle. Guesses are English: for another language, and wherever a proposal is wrong, the forms in
the file decide. About 0.4 s on first use; nothing is loaded where every line has its forms.
"""

import re
import unicodedata
from functools import lru_cache
from importlib import import_module
from typing import Protocol

from datagen.errors import VocabularyError
from datagen.word_rules import is_word
from datagen.words import PartOfSpeech

INFLECTED = {
    PartOfSpeech.VERB: "VERB",
    PartOfSpeech.NOUN: "NOUN",
    PartOfSpeech.ADJECTIVE: "ADJ",
    PartOfSpeech.ADVERB: "ADV",
}
_TAGS = ("VBZ", "VBD", "VBN", "VBG", "NNS", "JJR", "JJS", "RBR", "RBS")
_SIBILANT = re.compile(r".*(?:s|x|z|ch|sh)")
_CONSONANT_Y = re.compile(r".*[^aeiou]y")
_DOUBLING = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")  # one short syllable: hop, not help or play


class _Dictionary(Protocol):
    def getAllInflections(self, lemma: str, upos: str) -> dict[str, tuple[str, ...]]:
        """The forms by Penn tag; empty for an unknown lemma."""


def proposed_forms(lemma: str, part_of_speech: PartOfSpeech) -> tuple[str, ...]:
    """The lemma, then its inflected forms; only verbs, nouns, adjectives and adverbs have any.

    None that a file could not hold, and behind other letters than Latin ones no English ending.
    VocabularyError if lemminflect is not installed.
    """
    if part_of_speech not in INFLECTED:
        return (lemma,)
    known = _dictionary().getAllInflections(lemma, upos=INFLECTED[part_of_speech])
    forms = [form for tag in _TAGS for form in known.get(tag, ())]
    inflected = forms if known else _regular(lemma, part_of_speech)
    kept = (form for form in inflected if is_word(form, part_of_speech))
    return tuple(dict.fromkeys([lemma, *kept]))


@lru_cache(maxsize=1)
def _dictionary() -> _Dictionary:
    try:
        dictionary: _Dictionary = import_module("lemminflect")
    except ImportError as exc:
        raise VocabularyError(
            "expected the package lemminflect, which proposes forms where a vocabulary file names "
            "none, found it not installed; install it, or fill the column forms"
        ) from exc
    return dictionary


def _regular(lemma: str, part_of_speech: PartOfSpeech) -> list[str]:
    if not unicodedata.name(lemma[-1], "").startswith("LATIN"):
        return []
    if part_of_speech is PartOfSpeech.NOUN:
        return [_with_s(lemma)]
    if part_of_speech is PartOfSpeech.VERB:
        return [_with_s(lemma), _with_ed(lemma), _with_ing(lemma)]
    return []  # "more fun", not "funner": degrees of unknown words are rarely right


def _with_s(lemma: str) -> str:
    if _SIBILANT.fullmatch(lemma):
        return lemma + "es"
    return lemma[:-1] + "ies" if _CONSONANT_Y.fullmatch(lemma) else lemma + "s"


def _with_ed(lemma: str) -> str:
    if lemma.endswith("e"):
        return lemma + "d"
    if _CONSONANT_Y.fullmatch(lemma):
        return lemma[:-1] + "ied"
    return _doubled(lemma) + "ed"


def _with_ing(lemma: str) -> str:
    if lemma.endswith("e") and not lemma.endswith(("ee", "oe", "ye")):
        return lemma[:-1] + "ing"
    return _doubled(lemma) + "ing"


def _doubled(lemma: str) -> str:
    return lemma + lemma[-1] if _DOUBLING.fullmatch(lemma) else lemma
