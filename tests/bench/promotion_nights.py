"""A night of tests/bench/promotion.py: documents drawn from real figures, and what is decided."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from distill.promote import Contest, Decision, PairedScores, decide
from distill.promote_config import PromoteConfig
from tests.bench.promotion_students import Students

NUM_CONFIRMATION, NUM_RESAMPLES = 50, 1_000

Pair = tuple[int, int]
Floats = npt.NDArray[np.float64]


def contest(
    students: Students, pair: Pair, drawn: Sequence[npt.NDArray[np.int64]], wanted: float | None
) -> Contest:
    """A night of (challenger, champion) on those selection and confirmation documents; `wanted` is
    the true difference in bits per byte, None the one that there is.
    """
    challenger, champion = pair
    shift = 0.0
    if wanted is not None:
        shift = wanted - students.figure(challenger) + students.figure(champion)
    nats = students.nats_SD[challenger] + shift * math.log(2) * students.bytes_D
    selection, confirmation = (
        PairedScores(nats[places], students.nats_SD[champion][places], students.bytes_D[places])
        for places in drawn
    )
    return Contest("challenger", "champion", selection, confirmation)


def decided(night: Contest, margin: float, seed: int, resamples: int = NUM_RESAMPLES) -> Decision:
    """The rule's decision at that margin."""
    config = PromoteConfig(margin_share=margin, max_left_out_share=1)
    return decide(config, night, seed=seed, num_resamples=resamples)


def largest_margin(night: Contest, seed: int) -> float:
    """The margin (a share of the champion's figure) below which the night promotes: `decide`
    promotes at m if and only if m is less. Checked against it in the first table.
    """
    decision = decided(night, 0.0, seed)
    assert decision.high is not None
    assert decision.confirmation_difference is not None
    assert night.selection is not None
    least = min(-decision.high, -decision.confirmation_difference)
    return least / night.selection.other_bits_per_byte


def draws(
    students: Students, num_nights: int, size: int, seed: int
) -> Iterator[tuple[np.random.Generator, list[npt.NDArray[np.int64]]]]:
    """For each night its own generator, and its selection and confirmation documents."""
    num_documents = len(students.bytes_D)
    for night in range(num_nights):
        rng = np.random.default_rng([seed, size, night])
        yield (
            rng,
            [
                rng.integers(num_documents, size=size),
                rng.integers(num_documents, size=NUM_CONFIRMATION),
            ],
        )


def some_pair(
    rng: np.random.Generator, challengers: Sequence[int], champions: Sequence[int]
) -> Pair:
    """A challenger and another student as champion."""
    while True:
        pair = int(rng.choice(challengers)), int(rng.choice(champions))
        if pair[0] != pair[1]:
            return pair


def wilson(hits: int, n: int) -> str:
    """A share with its 95 % interval of Wilson (1927)."""
    share, z = hits / n, 1.959964
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return f"{share:.1%} ({max(centre - half, 0):.1%} to {centre + half:.1%})"
