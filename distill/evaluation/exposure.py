"""Exposure of a secret: how far up a student's likelihood puts it among equal ones that it never
saw.

exposure = log2 N - log2 rank (Carlini and others 2019, The Secret Sharer), where N
counts the secret and the candidates drawn from the same space, and rank 1 is the likeliest; a tie
counts one half. That is exact for this set of N, and an estimate of the exposure in the whole
space that cannot exceed log2 N: there it says "at least".

A student that knows nothing of a secret ranks it like any candidate: every rank is equally
probable, whatever the student thinks of the space's words, since secret and candidates are drawn
alike. So rank / N is an exact p-value for "knows nothing", and the expected exposure is log2 N -
log2(N!) / N, which nears log2 e = 1.44 bits from below.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill.errors import DistillError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exposure:
    """A secret's rank among `num_ranked` (itself counted), 1 for the likeliest, ties in the middle,
    and its exposure in bits.
    """

    nats: float
    rank: float
    num_ranked: int

    @property
    def bits(self) -> float:
        """log2 of num_ranked less log2 of the rank."""
        return math.log2(self.num_ranked) - math.log2(self.rank)


def exposures(secret_nats: FloatArray, candidate_nats: FloatArray) -> list[Exposure]:
    """The exposure of each secret among the candidates, by the nats (-log p) of each.

    Raises DistillError without a candidate or for nats that are no numbers.
    """
    if not len(candidate_nats):
        raise DistillError("expected candidates to rank a secret among, found none")
    if np.isnan(secret_nats).any() or np.isnan(candidate_nats).any():
        raise DistillError("expected nats to rank by, found NaN: the student is broken")
    ordered = np.sort(candidate_nats)
    below = np.searchsorted(ordered, secret_nats, side="left")
    up_to = np.searchsorted(ordered, secret_nats, side="right")
    return [
        Exposure(float(nats), 1 + (int(first) + int(last)) / 2, len(ordered) + 1)
        for nats, first, last in zip(secret_nats, below, up_to, strict=True)
    ]


def expected_exposure(num_ranked: int) -> float:
    """The mean exposure in bits of a secret that nobody planted: log2 N - log2(N!) / N."""
    return math.log2(num_ranked) - math.lgamma(num_ranked + 1) / (num_ranked * math.log(2))
