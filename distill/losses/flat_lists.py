"""Targets of several positions end to end: position t's are those at offsets[t]:offsets[t + 1].

Legend: N positions, V token ids, K targets of all positions (flat).
"""

import torch
from torch import Tensor

from distill.errors import DistillError


def rows_of(offsets_N1: Tensor, num_targets: int) -> Tensor:
    """The position that each target belongs to, (K,)."""
    sizes_N = offsets_N1.diff().long()
    rows_N = torch.arange(sizes_N.numel(), device=sizes_N.device)
    return torch.repeat_interleave(rows_N, sizes_N, output_size=num_targets)


def product(weights: Tensor, logprobs: Tensor) -> Tensor:
    """weights * logprobs in float64, where no weight on no probability (0 * -inf) is 0."""
    return weights * logprobs.double().masked_fill(weights == 0, 0.0)


def check_alpha(alpha: float) -> None:
    """Raise DistillError if alpha lies outside [0, 1]."""
    if not 0.0 <= alpha <= 1.0:
        raise DistillError(
            f"alpha must lie in [0, 1], found {alpha}: it weighs what the teacher says"
        )


def check_shapes(
    logits_NV: Tensor, labels_N: Tensor, offsets_N1: Tensor, ids_K: Tensor, values_K: Tensor
) -> None:
    """Raise DistillError if these are not of one batch, as far as shapes and ids tell."""
    n = logits_NV.shape[0]
    found = [tuple(t.shape) for t in (labels_N, offsets_N1, ids_K, values_K)]
    if (
        logits_NV.ndim != 2
        or found[:2] != [(n,), (n + 1,)]
        or found[2] != found[3]
        or ids_K.ndim != 1
    ):
        raise DistillError(
            "expected logits (N, V), labels (N,), offsets (N + 1,), target ids (K,) and what is "
            f"said of each (K,), found {tuple(logits_NV.shape)}, {', '.join(map(str, found))}: "
            "cut them from the same batch"
        )
    check_ids(labels_N, logits_NV.shape[1], "labels")
    check_ids(ids_K, logits_NV.shape[1], "target ids")


def check_ids(ids: Tensor, vocab_size: int, what: str) -> None:
    """Raise DistillError if one is none of the logits' ids: in flat places it would be one of
    another position. On an accelerator nobody looks, as that would wait for it.
    """
    if ids.device.type != "cpu" or not ids.numel():
        return
    smallest, largest = ids.aminmax()
    if smallest < 0 or largest >= vocab_size:
        raise DistillError(
            f"expected {what} in [0, {vocab_size}), found {int(smallest)} to {int(largest)}: "
            "leave out the positions that have no target"
        )
