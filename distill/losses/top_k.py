"""The cross entropy against a teacher's largest probabilities and one tail for all other ids.

Legend: N positions, V token ids, K kept ids of all positions (flat).

The ids that were not kept are one event: the student is told how much the teacher gives them
together, not how it is divided. So the minimiser has the teacher's probability on each kept id and
on the tail, and spreads the tail as it likes: biased, which is why draws are the default.

The student's tail is never 1 - sum_i q_i, which cancels where a student is sure. The exponentials
of the other ids' logits are summed for themselves, under their own largest; the few kept ones join
in float64. That one (N, V) buffer is what backward needs.
"""

from typing import Any

import torch
from torch import Tensor

from distill.errors import DistillError
from distill.losses.flat_lists import check_alpha, check_shapes, product, rows_of
from distill.losses.sparse import sparse_cross_entropy


def top_k_cross_entropy(
    logits_NV: Tensor,
    labels_N: Tensor,
    offsets_N1: Tensor,
    target_ids_K: Tensor,
    target_logprobs_K: Tensor,
    tail_logmass_N: Tensor,
    alpha: float,
) -> Tensor:
    """The cross entropy in nats of each position, shape (N,), unreduced, in the logits' dtype (half
    precision: float32).

    Equals alpha * (-sum_i p_i log q_i - p_tail log(1 - sum_i q_i)) + (1 - alpha) * -log q_label,
    q = softmax(z), p_i = exp(target_logprobs) of the teacher at temperature 1, p_tail =
    exp(tail_logmass); nothing is renormalised. Position t's ids are
    target_ids_K[offsets[t]:offsets[t + 1]], each at most once. A tail of -inf costs nothing, a
    position without ids the hard label's share alone; with all V ids it is the dense cross entropy.
    A probability of 0 under any weight costs inf. Source: the ghost token of Sparse Logit Sampling,
    arXiv 2503.16870; TRL's tail bucket. Raises DistillError on shapes that do not fit or alpha
    outside [0, 1].
    """
    check_alpha(alpha)
    check_shapes(logits_NV, labels_N, offsets_N1, target_ids_K, target_logprobs_K)
    if tail_logmass_N.shape != labels_N.shape:
        raise DistillError(
            f"expected a tail_logmass at each of {len(labels_N)} positions, found "
            f"{tuple(tail_logmass_N.shape)}: cut it from the same batch"
        )
    if alpha == 0.0:
        return sparse_cross_entropy(
            logits_NV, labels_N, offsets_N1, target_ids_K, target_logprobs_K, alpha
        )
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    rows_K = rows_of(offsets_N1, target_ids_K.numel())
    row_starts_N = torch.arange(len(labels_N), device=logits_NV.device) * logits_NV.shape[1]
    loss: Tensor = _TailedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        logits_NV,
        row_starts_N + labels_N,
        rows_K,
        row_starts_N[rows_K] + target_ids_K,
        alpha * target_logprobs_K.double().exp(),
        alpha * tail_logmass_N.double().exp(),
        1.0 - alpha,
    )
    return loss


class _TailedCrossEntropy(torch.autograd.Function):
    """With weights w_i, w_tail and w_label, S their sum, and r the softmax over the ids that were
    not kept, the gradient is S q_i - w_i on kept ids, r_j (S q_tail - w_tail) on the others, and
    -w_label on the label.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits_NV: Tensor,
        flat_labels_N: Tensor,
        rows_K: Tensor,
        flat_kept_K: Tensor,
        weights_K: Tensor,
        tail_weights_N: Tensor,
        label_weight: float,
    ) -> Tensor:
        logits = logits_NV.reshape(-1)
        rest_NV = logits_NV.clone(memory_format=torch.contiguous_format)
        rest_NV.view(-1).index_fill_(0, flat_kept_K, -torch.inf)
        peaks_N = rest_NV.amax(dim=-1)
        peaks_N = peaks_N.masked_fill(peaks_N == -torch.inf, 0.0)
        rest_NV.sub_(peaks_N[:, None]).exp_()
        sums_N = rest_NV.sum(dim=-1)
        rest_N, kept_K = peaks_N.double() + sums_N.double().log(), logits[flat_kept_K].double()
        norms_N = _joint_logsumexp(rest_N, rows_K, kept_K)
        tail_N, kept_K = rest_N - norms_N, kept_K - norms_N[rows_K]
        loss_N = -product(tail_weights_N, tail_N)
        loss_N.index_add_(0, rows_K, -product(weights_K, kept_K))
        if label_weight:
            loss_N += label_weight * (norms_N - logits[flat_labels_N].double())
        total_N = (tail_weights_N + label_weight).index_add_(0, rows_K, weights_K)
        rest_grad_N = (total_N * tail_N.exp() - tail_weights_N) / sums_N.masked_fill(sums_N == 0, 1)
        kept_grad_K = total_N[rows_K] * kept_K.exp() - weights_K
        ctx.label_weight = label_weight
        ctx.save_for_backward(rest_NV, rest_grad_N, rows_K, flat_kept_K, kept_grad_K, flat_labels_N)
        return loss_N.to(logits_NV.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        rest_NV, rest_grad_N, rows_K, flat_kept_K, kept_grad_K, flat_labels_N = ctx.saved_tensors
        grad_NV = rest_NV * (rest_grad_N * grad_N).to(rest_NV.dtype)[:, None]
        flat = grad_NV.view(-1)
        # Two calls: inside each an address occurs once.
        flat.index_add_(0, flat_kept_K, (kept_grad_K * grad_N[rows_K]).to(flat.dtype))
        flat.index_add_(0, flat_labels_N, (-ctx.label_weight * grad_N).to(flat.dtype))
        return grad_NV, None, None, None, None, None, None


def _joint_logsumexp(rest_N: Tensor, rows_K: Tensor, kept_K: Tensor) -> Tensor:
    """log(exp(rest) + sum of exp(kept)) of each position."""
    peaks_N = rest_N.scatter_reduce(0, rows_K, kept_K, "amax")
    sums_N = (rest_N - peaks_N).exp().index_add_(0, rows_K, (kept_K - peaks_N[rows_K]).exp())
    return peaks_N + sums_N.log()
