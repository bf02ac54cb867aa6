"""Whether a story is accepted, and the first reason if not.

The checks are pure and run in the order of REASONS, the dearest last. The patterns were tried on
1,800 real TinyStories: odd_characters and assistant_talk each hit one of them (a dollar sign, "Here
is one possible story"), sentence loops four, refusal none. tests/bench/results/quality.md has the
rates of every check, on them and on a teacher's stories.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from datagen.config import VerdictConfig
from datagen.measures import required_hits, unknown_words, words_of
from datagen.plan import PromptSpec
from datagen.quality import (
    blocked_phrase,
    holds_sentence,
    is_refusal,
    lints_per_100_words,
    reading_grade,
)
from datagen.vocabulary import Vocabulary

REASONS = (
    "empty",  # no word at all
    "odd_characters",  # a sign of neither _STORY_CHARACTERS nor the vocabulary, or a list item
    "refusal",  # says that it cannot or will not do the task
    "assistant_talk",  # speaks about the task or the story, not in it
    "blocked",  # holds a word or phrase of the recipe's list
    "too_short",  # fewer words than min_words
    "too_long",  # more words than max_words
    "unfinished",  # cut off, or does not end like a sentence
    "repetition",  # a loop of four-word sequences or of a sentence
    "missing_words",  # not all required words
    "missing_sentence",  # not the sentence that was to be used
    "unknown_words",  # too many words outside the vocabulary
    "hard_to_read",  # a Flesch-Kincaid grade above max_grade
    "grammar",  # more faults than max_lints_per_100_words
    "duplicate",  # an older story has the same text: judged by the shard and by the later pass
    "near_duplicate",  # an older story is nearly the same: judged by the later pass
)
LATER_REASONS = ("duplicate", "near_duplicate")

# A refrain may stand twice; a loop goes on. Short sentences ("Yes!", "No, no!") may recur freely.
_MAX_SAME_SENTENCE = 2
_MIN_SENTENCE_WORDS = 4

# Beside the vocabulary's own: letters (some with accents: names), digits, plain and curly
# punctuation, spaces, line ends.
_STORY_CHARACTERS = (
    r"A-Za-z0-9\u00e9\u00e8\u00ea\u00eb\u00ef\u00f1"
    r" \n.,!?;:'\"()\-\u2013\u2014\u2018\u2019\u201c\u201d\u2026"
)
_LIST_ITEM = re.compile(r"^[ ]*(?:[-\u2013\u2014]|\d+[.)]) ", re.MULTILINE)
_END_OF_STORY = re.compile(r"[.!?]['\"\u2019\u201d\u00bb)]?$")
_SENTENCE_END = re.compile(r"[.!?\n]+")

_A_STORY = r"(?:short |simple |little )*(?:story|tale)\b"
_OF_THE_STORY = (
    r"(?:uses|includes|contains|aims|follows|was written|is (?:about|for|suitable|written|meant))\b"
)
# Told from outside, as "The story begins with a small child": in the present tense, since somebody
# in a story may have read one that "was about a dog".
_TALK_AT_SENTENCE_START = (
    r"(?:this|the) (?:very |short |simple |little )*(?:story|tale) "
    r"(?:begins|starts|opens|ends|concludes|continues|goes on|takes place|tells|must|should|is)\b",
    r"in (?:this|the) (?:short |simple )*story\b",
)
_I_HOPE = (
    r"i hope (?:this|that|you)\b[^.!?\n]*\b(?:story|tale|helps|helpful|requirements|request)\b"
)
_TALK_AT_START = (
    r"here(?:'s| is| are)\b[^.!?\n]{0,80}"
    r"\b(?:story|stories|tale|paragraphs?|version|example|draft)\b",
    r"(?:as|i'm|i am) an? (?:ai|language model|assistant)\b",
    r"(?:story|prompt|answer|instructions?|paragraph \d|chapter \w+) ?:",
    r"(?:this is|the following is) (?:a |an |the )?" + _A_STORY,
    r"(?:write|tell) (?:a|the) " + _A_STORY,
)
_TALK_AT_LINE_START = (
    r"(?:note|title|word count|words used|user|assistant|system|(?:step|sentence) \d+) ?:",
    r"(?:this|the) (?:short |simple )*story " + _OF_THE_STORY,
)
_TALK_IN_LAST_SENTENCE = (r"this (?:short |simple )*story " + _OF_THE_STORY,)
# What a text that speaks to its reader may say as well.
_ADDRESS_AT_START = (
    r"(?:sure|certainly|absolutely|of course|okay|great|yes)\b[^.!?\n]{0,20}[,!.:\s]+"
    r"(?:here\b|i(?:'ll|'d| will| can| would)\b|let me\b)",
    r"i(?:'m| am) sorry,? (?:but )?i (?:can't|cannot|can not|am)\b",
    r"i (?:cannot|can't|can|will|would) (?:write|create|help|tell)\b",
)
_ADDRESS_AT_LINE_START = (
    r"let me know if\b",
    r"(?:please )?feel free to\b",
    r"(?:would|do) you (?:like|want) me to\b",
    _I_HOPE,
)
_ADDRESS_IN_LAST_SENTENCE = (r"let me know if\b", _I_HOPE)
# Words of the task, not of a story for small children.
_TALK_ANYWHERE = (
    r"\b(?:as an ai|language model|for an? (?:3|three)-year-old|verbs?|nouns?|adjectives?"
    r"|(?:this|the) story uses)\b"
)


# No pattern starts with a quote: what someone in the story says is part of it.
def _talk(
    at_start: Sequence[str], at_line_start: Sequence[str], in_last_sentence: Sequence[str]
) -> re.Pattern[str]:
    return re.compile(
        rf"\A(?:{'|'.join(at_start)})"
        rf"|^(?:{'|'.join(at_line_start)})"
        rf"|(?:^|[.!?:]\s+)(?:{'|'.join(_TALK_AT_SENTENCE_START)})"
        rf"|[.!?]\s+(?:{'|'.join(in_last_sentence)})[^.!?\"\u201d]*[.!?]?\Z"
        rf"|{_TALK_ANYWHERE}",
        re.IGNORECASE | re.MULTILINE,
    )


_ASSISTANT_TALK = _talk(
    (*_TALK_AT_START, *_ADDRESS_AT_START),
    (*_TALK_AT_LINE_START, *_ADDRESS_AT_LINE_START),
    (*_TALK_IN_LAST_SENTENCE, *_ADDRESS_IN_LAST_SENTENCE),
)
_TALK_OF_THE_TASK = _talk(_TALK_AT_START, _TALK_AT_LINE_START, _TALK_IN_LAST_SENTENCE)


@dataclass(frozen=True, slots=True)
class _Story:
    text: str
    words: Sequence[str]
    is_finished: bool
    spec: PromptSpec
    vocabulary: Vocabulary
    config: VerdictConfig


def judge(
    text: str,
    *,
    is_finished: bool,
    spec: PromptSpec,
    vocabulary: Vocabulary,
    config: VerdictConfig,
) -> str | None:
    """The first of REASONS that the story fails (never one of LATER_REASONS), or None: accepted.

    `is_finished` says that the teacher wrote its end symbol. White space around the text is not
    judged.
    """
    stripped = text.strip()
    story = _Story(stripped, words_of(stripped), is_finished, spec, vocabulary, config)
    return next((reason for reason, fails in _CHECKS.items() if fails(story)), None)


def repeated_share(words: Sequence[str]) -> float:
    """The share of a text's four-word sequences that occurred before in it; near 1 for a loop."""
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def has_sentence_loop(text: str) -> bool:
    """Whether a sentence of four words or more stands three times or more."""
    sentences = (tuple(words_of(part)) for part in _SENTENCE_END.split(text))
    counts = Counter(words for words in sentences if len(words) >= _MIN_SENTENCE_WORDS)
    return max(counts.values(), default=0) > _MAX_SAME_SENTENCE


def is_assistant_talk(text: str, *, addresses_reader: bool = False) -> bool:
    """Whether the text speaks as an assistant, about the task or the story.

    Looked for at its start, at the start of a line and in its last sentence, so that what people in
    a story say is not hit; words of grammar and "as an AI" count anywhere. A text that addresses
    its reader may offer help.
    """
    talk = _TALK_OF_THE_TASK if addresses_reader else _ASSISTANT_TALK
    return bool(talk.search(text.replace("\u2019", "'")))


def has_odd_characters(text: str, extra: str = "") -> bool:
    """Whether the text holds markup, tabs, emoji, mojibake or other odd signs, or a list item;
    `extra`: signs that are let through.
    """
    return not _allowed(extra).fullmatch(text) or bool(_LIST_ITEM.search(text))


@cache
def _allowed(extra: str) -> re.Pattern[str]:
    return re.compile(f"[{_STORY_CHARACTERS}{re.escape(extra)}]*")


def _unknown_share(story: _Story) -> float:
    return len(unknown_words(story.words, story.vocabulary)) / len(story.words)


def _is_beyond(limit: float | None, measure: Callable[[str], float], text: str) -> bool:
    """Whether a check is on and the text fails it: what is off is not measured."""
    return limit is not None and measure(text) > limit


_CHECKS: dict[str, Callable[[_Story], bool]] = {
    "empty": lambda s: not s.words,
    "odd_characters": lambda s: has_odd_characters(
        s.text, s.config.extra_characters + s.vocabulary.characters
    ),
    "refusal": lambda s: is_refusal(s.text, addresses_reader=s.config.addresses_reader),
    "assistant_talk": lambda s: is_assistant_talk(
        s.text, addresses_reader=s.config.addresses_reader
    ),
    "blocked": lambda s: blocked_phrase(s.words, s.config.blocked) is not None,
    "too_short": lambda s: len(s.words) < s.config.min_words,
    "too_long": lambda s: len(s.words) > s.config.max_words,
    "unfinished": lambda s: not s.is_finished or not _END_OF_STORY.search(s.text),
    "repetition": lambda s: (
        repeated_share(s.words) > s.config.max_repeated_share or has_sentence_loop(s.text)
    ),
    "missing_words": lambda s: required_hits(s.words, s.spec, s.vocabulary) < len(s.spec.required),
    "missing_sentence": lambda s: (
        s.spec.sentence is not None and not holds_sentence(s.text, s.spec.sentence)
    ),
    "unknown_words": lambda s: _unknown_share(s) > s.config.max_unknown_share,
    "hard_to_read": lambda s: _is_beyond(s.config.max_grade, reading_grade, s.text),
    "grammar": lambda s: _is_beyond(
        s.config.max_lints_per_100_words,
        lambda text: lints_per_100_words(text, s.config.lint_kinds),
        s.text,
    ),
}
assert (*_CHECKS, *LATER_REASONS) == REASONS
