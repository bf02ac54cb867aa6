"""What can be wrong with a stored row of targets: everything that can be seen without the
teacher.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from distill.targets import CapturedDocument

FIGURES = ("entropy", "teacher_nll", "word_start_logmass")
"""What no student reads: a table that is read for one may lack them."""
PER_POSITION = ("n_targets", *FIGURES)

# A column's values end to end, and where each document's begin, with the end of the last.
Columns = Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]]
# float16 moves the sum of a position's probabilities by less than 0.005 of its entropy in nats.
_MASS_TOLERANCE = 0.02


def are_sound_draws(columns: Columns, num_draws: int, vocab_size: int) -> bool:
    """Whether no document of a sampled capture has a defect, all of them looked at together."""
    (input_ids, ends), (n_targets, _) = columns["input_ids"], columns["n_targets"]
    (target_ids, draw_ends), (counts, count_ends) = columns["target_ids"], columns["target_counts"]
    per_position = [columns[name][1] for name in PER_POSITION if name in columns]
    if not all(np.array_equal(found, ends) for found in per_position):
        return False
    if not np.array_equal(draw_ends, count_ends) or (np.diff(ends) == 0).any():
        return False
    ends_T = np.cumsum(n_targets, dtype=np.int64)
    if n_targets.min() == 0 or not np.array_equal(ends_T[ends[1:] - 1], draw_ends[1:]):
        return False
    sums_T = np.add.reduceat(counts, ends_T - n_targets, dtype=np.int32)
    if counts.min() == 0 or (sums_T != num_draws).any() or not rises(target_ids, ends_T):
        return False
    smallest = min(int(target_ids.min()), int(input_ids.min()))
    return smallest >= 0 and max(int(target_ids.max()), int(input_ids.max())) < vocab_size


def rises(ids: NDArray[np.integer], ends_T: NDArray[np.int64]) -> bool:
    """Whether the ids of each position ascend; position t's end before ends_T[t]."""
    is_rising = ids[1:] > ids[:-1]
    is_rising[ends_T[:-1][(ends_T[:-1] > 0) & (ends_T[:-1] < ids.size)] - 1] = True
    return bool(is_rising.all())


def defect_of(
    document: "CapturedDocument",
    num_draws: int,
    vocab_size: int,
    k: int | None,
    absent: Collection[str] = (),
) -> str | None:
    """What is wrong with the document, if anything; `absent` are columns that were not read."""
    num_positions = document.input_ids.size
    for name in (*PER_POSITION, *(() if k is None else ("tail_logmass",))):
        found = getattr(document, name).size
        if found != num_positions and name not in absent:
            return f"expected {num_positions} values of {name}, one per token, found {found}"
    n_targets = document.n_targets.astype(np.int64)
    name = "target_counts" if k is None else "topk_logprob"
    sizes = (int(n_targets.sum()), document.target_ids.size, getattr(document, name).size)
    if num_positions == 0 or len(set(sizes)) != 1:
        return f"expected n_targets, target_ids and {name} of one length, found {sizes}"
    starts = np.cumsum(n_targets) - n_targets
    if defect := _draws_defect(document, num_draws) if k is None else _top_k_defect(document, k):
        return defect
    is_rising = np.diff(document.target_ids) > 0
    is_rising[starts[1:] - 1] = True
    if not is_rising.all():
        return "expected ids that ascend inside each position, found others"
    largest = max(int(document.target_ids.max()), int(document.input_ids.max()))
    smallest = min(int(document.target_ids.min()), int(document.input_ids.min()))
    if smallest < 0 or largest >= vocab_size:
        return f"expected ids in [0, {vocab_size}), found {smallest} to {largest}"
    return None


def _draws_defect(document: "CapturedDocument", num_draws: int) -> str | None:
    n_targets = document.n_targets.astype(np.int64)
    if n_targets.min() == 0 or document.target_counts.min() == 0:
        return "expected draws at every position and counts from 1, found 0"
    starts = np.cumsum(n_targets) - n_targets
    sums = np.add.reduceat(document.target_counts, starts, dtype=np.int64)
    if (sums != num_draws).any():
        wrong = int(np.flatnonzero(sums != num_draws)[0])
        return (
            f"expected counts that sum to R = {num_draws}, found {sums[wrong]} at position {wrong}"
        )
    return None


def _top_k_defect(document: "CapturedDocument", k: int) -> str | None:
    if (document.n_targets != k).any():
        wrong = int(np.flatnonzero(document.n_targets != k)[0])
        found = document.n_targets[wrong]
        return f"expected k = {k} ids at each position, found {found} at position {wrong}"
    probs = np.exp(document.topk_logprob.astype(np.float64)).reshape(-1, k).sum(axis=1)
    masses = probs + np.exp(document.tail_logmass.astype(np.float64))
    is_wrong = ~(np.abs(masses - 1) <= _MASS_TOLERANCE)
    if is_wrong.any():
        wrong = int(np.flatnonzero(is_wrong)[0])
        return (
            "expected probabilities that sum to 1 with their tail, found "
            f"{masses[wrong]:.3f} at position {wrong}"
        )
    return None
