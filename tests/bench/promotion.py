"""How often the promotion rule follows noise, and how often it sees a student that is better.

Usage: python tests/bench/promotion.py STORIES.jsonl TEACHER CACHE.npz [NUM_NIGHTS]

STORIES.jsonl holds real stories, a {"text": ...} a line; TEACHER is a folder of a small model. The
students are trained on the first run (promotion_students.py) and kept in CACHE.npz. A night draws
its selection and confirmation documents, with replacement, from the students' held-out documents,
so the true difference of two students is the one on all of them. Where a true difference is named,
the challenger's nats are shifted by one number per byte until it is exactly that; what makes
documents hard for one student and not for the other stays as it was measured. `decide` itself
decides, with 1,000 resamples in place of 10,000: the first table says what that changes.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from distill.promote import Contest, PairedScores
from distill.promote_config import PromoteConfig
from tests.bench.promotion_nights import (
    Floats,
    contest,
    decided,
    draws,
    largest_margin,
    some_pair,
    wilson,
)
from tests.bench.promotion_students import BASE, BETTER, Students, students_at

SIZES = (100, 200, 500)
MARGINS = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.027)
GAINS = (0.01, 0.02, 0.05)
SLIGHT = 0.0025  # a gain that half of the nights see: where the number of resamples would show
GRID = np.arange(0, 0.0501, 0.0005)
MOST_PROMOTED = 0.05
LINE_NIGHTS, LINE_DOCUMENTS, FIRST_DOCUMENTS, NUM_LINES = 100, 5, 50, 8


def resamples_table(students: Students, num_nights: int) -> Iterator[str]:
    """Whether fewer resamples or the trick of `largest_margin` change a decision."""
    base = students.of(BASE).tolist()
    same = trick = more = fewer = 0
    for night, (rng, drawn) in enumerate(draws(students, num_nights, 200, 1)):
        pair = some_pair(rng, base, base)
        found = contest(students, pair, drawn, -SLIGHT * students.figure(pair[1]))
        few, many = decided(found, 0.0, night), decided(found, 0.0, night, 10_000)
        same += few.promoted == many.promoted
        more, fewer = more + many.promoted, fewer + few.promoted
        margin = float(rng.uniform(0, 2 * SLIGHT))
        at_margin = decided(found, margin, night).promoted
        trick += at_margin == (largest_margin(found, night) > margin)
    yield "| nights | same decision | promoted, 10,000 | promoted, 1,000 | margins by threshold |"
    yield "|---|---|---|---|---|"
    counts = f"{same} | {more} | {fewer} | {trick} the same"
    yield f"| {num_nights} of 200 documents, {SLIGHT:.2%} better | {counts} |"


def null_table(students: Students, num_nights: int, margin: float) -> Iterator[str]:
    """Nothing to find: no true difference at margin 0, one of exactly the margin at it. Each night
    draws how many selection documents it has.
    """
    base = students.of(BASE).tolist()
    bounds = np.linspace(50, 500, 4).astype(int)
    sizes = np.random.default_rng(2).integers(bounds[0], bounds[-1] + 1, size=num_nights)
    hits = np.zeros((2, num_nights), bool)
    for night, size in enumerate(sizes.tolist()):
        [(rng, drawn)] = draws(students, 1, size, 20_000 + night)
        pair = some_pair(rng, base, base)
        for place, share in enumerate((0.0, margin)):
            found = contest(students, pair, drawn, -share * students.figure(pair[1]))
            hits[place, night] = decided(found, share, night).promoted
    yield (
        f"| selection documents | nights | margin 0, no difference | margin {margin:.2%}, exactly "
        "that |"
    )
    yield "|---|---|---|---|"
    for low, high in [*pairwise(bounds), (bounds[0], bounds[-1])]:
        here = (sizes >= low) & (sizes <= high)
        cells = " | ".join(wilson(int(row[here].sum()), int(here.sum())) for row in hits)
        yield f"| {low} to {high} | {here.sum()} | {cells} |"


def seed_margins(students: Students, nights_per_pair: int, size: int) -> Floats:
    """float64[S, S, K]: the largest margin at which each night of each pair of seeds promotes."""
    base = students.of(BASE)
    found = np.full((len(base), len(base), nights_per_pair), -np.inf)
    pairs = [(a, b) for a in range(len(base)) for b in range(len(base)) if a != b]
    for number, (a, b) in enumerate(pairs):
        nights = draws(students, nights_per_pair, size, 1000 + number)
        for night, (_, drawn) in enumerate(nights):
            pair = (int(base[a]), int(base[b]))
            found[a, b, night] = largest_margin(contest(students, pair, drawn, None), night)
    return found


def rates(margins_SSK: Floats, shares: Sequence[float], weights_S: Floats) -> Floats:
    """The share promoted at each margin, where seed i counts weights_S[i] times and no seed meets
    itself.
    """
    weights_SS = np.outer(weights_S, weights_S)
    np.fill_diagonal(weights_SS, 0)
    promoted = np.array([(margins_SSK > share).mean(axis=2) for share in shares])
    found: Floats = (promoted * weights_SS).sum(axis=(1, 2)) / weights_SS.sum()
    return found


def seed_spread(margins_SSK: Floats, num_resamples: int = 2_000) -> Floats:
    """float64[R, G]: rates over GRID when the seeds themselves are drawn anew."""
    num_seeds = len(margins_SSK)
    rng = np.random.default_rng(5)
    drawn = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_resamples)
    return np.array([rates(margins_SSK, GRID.tolist(), weights.astype(float)) for weights in drawn])


def smallest_margins(rates_RG: Floats) -> Floats:
    """For each row the smallest margin of GRID from which at most MOST_PROMOTED are promoted."""
    found: Floats = GRID[(rates_RG <= MOST_PROMOTED).argmax(axis=1)]
    return found


def seeds_table(by_size: dict[int, Floats]) -> Iterator[str]:
    """Pairs of seeds of one recipe: the share promoted by margin, 95 % intervals over seeds."""
    yield "| margin | " + " | ".join(f"{size} documents" for size in by_size) + " |"
    yield "|---|" + "---|" * len(by_size)
    spreads = {size: seed_spread(found) for size, found in by_size.items()}
    for share in MARGINS:
        place = int(np.argmin(abs(GRID - share)))
        cells = []
        for size, found in by_size.items():
            rate = rates(found, [share], np.ones(len(found)))[0]
            low, high = np.percentile(spreads[size][:, place], [2.5, 97.5])
            cells.append(f"{rate:.1%} ({low:.1%} to {high:.1%})")
        yield f"| {share:.2%} | " + " | ".join(cells) + " |"
    cells = []
    for size, found in by_size.items():
        ones = np.ones(len(found))
        margin = smallest_margins(rates(found, GRID.tolist(), ones)[None])[0]
        low, high = np.percentile(smallest_margins(spreads[size]), [2.5, 97.5])
        cells.append(f"{margin:.2%} ({low:.2%} to {high:.2%})")
    yield "| smallest with at most 5 % | " + " | ".join(cells) + " |"


def power_table(students: Students, num_nights: int, margins: Sequence[float]) -> Iterator[str]:
    """Students that are better by exactly 1, 2 and 5 %: the share promoted."""
    base = students.of(BASE).tolist()
    longer = [student for group in BETTER for student in students.of(group).tolist()]
    head = " | ".join(f"{size} documents" for size in SIZES)
    yield f"| truly better by | challengers | margin | {head} |"
    yield "|---|---|---|" + "---|" * len(SIZES)
    for who, challengers in (("other seeds", base), ("trained longer", longer)):
        found = [_gain_margins(students, num_nights, size, challengers, base) for size in SIZES]
        for place, gain in enumerate(GAINS):
            for margin in margins:
                cells = " | ".join(f"{np.mean(each[place] > margin):.0%}" for each in found)
                yield f"| {gain:.0%} | {who} | {margin:.2%} | {cells} |"


def _gain_margins(
    students: Students,
    num_nights: int,
    size: int,
    challengers: Sequence[int],
    champions: Sequence[int],
) -> Floats:
    """float64[G, N]: the largest margin at which a night promotes, for each gain.

    A shift of so many bits per byte moves every resample by just that, so one decision is enough
    for all gains; every twentieth night checks it.
    """
    found = np.zeros((len(GAINS), num_nights))
    for night, (rng, drawn) in enumerate(draws(students, num_nights, size, 3)):
        pair = some_pair(rng, challengers, champions)
        equal = contest(students, pair, drawn, 0.0)
        least = largest_margin(equal, night)
        assert equal.selection is not None
        scale = students.figure(pair[1]) / equal.selection.other_bits_per_byte
        found[:, night] = [least + gain * scale for gain in GAINS]
        if night % 20 == 0:
            better = contest(students, pair, drawn, -GAINS[0] * students.figure(pair[1]))
            assert abs(largest_margin(better, night) - found[0, night]) < 1e-9
    return found


def real_gains(students: Students) -> Iterator[str]:
    """What the students really reach, and how far seeds of one recipe are apart."""
    base = np.array([students.figure(student) for student in students.of(BASE)])
    yield "| recipe | students | bits per byte, mean | sd between seeds | better by |"
    yield "|---|---|---|---|---|"
    for group in (BASE, *BETTER):
        figures = np.array([students.figure(student) for student in students.of(group)])
        sd = figures.std(ddof=1) / figures.mean()
        gain = 1 - figures.mean() / base.mean()
        yield f"| {group} | {len(figures)} | {figures.mean():.4f} | {sd:.2%} | {gain:.2%} |"


def drift_table(students: Students, margins: Sequence[float]) -> Iterator[str]:
    """Lines of 100 nights whose challengers are all of the champion's recipe."""
    yield (
        "| margin | promotions in 100 nights | true figure after 100 nights, against the recipe's "
        "mean | lines that ended worse than they began | promoted though truly worse |"
    )
    yield "|---|---|---|---|---|"
    for margin in margins:
        lines = [_line(students, margin, seed) for seed in range(NUM_LINES)]
        promotions, worse, first, last = (np.array(column) for column in zip(*lines, strict=True))
        low, high = np.percentile(last, [2.5, 97.5])
        yield (
            f"| {margin:.2%} | {promotions.mean():.1f} | {last.mean():+.2%} ({low:+.2%} to "
            f"{high:+.2%} of lines) | {np.mean(last > first):.0%} | "
            f"{worse.sum()} of {promotions.sum()} |"
        )


def _line(students: Students, margin: float, seed: int) -> tuple[int, int, float, float]:
    """One line: promotions, those of a challenger that is truly worse, and the champion's true
    figure at the beginning and at the end, relative to the recipe's mean.

    Seeds without end: a challenger has the scores of one of the seeds, shifted so that its true
    figure is drawn from the normal law of the seeds' figures. The selection set of a night is the
    documents of all earlier ones, so it is asked again and again, as in a real line.
    """
    base = students.of(BASE)
    figures = np.array([students.figure(student) for student in base])
    mean, sd = figures.mean(), figures.std(ddof=1)
    rng = np.random.default_rng([7, seed])

    def made() -> tuple[Floats, float]:
        student = int(rng.choice(base))
        truth = float(rng.normal(mean, sd))
        shift = (truth - students.figure(student)) * math.log(2)
        return students.nats_SD[student] + shift * students.bytes_D, truth

    champion, first = made()
    truth, promotions, worse = first, 0, 0
    drawn = rng.integers(len(students.bytes_D), size=FIRST_DOCUMENTS)
    for night in range(LINE_NIGHTS):
        challenger, its_truth = made()
        tonight = rng.integers(len(students.bytes_D), size=LINE_DOCUMENTS)
        selection, confirmation = (
            PairedScores(challenger[p], champion[p], students.bytes_D[p]) for p in (drawn, tonight)
        )
        if decided(Contest("new", "old", selection, confirmation), margin, night).promoted:
            promotions, worse = promotions + 1, worse + (its_truth > truth)
            champion, truth = challenger, its_truth
        drawn = np.concatenate([drawn, tonight])
    return promotions, worse, first / mean - 1, truth / mean - 1


def main() -> None:
    """Print the tables."""
    stories, teacher, cache = map(Path, sys.argv[1:4])
    num_nights = int(sys.argv[4]) if len(sys.argv) > 4 else 1_000
    students = students_at(cache, stories, teacher)
    default = PromoteConfig(max_left_out_share=1).margin_share
    num_seeds = len(students.of(BASE))
    nights_per_pair = max(1, round(0.75 * num_nights / (num_seeds * (num_seeds - 1))))
    print(f"{len(students.groups)} students, {len(students.bytes_D)} held-out documents")
    for title, rows in (
        ("Students", real_gains(students)),
        ("Resamples", resamples_table(students, num_nights // 20)),
        ("Nothing to find", null_table(students, num_nights, default)),
        (
            f"Pairs of seeds, {nights_per_pair} nights for each ordered pair",
            seeds_table({n: seed_margins(students, nights_per_pair, n) for n in (200, 500)}),
        ),
        ("Better students", power_table(students, num_nights // 5, sorted({0.005, default}))),
        ("Drift", drift_table(students, sorted({0.0, 0.005, default}))),
    ):
        print(f"\n{title}\n")
        for row in rows:
            print(row, flush=True)


if __name__ == "__main__":
    main()
