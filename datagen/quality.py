"""What a text can be told to be: hard to read, refusing, ungrammatical, with a phrase or a sentence
in it.

Pure functions of the text; the thresholds stand in the recipe, the order of the verdicts in
verdict.py. tests/bench/results/quality.md has the rates on real stories and on a teacher's.
"""

import re
import threading
import unicodedata
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from datagen.errors import DatagenError
from datagen.measures import words_of

# Each run of marks is looked at once, from its beginning: from each mark on, a text of dots alone
# would take the square of its length.
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++(?=[\s\"'\u2019\u201d)]|$)|\n+")
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT_END = re.compile(r"(?:[^aeiouyl]e|[aeiouy]le|[^aeiouydt]ed|[^aeiouycgsxz]es)$")
_QUOTES = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"'}
)
_CANNOT = (
    r"(?:can(?:no|')t|can not|won't|will not|am (?:unable|not able) to|'m (?:unable|not able) to|"
    r"am not allowed to|'m not allowed to)"
)
_TASK_VERBS = r"write|create|generate|produce|compose|fulfil+|comply"
_HELP_VERBS = r"provide|assist|continue|complete|engage|help (?:you )?with|do that|answer"


# At the start of the text or of a line, and never behind a quote: people in stories refuse things
# too.
def _refusal(verbs: str) -> re.Pattern[str]:
    return re.compile(
        rf"^(?:(?:i(?:'m| am) sorry|sorry|unfortunately|i apologi[sz]e)\b[^.!?\n]{{0,20}}?[,.:!]? ?"
        rf"(?:but )?)?i ?{_CANNOT} (?:\w+ ){{0,2}}?(?:{verbs})\b"
        r"|^(?:i(?:'m| am) sorry,? (?:but )?)?as an? (?:ai|language model|(?:\w+ )?assistant)\b"
        r"|^i must (?:decline|refuse)\b"
        r"|^(?:this|your) (?:request|prompt) (?:violates|goes against|cannot|can't)\b",
        re.IGNORECASE | re.MULTILINE,
    )


_REFUSAL = _refusal(f"{_TASK_VERBS}|{_HELP_VERBS}")
_REFUSAL_OF_THE_TASK = _refusal(_TASK_VERBS)


def reading_grade(text: str) -> float:
    """The Flesch-Kincaid grade, in US school years: 0.39 words/sentences + 11.8 syllables/words -
    15.59 (Kincaid and others 1975); 0 for a text without a word.

    Syllables are counted by the spelling: syllables_of.
    """
    words = words_of(text)
    if not words:
        return 0.0
    sentences = sum(1 for part in _SENTENCE_END.split(text) if words_of(part))
    syllables = sum(map(syllables_of, words))
    return 0.39 * len(words) / sentences + 11.8 * syllables / len(words) - 15.59


@lru_cache(131_072)
def syllables_of(word: str) -> int:
    """Groups of vowels, less a silent ending; 1 at least. Of common words some 5 % are off by
    one.
    """
    groups = len(_VOWELS.findall(word))
    return max(groups - (groups > 1 and bool(_SILENT_END.search(word))), 1)


def is_refusal(text: str, *, addresses_reader: bool = False) -> bool:
    """Whether the teacher refuses the task, at the text's start or at a line's. A text that
    addresses its reader may say that it cannot help, but not that it cannot be written.
    """
    refusal = _REFUSAL_OF_THE_TASK if addresses_reader else _REFUSAL
    return bool(refusal.search(text.translate(_QUOTES)))


def holds_sentence(text: str, sentence: str) -> bool:
    """Whether the sentence stands in the text, as whole words; white space and the kind of quotes
    do not count, case and punctuation do.
    """
    pattern = rf"(?<!\w){re.escape(_plain(sentence))}(?!\w)"
    return re.search(pattern, _plain(text)) is not None


def blocked_phrase(words: Sequence[str], phrases: Collection[str]) -> str | None:
    """The first phrase of the list whose words stand in the text one after another, or None.

    `words` as measures.words_of has them, and so the phrases are read: case, punctuation and white
    space do not count, and "ass" is not in "class".
    """
    text = f" {' '.join(words)} "
    return next((phrase for phrase in phrases if f" {_spaced(phrase)} " in text), None)


def lints_per_100_words(text: str, kinds: Collection[str]) -> float:
    """How many faults of these kinds Harper finds, for 100 words; DatagenError without the extra
    `grammar`. 40 to 60 CPU-ms for a story.
    """
    num_words = len(words_of(text))
    faults = sum(1 for lint in _linter().lint(text) if lint.lint_kind in kinds)
    return 100 * faults / num_words if num_words else 0.0


def check_grammar_is_there() -> None:
    """Pass if Harper is installed; DatagenError otherwise, before a night has begun."""
    _linter()


_LOCAL = threading.local()  # a Linter must not be called by two threads at once


def _linter() -> Any:
    if not hasattr(_LOCAL, "linter"):
        try:
            from harper import Linter
        except ImportError as exc:
            raise DatagenError(
                "verdicts.max_lints_per_100_words: expected the package harper-py, found none; "
                "install stillhouse[grammar], or leave the key out"
            ) from exc
        _LOCAL.linter = Linter()
    return _LOCAL.linter


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).translate(_QUOTES).split())


@lru_cache(131_072)
def _spaced(phrase: str) -> str:
    return " ".join(words_of(phrase))
