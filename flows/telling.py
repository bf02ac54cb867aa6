"""A story told by a line's champion."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.vocabulary import Vocabulary, load_vocabulary
from flows.constraints import cached_automaton, tokenizer_facts
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


def tell(
    data: Path, line: str, words: Sequence[str] | None, seed: int, vocabulary: str | None = None
) -> str:
    """A story by the line's champion that is asked to use the words, or any story for None; with a
    vocabulary, of its words and signs alone, and the words asked for are drawn in.
    """
    from distill.sample import Sampling, sample_stories

    kept_to = load_vocabulary(vocabulary, needs=()) if vocabulary else None
    required = forms_asked_for(words or (), kept_to) if kept_to else ()
    with Lake.open(data) as lake:
        student = lake.manifest.champion(line)
        if student is None:
            lines = sorted({night.line for night in lake.manifest.nights()})
            raise FlowsError(
                f"line {line}: expected a champion, found none; run a night of it first, or name "
                f"another line with --line (this lake has {', '.join(lines) or 'none'})"
            )
        model, space = load_checked_student(lake, student)
    shape = _shape(space, kept_to, required) if kept_to else None
    sampling = Sampling(temperature=TEMPERATURE, max_new_tokens=MAX_NEW_TOKENS, top_k=TOP_K)
    (told,) = sample_stories(model, space, [words], seed=seed, sampling=sampling, shape=shape)
    return told.text.strip()


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
