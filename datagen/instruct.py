"""A text with what was asked of it in front, as in TinyStories-Instruct (arXiv 2305.07759): a
random subset, in random order, of lines that name its words, its features, a sentence of it and a
summary. A student trained on such documents learns to follow each line, alone and with others.

Which lines stand there follows from a key (a document's id), so it does not move when other
documents come or go.
"""

import re
from collections.abc import Sequence

from datagen.families import WordSlot
from datagen.plan import Plan, PromptSpec
from datagen.prompts import summary
from datagen.shuffle import key_from, shuffle

# A sentence with its sign, and the quote behind it.
_SENTENCE = re.compile(r"[^\s.!?][^.!?\n]*[.!?]+[\"'\u2019\u201d]?")
_TEXT_BEGINS = "Text:"


def instruct_context(plan: Plan, spec: PromptSpec, text: str, key: str) -> str:
    """One to four of the lines Words, Features, Sentence and Summary, in the key's order, and the
    line after which the text begins; each line ends with a newline.

    A line that there is nothing to say in is never chosen; without any, only the last one is left.
    """
    lines = instruct_lines(plan, spec, text, key)
    root = key_from(b"instruct", key.encode())
    chosen = _subset(lines, root)
    return "".join(f"{line}\n" for line in (*chosen, _TEXT_BEGINS))


def instruct_lines(plan: Plan, spec: PromptSpec, text: str, key: str) -> tuple[str, ...]:
    """All lines that could stand before the text.

    Features are the values of all slots but the words. The sentence is the one that was required,
    or one of the text's own.
    """
    words = ", ".join(spec.words)
    features = ", ".join(
        value
        for name, slot in plan.family.slots.items()
        if not isinstance(slot, WordSlot)
        for value in spec.values[name]
    )
    told = {
        "Words": words,
        "Features": features,
        "Sentence": spec.sentence or _own_sentence(text, key),
        "Summary": summary(plan, spec) or "",
    }
    return tuple(f"{name}: {' '.join(said.split())}" for name, said in told.items() if said)


def _own_sentence(text: str, key: str) -> str:
    sentences = _SENTENCE.findall(text)
    if not sentences:
        return ""
    place = shuffle(0, len(sentences), key_from(b"instruct sentence", key.encode()))
    return str(sentences[place])


def _subset(lines: Sequence[str], key: bytes) -> list[str]:
    """A subset that is not empty, each equally likely, in an order, each equally likely."""
    if not lines:
        return []
    members = 1 + shuffle(0, 2 ** len(lines) - 1, key_from(key, b"subset"))
    chosen = [line for place, line in enumerate(lines) if members >> place & 1]
    return sorted(chosen, key=lambda line: key_from(key, b"order", line.encode()))
