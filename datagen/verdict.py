"""Whether a story is accepted, and the first reason if not.

The checks are pure and run in the order of REASONS. The patterns were tried on 1,800 real
TinyStories: odd_characters and assistant_talk each hit one of them (a dollar sign, "Here is one
possible story"), sentence loops four.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datagen.config import VerdictConfig
from datagen.measures import required_hits, unknown_words, words_of
from datagen.plan import PromptSpec
from datagen.vocabulary import Vocabulary

REASONS = (
    "empty",  # no word at all
    "odd_characters",  # a sign outside _STORY_CHARACTERS, or a line like a list item
    "assistant_talk",  # speaks about the task or the story, not in it
    "too_short",  # fewer words than min_words
    "too_long",  # more words than max_words
    "unfinished",  # cut off, or does not end like a sentence
    "repetition",  # a loop of four-word sequences or of a sentence
    "missing_words",  # not all three required words
    "unknown_words",  # too many words outside the vocabulary
    "duplicate",  # an earlier story of the shard has the same text: judged there, not here
)

NUM_REQUIRED_WORDS = 3
# A refrain may stand twice; a loop goes on. Short sentences ("Yes!", "No, no!") may recur freely.
_MAX_SAME_SENTENCE = 2
_MIN_SENTENCE_WORDS = 4

# Letters (some with accents: names), digits, plain and curly punctuation, spaces, line ends.
_STORY_CHARACTERS = re.compile(
    r"[A-Za-z0-9\u00e9\u00e8\u00ea\u00eb\u00ef\u00f1"
    r" \n.,!?;:'\"()\-\u2013\u2014\u2018\u2019\u201c\u201d\u2026]*"
)
_LIST_ITEM = re.compile(r"^[ ]*(?:[-\u2013\u2014]|\d+[.)]) ", re.MULTILINE)
_END_OF_STORY = re.compile(r"[.!?]['\"\u2019\u201d]?$")
_SENTENCE_END = re.compile(r"[.!?\n]+")

_A_STORY = r"(?:short |simple |little )*(?:story|tale)\b"
_OF_THE_STORY = (
    r"(?:uses|includes|contains|aims|follows|was written|is (?:about|for|suitable|written|meant))\b"
)
_I_HOPE = (
    r"i hope (?:this|that|you)\b[^.!?\n]*\b(?:story|tale|helps|helpful|requirements|request)\b"
)
_TALK_AT_START = (
    r"(?:sure|certainly|absolutely|of course|okay|great|yes)\b[^.!?\n]{0,20}[,!.:\s]+"
    r"(?:here\b|i(?:'ll|'d| will| can| would)\b|let me\b)",
    r"here(?:'s| is| are)\b[^.!?\n]{0,80}"
    r"\b(?:story|stories|tale|paragraphs?|version|example|draft)\b",
    r"(?:as|i'm|i am) an? (?:ai|language model|assistant)\b",
    r"i(?:'m| am) sorry,? (?:but )?i (?:can't|cannot|can not|am)\b",
    r"i (?:cannot|can't|can|will|would) (?:write|create|help|tell)\b",
    r"(?:story|prompt|answer|instructions?|paragraph \d|chapter \w+) ?:",
    r"(?:this is|the following is) (?:a |an |the )?" + _A_STORY,
    r"(?:write|tell) (?:a|the) " + _A_STORY,
)
_TALK_AT_LINE_START = (
    r"(?:note|title|word count|words used|user|assistant|system) ?:",
    r"let me know if\b",
    r"(?:please )?feel free to\b",
    r"(?:would|do) you (?:like|want) me to\b",
    r"in this " + _A_STORY,
    r"(?:this|the) (?:short |simple )*story " + _OF_THE_STORY,
    _I_HOPE,
)
_TALK_IN_LAST_SENTENCE = (
    r"let me know if\b",
    r"this (?:short |simple )*story " + _OF_THE_STORY,
    _I_HOPE,
)
# Words of the task, not of a story for small children.
_TALK_ANYWHERE = (
    r"\b(?:as an ai|language model|for an? (?:3|three)-year-old|verbs?|nouns?|adjectives?)\b"
)

# No pattern starts with a quote: what someone in the story says is part of it.
_ASSISTANT_TALK = re.compile(
    rf"\A(?:{'|'.join(_TALK_AT_START)})"
    rf"|^(?:{'|'.join(_TALK_AT_LINE_START)})"
    rf"|[.!?]\s+(?:{'|'.join(_TALK_IN_LAST_SENTENCE)})[^.!?\"\u201d]*[.!?]?\Z"
    rf"|{_TALK_ANYWHERE}",
    re.IGNORECASE | re.MULTILINE,
)


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
    """The first of REASONS that the story fails (never "duplicate"), or None: accepted.

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


def is_assistant_talk(text: str) -> bool:
    """Whether the text speaks as an assistant, about the task or the story.

    Looked for at its start, at the start of a line and in its last sentence, so that what people in
    a story say is not hit; words of grammar and "as an AI" count anywhere.
    """
    return bool(_ASSISTANT_TALK.search(text.replace("\u2019", "'")))


def has_odd_characters(text: str) -> bool:
    """Whether the text holds markup, tabs, emoji, mojibake or other odd signs, or a list item."""
    return not _STORY_CHARACTERS.fullmatch(text) or bool(_LIST_ITEM.search(text))


def _unknown_share(story: _Story) -> float:
    return len(unknown_words(story.words, story.vocabulary)) / len(story.words)


_CHECKS: dict[str, Callable[[_Story], bool]] = {
    "empty": lambda s: not s.words,
    "odd_characters": lambda s: has_odd_characters(s.text),
    "assistant_talk": lambda s: is_assistant_talk(s.text),
    "too_short": lambda s: len(s.words) < s.config.min_words,
    "too_long": lambda s: len(s.words) > s.config.max_words,
    "unfinished": lambda s: not s.is_finished or not _END_OF_STORY.search(s.text),
    "repetition": lambda s: (
        repeated_share(s.words) > s.config.max_repeated_share or has_sentence_loop(s.text)
    ),
    "missing_words": lambda s: required_hits(s.words, s.spec, s.vocabulary) < NUM_REQUIRED_WORDS,
    "unknown_words": lambda s: _unknown_share(s) > s.config.max_unknown_share,
}
