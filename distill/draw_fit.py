"""Whether stored draws are draws from the teacher: a G-test, pooled by band of probability.

Legend: N positions, V token ids, B bands, R draws of a position.

An id's band follows from its probability p at that position alone: band b holds 2^-(b+1) <= p <
2^-b, the last one all that is rarer. Counts of a position's draws by band are multinomial with the
bands' masses; over positions the masses differ, so the pooled counts vary less than one multinomial
of the pooled masses would, and a plain chi-square law would pass too much. Hence the correction of
Rao and Scott (Annals of Statistics 12, 1984): with E the expected and S the true covariance of the
pooled counts, G is about a sum of chi-squares weighted with the eigenvalues of S / E, and G * t1 /
t2 is taken as chi-square of t1^2 / t2 degrees of freedom, t1 the trace of S / E, t2 that of its
square. What it sees: another temperature, another position, another teacher, a truncated law all
move mass between bands.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NUM_BANDS = 20
# Of a group of bands: below, G does not follow its law.
_LEAST_EXPECTED = 20.0

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BandCounts:
    """Draws by band of probability, summed over positions: those stored and those expected,
    float64[B], and the covariance of the latter under the teacher's law, float64[B, B].
    """

    observed: Array
    expected: Array
    covariance: Array

    def __add__(self, other: "BandCounts") -> "BandCounts":
        return BandCounts(
            self.observed + other.observed,
            self.expected + other.expected,
            self.covariance + other.covariance,
        )

    @classmethod
    def none(cls) -> "BandCounts":
        """Of no position."""
        return cls(np.zeros(NUM_BANDS), np.zeros(NUM_BANDS), np.zeros((NUM_BANDS, NUM_BANDS)))


@dataclass(frozen=True, slots=True)
class GTest:
    """G and what it is taken for under the teacher's law: chi-square of so many degrees of freedom
    (0: too few draws to say anything). p_value is the chance of a G so large or larger.
    """

    g: float
    degrees_of_freedom: float
    p_value: float


def count_bands(
    probs_NV: Tensor, rows_K: Tensor, ids_K: Tensor, counts_K: Tensor, num_draws: int
) -> BandCounts:
    """Of these positions: unique draw k is of position rows_K[k], num_draws (R) in each."""
    bands_NV = _bands(probs_NV)
    masses_NB = probs_NV.new_zeros((probs_NV.shape[0], NUM_BANDS), dtype=torch.float64)
    masses_NB.scatter_add_(1, bands_NV, probs_NV.double())
    masses_NB /= masses_NB.sum(dim=1, keepdim=True)
    observed_B = torch.zeros(NUM_BANDS, dtype=torch.float64, device=probs_NV.device)
    observed_B.index_add_(0, bands_NV[rows_K, ids_K], counts_K.double())
    sums_B = masses_NB.sum(dim=0)
    covariance_BB = num_draws * (sums_B.diag() - masses_NB.T @ masses_NB)
    return BandCounts(
        observed_B.cpu().numpy(), (num_draws * sums_B).cpu().numpy(), covariance_BB.cpu().numpy()
    )


def g_test(counts: BandCounts) -> GTest:
    """The test of the pooled counts, neighbouring bands put together until each expects twenty."""
    counts = _grouped(counts)
    observed, expected = counts.observed, counts.expected
    if expected.size < 2:
        return GTest(0.0, 0.0, 1.0)
    ratios = np.where(observed > 0, observed, 1.0) / expected
    g = max(0.0, float(2 * (observed * np.log(ratios)).sum()))
    scale = np.sqrt(expected)
    relative = counts.covariance / np.outer(scale, scale)
    first, second = float(np.trace(relative)), float((relative**2).sum())
    freedom = first**2 / second
    p_value = torch.special.gammaincc(
        torch.tensor(freedom / 2, dtype=torch.float64),
        torch.tensor(g * first / second / 2, dtype=torch.float64),
    )
    return GTest(g, freedom, float(p_value))


def _bands(probs_NV: Tensor) -> Tensor:
    """int64 bands; an id without probability is in the last."""
    exponents_NV = torch.frexp(probs_NV).exponent.long()
    return torch.where(probs_NV > 0, (-exponents_NV).clamp(0, NUM_BANDS - 1), NUM_BANDS - 1)


def _grouped(counts: BandCounts) -> BandCounts:
    """From the rarest band on, bands together until they expect enough; what is left joins the
    last.
    """
    groups: list[list[int]] = [[]]
    for band in reversed(range(NUM_BANDS)):
        groups[-1].append(band)
        if counts.expected[groups[-1]].sum() >= _LEAST_EXPECTED:
            groups.append([])
    rest = groups.pop()
    if groups:
        groups[-1].extend(rest)
    else:
        groups = [rest]
    member = np.zeros((len(groups), NUM_BANDS))
    for row, group in enumerate(groups):
        member[row, group] = 1.0
    return BandCounts(
        member @ counts.observed, member @ counts.expected, member @ counts.covariance @ member.T
    )
