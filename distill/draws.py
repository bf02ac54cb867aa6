"""Draws with replacement from a teacher's distributions: what is stored of them, and why it is
unbiased.

Legend: N positions, V token ids, R draws of a position, M = N * R, G blocks of B ids, K unique ids
of all positions (flat).

counts / R is an unbiased estimate of the distribution, which a renormalised top-k is not (Sparse
Logit Sampling, arXiv 2503.16870). Uniforms are a pure function of (seed, doc_id, position). Each is
looked up in the cumulative sum, taken in two levels: float64 over the sums of 16 ids, then float64
inside the block that was hit. The chances of all ids together are then off by about 1e-7, as the
sum of float32 probabilities is anyway (one float32 sum over 49k ids: 1.4e-5), and it costs a tenth
of the softmax, where one float64 sum over all V costs twice the softmax.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from warehouse.identity import seed_from

_BLOCK = 16


@dataclass(frozen=True, slots=True)
class Draws:
    """Unique ids drawn at each position: n_targets uint8[N]; ids int32[K], ascending inside a
    position; counts uint8[K].
    """

    n_targets: NDArray[np.uint8]
    ids: NDArray[np.int32]
    counts: NDArray[np.uint8]


def draw_uniforms(
    seed: int, doc_id: str, num_positions: int, num_draws: int
) -> NDArray[np.float64]:
    """float64[num_positions, num_draws] in [0, 1), each row sorted; row t depends on (seed, doc_id,
    t, num_draws) only.

    One Philox stream per document, of which row t is words t * R to (t + 1) * R: a generator per
    position would cost some 20 us each. Raw words are used because numpy keeps those streams stable
    for ever.
    """
    words = np.random.Philox(key=seed_from("draws", seed, doc_id)).random_raw(
        num_positions * num_draws
    )
    uniforms = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.sort(uniforms.reshape(num_positions, num_draws), axis=1)


def draw_counts(probs_NV: Tensor, uniforms_NR: NDArray[np.float64]) -> Draws:
    """Draw r of position t is the first id whose cumulative probability exceeds uniforms[t, r]
    times the row's sum.

    Rows need not sum to 1 exactly; an id of probability 0 is never drawn. Uniforms are sorted
    inside a row, R <= 255.
    """
    u_NR = torch.from_numpy(uniforms_NR).to(probs_NV.device)
    ids_NR = _look_up(probs_NV, u_NR)
    is_new_NR = torch.ones_like(ids_NR, dtype=torch.bool)
    is_new_NR[:, 1:] = ids_NR[:, 1:] != ids_NR[:, :-1]
    firsts_K = is_new_NR.flatten().nonzero()[:, 0]
    end = firsts_K.new_tensor([ids_NR.numel()])
    return Draws(
        n_targets=is_new_NR.sum(dim=1).to(torch.uint8).cpu().numpy(),
        ids=ids_NR.flatten()[firsts_K].int().cpu().numpy(),
        counts=firsts_K.diff(append=end).to(torch.uint8).cpu().numpy(),
    )


def _look_up(probs_NV: Tensor, u_NR: Tensor) -> Tensor:
    num_positions, vocab_size = probs_NV.shape
    padded_NV = torch.nn.functional.pad(probs_NV, (0, -vocab_size % _BLOCK))
    blocks_NGB = padded_NV.view(num_positions, -1, _BLOCK)
    sums_NG = (blocks_NGB @ probs_NV.new_ones(_BLOCK)).double().cumsum(dim=1)
    wanted_NR = u_NR * sums_NG[:, -1:]
    hit_NR = torch.searchsorted(sums_NG, wanted_NR, right=True)
    before_NR = torch.where(hit_NR > 0, sums_NG.gather(1, (hit_NR - 1).clamp(min=0)), 0.0)
    rows_N1 = torch.arange(num_positions, device=u_NR.device)[:, None] * sums_NG.shape[1]
    inside_MB = blocks_NGB.view(-1, _BLOCK)[(rows_N1 + hit_NR).flatten()].double().cumsum(dim=1)
    rest_M1 = (wanted_NR - before_NR).view(-1, 1)
    place_M1 = torch.searchsorted(inside_MB, rest_M1, right=True)
    # A block's float32 sum may be a little more than its ids: what lies between is the last one's.
    last_M1 = torch.searchsorted(inside_MB, inside_MB[:, -1:].contiguous())
    return hit_NR * _BLOCK + place_M1.minimum(last_M1).view_as(hit_NR)
