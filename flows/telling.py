"""A story told by a line's champion."""

from collections.abc import Sequence
from pathlib import Path

from flows.errors import FlowsError
from flows.students import load_checked_student
from warehouse.lake import Lake

# Cooler than 1: a student of few stories strays early.
TEMPERATURE = 0.7
TOP_K = 40
MAX_NEW_TOKENS = 200


def tell(data: Path, line: str, words: Sequence[str] | None, seed: int) -> str:
    """A story by the line's champion that is asked to use the words, or any story for None."""
    from distill.sample import Sampling, sample_stories

    with Lake.open(data) as lake:
        student = lake.manifest.champion(line)
        if student is None:
            lines = sorted({night.line for night in lake.manifest.nights()})
            raise FlowsError(
                f"line {line}: expected a champion, found none; run a night of it first, or name "
                f"another line with --line (this lake has {', '.join(lines) or 'none'})"
            )
        model, space = load_checked_student(lake, student)
    sampling = Sampling(temperature=TEMPERATURE, max_new_tokens=MAX_NEW_TOKENS, top_k=TOP_K)
    return sample_stories(model, space, [words], seed=seed, sampling=sampling)[0].text.strip()
