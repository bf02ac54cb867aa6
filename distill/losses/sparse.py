"""One cross entropy against the teacher's draws and the hard label together: the default.

Legend: N positions, V token ids, K kept draws of all positions (flat).

With weights w of a position (they sum to 1) the loss is logsumexp(z) - sum_i w_i z_i, and its
gradient softmax(z) - w. As the weights sum to 1 it equals -sum_i w_i log_softmax(z)_i, which is how
it is computed: log_softmax subtracts the row's largest logit first, so nothing of the size of the
logits cancels. The flat sums are taken in float64 (they are short). No weights of size V are ever
made: draws cost one gather forwards and one scatter backwards beyond plain cross entropy.
"""

from typing import Any

import torch
from torch import Tensor

from distill.losses.flat_lists import check_alpha, check_shapes, product, rows_of


def sparse_cross_entropy(
    logits_NV: Tensor,
    labels_N: Tensor,
    offsets_N1: Tensor,
    target_ids_K: Tensor,
    target_counts_K: Tensor,
    alpha: float,
) -> Tensor:
    """The cross entropy in nats of each position, shape (N,), unreduced, in the logits' dtype (half
    precision: float32).

    Equals logsumexp(z) - sum_i w_i z_i with w = alpha * counts / n + (1 - alpha) * onehot(label), n
    the sum of the position's counts; a position without draws (n = 0) has w = onehot. Position t's
    draws are target_ids_K[offsets[t]:offsets[t + 1]], each id at most once; counts are positive
    numbers, whole or not (exact probabilities give the dense cross entropy). A logit of -inf is a
    probability of 0: the loss is inf where weight lies on it. alpha = 0 is F.cross_entropy. Source:
    Sparse Logit Sampling, arXiv 2503.16870. Raises DistillError on shapes that do not fit or alpha
    outside [0, 1].
    """
    check_alpha(alpha)
    check_shapes(logits_NV, labels_N, offsets_N1, target_ids_K, target_counts_K)
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    num_positions, vocab_size = logits_NV.shape
    row_starts_N = torch.arange(num_positions, device=logits_NV.device) * vocab_size
    flat_labels_N = row_starts_N + labels_N
    if alpha == 0.0:
        rows_K = flat_targets_K = torch.empty(0, dtype=torch.int64, device=logits_NV.device)
        weights_K = torch.empty(0, dtype=torch.float64, device=logits_NV.device)
        label_weights_N = torch.ones_like(row_starts_N, dtype=torch.float64)
    else:
        rows_K = rows_of(offsets_N1, target_ids_K.numel())
        flat_targets_K = row_starts_N[rows_K] + target_ids_K
        weights_K, label_weights_N = _weights(rows_K, target_counts_K, num_positions, alpha)
    loss: Tensor = _WeightedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        logits_NV, flat_labels_N, label_weights_N, rows_K, flat_targets_K, weights_K
    )
    return loss


def _weights(
    rows_K: Tensor, counts_K: Tensor, num_positions: int, alpha: float
) -> tuple[Tensor, Tensor]:
    counts_K = counts_K.double()
    n_N = counts_K.new_zeros(num_positions).index_add_(0, rows_K, counts_K)
    weights_K = alpha * counts_K / n_N[rows_K]
    return weights_K, torch.ones_like(n_N).masked_fill_(n_N > 0, 1.0 - alpha)


class _WeightedCrossEntropy(torch.autograd.Function):
    """-sum of weights times log_softmax; its one (N, V) buffer becomes the probabilities, then
    softmax - w in backward.

    The sum inside a fused float32 log_softmax drifts by up to 1e-6 of ln V at V = 50,000. The
    probabilities that backward needs sum to 1 but for that drift, and torch.sum adds in pairs: the
    log of their sum is the correction.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits_NV: Tensor,
        flat_labels_N: Tensor,
        label_weights_N: Tensor,
        rows_K: Tensor,
        flat_targets_K: Tensor,
        weights_K: Tensor,
    ) -> Tensor:
        logprobs_NV = torch.log_softmax(logits_NV, dim=-1)
        flat = logprobs_NV.view(-1)
        loss_N = -product(label_weights_N, flat[flat_labels_N])
        loss_N.index_add_(0, rows_K, -product(weights_K, flat[flat_targets_K]))
        probs_NV = logprobs_NV.exp_()
        sums_N = probs_NV.sum(dim=-1)
        ctx.save_for_backward(
            probs_NV, sums_N, flat_labels_N, label_weights_N, rows_K, flat_targets_K, weights_K
        )
        return loss_N.add_(sums_N.double().log()).to(logits_NV.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        probs_NV, sums_N, flat_labels_N, label_weights_N, rows_K, flat_targets_K, weights_K = (
            ctx.saved_tensors
        )
        grad_NV = probs_NV * (grad_N / sums_N)[:, None]
        flat = grad_NV.view(-1)
        # Two calls: inside each an address occurs once, so the order of additions, hence every
        # bit, is fixed on any device.
        flat.index_add_(0, flat_labels_N, -(label_weights_N * grad_N).to(flat.dtype))
        flat.index_add_(0, flat_targets_K, -(weights_K * grad_N[rows_K]).to(flat.dtype))
        return grad_NV, None, None, None, None, None
