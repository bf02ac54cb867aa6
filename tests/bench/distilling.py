"""What each stored form of the teacher's law makes of a student, and what distilling is worth.

Usage: python tests/bench/distilling.py STORIES.jsonl TEACHER NOTES.jsonl [NUM_TOKENS] [PART ...]

STORIES.jsonl holds real stories, a {"text": ...} a line; TEACHER is a folder of a small model.
Parts (all if none is named): `forms` at equal steps and one rate; `tuned` with rate and alpha
chosen for each of three forms on a set of documents that no figure is of; `worth`, the same with a
half and a quarter of the text. Students are kept in NOTES.jsonl.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from tests.bench.distilling_students import FORMS, Corpus, Figures, Notebook, Way

SEEDS = (0, 1, 2)
RATE, RATES, ALPHAS = 6e-3, (3e-3, 6e-3, 1.2e-2), (0.5, 0.9)
SHARES = (0.25, 0.5, 1.0)
TUNED = ("cross entropy", "sampled, R = 50", "dense")
HEAD = "text, nats per token | against the teacher | bits per byte | ECE | top-1 as the teacher"


def forms(note: Notebook, num_tokens: int) -> Iterator[str]:
    """Every form at alpha 1 and one rate; against the teacher also beside dense, seed by seed."""
    yield f"| targets | {HEAD} | against the teacher, dense = 0 |"
    yield "|---" * 7 + "|"
    dense = [figures.teacher_nats for figures in _of_seeds(note, _first("dense", num_tokens))]
    for form in FORMS:
        way = _first(form, num_tokens)
        nats = [figures.teacher_nats for figures in _of_seeds(note, way)]
        beside = [100 * (own / base - 1) for own, base in zip(nats, dense, strict=True)]
        cell = f"{fmean(beside):+.2f} % ({min(beside):+.2f} to {max(beside):+.2f})"
        yield f"{_row(form, note, way)} {cell} |"


def tuned(note: Notebook, num_tokens: int) -> Iterator[str]:
    """Rate and alpha of each form chosen on other documents, by text nats, with one seed."""
    yield f"| targets | alpha | rate | {HEAD} |"
    yield "|---" * 8 + "|"
    for form in TUNED:
        way = chosen(note, form, num_tokens)
        yield _row(f"{form} | {way.alpha} | {way.rate:g}", note, way)


def worth(note: Notebook, num_tokens: int) -> Iterator[str]:
    """Fewer training documents, equal steps."""
    yield f"| targets | share of the text | {HEAD} |"
    yield "|---" * 7 + "|"
    for form in TUNED[:2]:
        way = chosen(note, form, num_tokens)
        for share in SHARES:
            yield _row(f"{form} | {share:g}", note, replace(way, share=share))


def chosen(note: Notebook, form: str, num_tokens: int) -> Way:
    """The best rate at the form's first alpha, then the best alpha at that rate."""
    first = _first(form, num_tokens)

    def nats(way: Way) -> float:
        return note(way)["chosen"].text_nats

    best = min((replace(first, rate=rate) for rate in RATES), key=nats)
    if not first.alpha:
        return best
    return min((best, *(replace(best, alpha=alpha) for alpha in ALPHAS)), key=nats)


def _first(form: str, num_tokens: int) -> Way:
    return Way(form, 0.0 if form == "cross entropy" else 1.0, RATE, num_tokens, SEEDS[0])


def _row(name: str, note: Notebook, way: Way) -> str:
    return f"| {name} | {' | '.join(_cells(_of_seeds(note, way)))} |"


def _of_seeds(note: Notebook, way: Way) -> list[Figures]:
    return [note(replace(way, seed=seed))["held_out"] for seed in SEEDS]


def _cells(of_seeds: Sequence[Figures]) -> Iterator[str]:
    """Mean of the seeds, lowest and highest."""
    for name in Figures.__slots__:
        values = [getattr(item, name) for item in of_seeds]
        yield f"{fmean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


PARTS = {"forms": forms, "tuned": tuned, "worth": worth}


if __name__ == "__main__":
    paths, more = [Path(argument) for argument in sys.argv[1:4]], sys.argv[4:]
    num = int(more[0]) if more and more[0].isdigit() else 680_000
    notebook = Notebook(Corpus(paths[0], paths[1]), paths[2])
    for part in [name for name in more if name in PARTS] or PARTS:
        print(f"\n{part}\n", flush=True)
        for line in PARTS[part](notebook, num):
            print(line, flush=True)
