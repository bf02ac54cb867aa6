"""Point estimates with 95 % intervals, where documents, not tokens, are the independent units.

Figures here are ratios of sums over documents (nats over bytes, agreeing over compared positions),
so their spread comes from resampling whole documents with replacement: multinomial weights, in
pieces that bound memory. Percentile intervals of a ratio cover a little less than 95 % when
documents are few (about 92 % at 20), which is one reason why promotion asks for 30. One document
shows no spread at all: its interval is (-inf, inf).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill.errors import DistillError

FloatArray = npt.NDArray[np.float64]
Values = Sequence[float] | Sequence[int] | FloatArray | npt.NDArray[np.int64]

NUM_RESAMPLES = 10_000
BOUNDS_PERCENT = (2.5, 97.5)
_WEIGHTS_AT_ONCE = 1_000_000
_NORMAL_97_5 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, its 2.5 % and 97.5 % bounds, and the number of documents behind it."""

    value: float
    low: float
    high: float
    n: int


def bits_per_byte(
    nats: Values, num_bytes: Values, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Estimate:
    """sum(nats) / (ln 2 * sum(num_bytes)), with its document bootstrap."""
    return ratio(np.asarray(nats) / math.log(2), num_bytes, seed=seed, num_resamples=num_resamples)


def bits_per_byte_point(nats: Values, num_bytes: Values) -> float:
    """The value that bits_per_byte gives, bit for bit, without its bounds."""
    return float((np.asarray(nats) / math.log(2)).sum() / np.asarray(num_bytes, np.float64).sum())


def paired_difference(
    nats: Values,
    other_nats: Values,
    num_bytes: Values,
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """Bits per byte of the first less those of the other on the same documents; negative if the
    first is better.

    A resample draws documents, never single scores, so what makes a document hard for both cancels.
    """
    first, other = np.asarray(nats, dtype=np.float64), np.asarray(other_nats, dtype=np.float64)
    if first.shape != other.shape:
        raise DistillError(
            f"expected scores of the same documents, found {first.size} and {other.size}; "
            "score both on one set"
        )
    return bits_per_byte(first - other, num_bytes, seed=seed, num_resamples=num_resamples)


def ratio(
    numerators: Values, denominators: Values, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Estimate:
    """sum(numerators) / sum(denominators) over documents, with the percentile interval of its
    bootstrap.

    Depends on the documents' order only through the draws. Raises DistillError if there is no
    document, the lengths differ, or a denominator is not above 0.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    n = len(top)
    if n == 0 or len(bottom) != n:
        raise DistillError(
            f"expected one numerator and one denominator for each of 1 or more documents, "
            f"found {n} and {len(bottom)}"
        )
    if not (bottom > 0).all():
        raise DistillError("expected denominators above 0, found one that is not; leave it out")
    value = float(top.sum() / bottom.sum())
    if n == 1:
        return Estimate(value, -math.inf, math.inf, 1)
    low, high = np.percentile(_resampled(top, bottom, seed, num_resamples), BOUNDS_PERCENT)
    return Estimate(value, float(low), float(high), n)


def mean_share(values: Values) -> Estimate:
    """The mean of values in [0, 1], one per story, with Wilson's interval (1927) for n stories.

    Exact in kind for yes/no values. For shares in between it is on the safe side: their variance is
    at most that of yes/no values with the same mean. Unlike a bootstrap it keeps a width when all
    stories agree.
    """
    shares = np.asarray(values, dtype=np.float64)
    n = len(shares)
    if n == 0 or shares.min() < 0 or shares.max() > 1:
        raise DistillError("expected 1 or more shares from 0 to 1, found none or one outside")
    mean, z = float(shares.mean()), _NORMAL_97_5
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return Estimate(mean, max(0.0, min(centre - half, mean)), min(1.0, max(centre + half, mean)), n)


def smallest_difference(difference: Estimate, margin: float) -> float:
    """The gain in bits per byte from which these documents would have shown a difference beyond the
    margin.

    The margin plus the distance from the point estimate to the upper bound: with that gain the
    bound touches -margin.
    """
    return margin + (difference.high - difference.value)


def resample_weights(
    num_documents: int, seed: int, num_resamples: int
) -> Iterator[npt.NDArray[np.int64]]:
    """How often each document is drawn, one row per resample, in pieces that bound memory; where
    the pieces end changes no draw.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, _WEIGHTS_AT_ONCE // num_documents)
    shares = np.full(num_documents, 1 / num_documents)
    for begin in range(0, num_resamples, rows):
        yield rng.multinomial(num_documents, shares, size=min(rows, num_resamples - begin))


def _resampled(top: FloatArray, bottom: FloatArray, seed: int, num_resamples: int) -> FloatArray:
    """float64[num_resamples]: the ratio under multinomial document weights.

    Sums along rows rather than by a matrix product, whose order of additions depends on the
    machine's library.
    """
    pieces = [
        (weights * top).sum(axis=1) / (weights * bottom).sum(axis=1)
        for weights in resample_weights(len(top), seed, num_resamples)
    ]
    return np.concatenate(pieces)
