"""A story told by a line's champion."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.instruct import FEATURES, SENTENCE, SUMMARY, WORDS, Ask
from datagen.vocabulary import Vocabulary, load_vocabulary
from flows.constraints import cached_automaton, tokenizer_facts
from flows.contexts import asking
from flows.errors import FlowsError
from flows.students import load_checked_student
from flows.vocabulary_shape import VocabularyShape
from warehouse.lake import Lake

if TYPE_CHECKING:
    from distill.tokens import TokenSpace

# Cooler than 1: a student of few stories strays early.
TEMPERATURE = 0.7
TOP_K = 40
MAX_NEW_TOKENS = 200
# The option of `stillhouse tell` for each line.
_OPTIONS = {
    WORDS: "--words",
    FEATURES: "--feature",
    SENTENCE: "--sentence",
    SUMMARY: "--summary",
}


def tell(data: Path, line: str, ask: Ask, seed: int, vocabulary: str | None = None) -> str:
    """A story by the line's champion, which is asked for that in the form that it was trained on;
    with a vocabulary, of its words and signs alone, and the words asked for are drawn in.

    FlowsError if there is no champion, or it was trained on no line that asks for such things.
    """
    from distill.prefix import instruct_lines_of
    from distill.sample import Sampling, sample_stories

    kept_to = load_vocabulary(vocabulary, needs=()) if vocabulary else None
    required = forms_asked_for(ask.words, kept_to) if kept_to else ()
    with Lake.open(data) as lake:
        student = lake.manifest.champion(line)
        if student is None:
            lines = sorted({night.line for night in lake.manifest.nights()})
            raise FlowsError(
                f"line {line}: expected a champion, found none; run a night of it first, or name "
                f"another line with --line (this lake has {', '.join(lines) or 'none'})"
            )
        model, space = load_checked_student(lake, student)
    known = instruct_lines_of(model.config)
    check_can_follow(line, known, ask)
    shape = _shape(space, kept_to, required) if kept_to else None
    sampling = Sampling(temperature=TEMPERATURE, max_new_tokens=MAX_NEW_TOKENS, top_k=TOP_K)
    (told,) = sample_stories(
        model, space, [asking(known, ask)], seed=seed, sampling=sampling, shape=shape
    )
    return told.text.strip()


def check_can_follow(line: str, lines: Sequence[str] | None, ask: Ask) -> None:
    """Pass if the line's champion, trained on those lines of the instruct form or on the line of
    its words for None, has seen each thing asked for; FlowsError names the options that it knows.
    """
    known = (WORDS,) if lines is None else lines
    strange = [
        option for name, option in _OPTIONS.items() if name in ask.lines and name not in known
    ]
    if not strange:
        return
    expected = ", ".join(option for name, option in _OPTIONS.items() if name in known) or "nothing"
    advice = "ask for less"
    if lines is None:
        advice += ', or train students with train.context = "instruct"'
    raise FlowsError(
        f"line {line}: expected what its champion was trained to follow ({expected}), found "
        f"{', '.join(strange)}; {advice}"
    )


def forms_asked_for(words: Sequence[str], vocabulary: Vocabulary) -> tuple[frozenset[str], ...]:
    """For each word the forms that count as it; FlowsError if one is not in the vocabulary."""
    found = []
    for word in words:
        forms = frozenset[str]().union(
            *(
                (form.lower() for form in known.forms)
                for known in vocabulary.words
                if known.lemma.lower() == word.lower()
            )
        )
        if not forms and word.lower() in vocabulary.forms:
            forms = frozenset([word.lower()])
        if not forms:
            raise FlowsError(
                f"--words: expected words of the vocabulary {vocabulary.name}, found {word!r}; "
                "ask for another word, or leave out --vocabulary"
            )
        found.append(forms)
    return tuple(found)


def _shape(
    space: "TokenSpace", vocabulary: Vocabulary, required: Sequence[frozenset[str]]
) -> VocabularyShape:
    facts = tokenizer_facts(space.tokenizer_json, (space.end_id,))
    return VocabularyShape(
        cached_automaton(vocabulary, facts),
        facts,
        required,
        encode=space.encode,
        max_new_tokens=MAX_NEW_TOKENS,
    )
