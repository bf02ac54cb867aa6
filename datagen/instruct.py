"""A text with what was asked of it in front, as in TinyStories-Instruct (arXiv 2305.07759): a
random subset, in random order, of lines that name its words, its features, a sentence of it and a
summary. A student trained on such documents learns to follow each line, alone and with others.

Which lines stand there follows from a key (a document's id), so it does not move when other
documents come or go.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datagen.errors import DatagenError
from datagen.families import Family, WordSlot
from datagen.shuffle import key_from, shuffle
from datagen.vocabulary import Vocabulary

WORDS, FEATURES, SENTENCE, SUMMARY = "Words", "Features", "Sentence", "Summary"
# A longer one would take the room of the text itself; an imported document may be one sentence.
MAX_OWN_SENTENCE_CHARS = 200
# A sentence with its sign, and the quote behind it.
_SENTENCE = re.compile(r"[^\s.!?][^.!?\n]*[.!?]+[\"'\u2019\u201d]?")
_TEXT_BEGINS = "Text:"


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a text; what is empty is not asked. sentence: it must stand in the text."""

    words: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    sentence: str | None = None
    summary: str | None = None

    @property
    def lines(self) -> dict[str, str]:
        """What each line of the instruct form says, by its name, without those that say nothing."""
        told = {
            WORDS: ", ".join(self.words),
            FEATURES: ", ".join(self.features),
            SENTENCE: self.sentence or "",
            SUMMARY: self.summary or "",
        }
        return {name: " ".join(said.split()) for name, said in told.items() if said}


def ask_of(
    family: Family,
    values: Mapping[str, tuple[str, ...]],
    sentence: str | None,
    vocabulary: Vocabulary | None,
) -> Ask:
    """What a prompt of the family asks for, from what its slots hold: the required words, as
    features the values of all slots that hold no word, and the family's summary.

    vocabulary: the one that knows the slots' words; without it there is no summary.
    """
    word_slots = {name: s for name, s in family.slots.items() if isinstance(s, WordSlot)}
    summary = None
    if family.summary is not None and vocabulary is not None:
        shown = family.template_values(values, sentence, vocabulary)
        summary = family.told("summary", shown)
    return Ask(
        words=tuple(values[name][0] for name, slot in word_slots.items() if slot.required),
        features=tuple(
            value for name in family.slots if name not in word_slots for value in values[name]
        ),
        sentence=sentence,
        summary=summary,
    )


def instruct_context(ask: Ask, text: str, key: str) -> str | None:
    """One to four of the lines Words, Features, Sentence and Summary, in the key's order, and the
    line after which the text begins; each line ends with a newline. None if there is nothing to say
    in any.
    """
    lines = instruct_lines(ask, text, key)
    return _context(_subset(lines, key_from(b"instruct", key.encode()))) if lines else None


def instruct_lines(ask: Ask, text: str, key: str) -> tuple[str, ...]:
    """All lines that could stand before the text. The sentence is the one that was required, or one
    of the text's own that is not too long.
    """
    told = Ask(ask.words, ask.features, ask.sentence or _own_sentence(text, key), ask.summary)
    return tuple(f"{name}: {said}" for name, said in told.lines.items())


def asking_context(ask: Ask) -> str | None:
    """The lines that ask for all of it, and the one after which the text begins; None if nothing is
    asked. DatagenError for an empty item, or one that would read as two.
    """
    for name, items in (
        (WORDS, ask.words),
        (FEATURES, ask.features),
        (SENTENCE, (ask.sentence,)),
        (SUMMARY, (ask.summary,)),
    ):
        for item in items:
            _check_item(name, item)
    lines = [f"{name}: {said}" for name, said in ask.lines.items()]
    return _context(lines) if lines else None


def line_names(context: str) -> tuple[str, ...]:
    """The names of a context's lines in their order, without its last one."""
    return tuple(line.partition(":")[0] for line in context.splitlines()[:-1])


def _check_item(name: str, item: str | None) -> None:
    if item is None:
        return
    is_word = name == WORDS
    if item.strip() and item.isprintable() and not (is_word and "," in item):
        return
    if not item.strip():
        raise DatagenError(f"line {name}: expected something to ask for, found {item!a:.60}")
    expected = "words without a comma" if is_word else "printable text"
    raise DatagenError(
        f"line {name}: expected {expected} on one line, found {item!a:.60}; "
        f"{'give each word as an item of its own' if is_word else 'leave it out or mend it'}"
    )


def _context(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in (*lines, _TEXT_BEGINS))


def _own_sentence(text: str, key: str) -> str | None:
    sentences = [found for found in _SENTENCE.findall(text) if len(found) <= MAX_OWN_SENTENCE_CHARS]
    if not sentences:
        return None
    place = shuffle(0, len(sentences), key_from(b"instruct sentence", key.encode()))
    return str(sentences[place])


def _subset(lines: Sequence[str], key: bytes) -> list[str]:
    """A subset that is not empty, each equally likely, in an order, each equally likely."""
    members = 1 + shuffle(0, 2 ** len(lines) - 1, key_from(key, b"subset"))
    chosen = [line for place, line in enumerate(lines) if members >> place & 1]
    return sorted(chosen, key=lambda line: key_from(key, b"order", line.encode()))
