"""Divergences between a student and a teacher whose logits are at hand: forward and reverse KL, and
the generalized Jensen-Shannon divergence.

Legend: N positions, V token ids.

p = softmax(teacher / T), q = softmax(z / T). A divergence at temperature T has gradients of the
size of 1 / T^2, so it is multiplied by T^2 (Hinton et al., arXiv 1503.02531, section 2), value and
gradient alike. The hard label's share is taken at temperature 1; at T = 1 both read one softmax.

An id of probability 0 on the side that weighs costs nothing, whatever the other side says. So
padded rows of a vocabulary must be -inf on both sides, or cut off: a padding of 0 is a probability.

The largest logit of a row is subtracted before the division, where it cancels exactly. The gradient
is known in closed form, so one (N, V) buffer is kept for backward.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from distill.errors import DistillError
from distill.losses.flat_lists import check_alpha, check_ids
from distill.losses.sparse import sparse_cross_entropy

# From log-probabilities of student and teacher: the divergence (N,), its gradient at z / T (N, V).
_Divergence = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def forward_kl(
    logits_NV: Tensor,
    teacher_logits_NV: Tensor,
    labels_N: Tensor,
    *,
    alpha: float,
    temperature: float,
) -> Tensor:
    """The loss in nats of each position, shape (N,), unreduced, in the logits' dtype (half
    precision: float32).

    Equals alpha * T^2 * sum_v p_v log(p_v / q_v) + (1 - alpha) * -log softmax(z)_label: 0 at
    teacher = student and alpha = 1, inf where the student gives 0 to what the teacher can say.
    Gradient at alpha = 1: T * (q - p). Source: arXiv 1503.02531. Raises DistillError on shapes that
    do not fit, alpha outside [0, 1], a temperature that is not above 0.
    """
    return _dense(logits_NV, teacher_logits_NV, labels_N, _forward_kl, alpha, temperature)


def reverse_kl(
    logits_NV: Tensor,
    teacher_logits_NV: Tensor,
    labels_N: Tensor,
    *,
    alpha: float,
    temperature: float,
) -> Tensor:
    """As forward_kl, with alpha * T^2 * sum_v q_v log(q_v / p_v): inf where the student can say
    what the teacher cannot. Source: MiniLLM, arXiv 2306.08543, equation 1.
    """
    return _dense(logits_NV, teacher_logits_NV, labels_N, _reverse_kl, alpha, temperature)


def generalized_jsd(
    logits_NV: Tensor,
    teacher_logits_NV: Tensor,
    labels_N: Tensor,
    *,
    beta: float,
    alpha: float,
    temperature: float,
) -> Tensor:
    """As forward_kl, with alpha * T^2 * (beta KL(p || m) + (1 - beta) KL(q || m)), m = beta p +
    (1 - beta) q: always finite for 0 < beta < 1.

    beta = 0 is forward_kl and beta = 1 reverse_kl, the limits of the divergence over beta and over
    1 - beta. Source: GKD, arXiv 2306.13649, equation 1; TRL's generalized_jsd_loss, which has the
    same beta and no T^2. Raises as forward_kl, and on beta outside [0, 1].
    """
    if not 0.0 <= beta <= 1.0:
        raise DistillError(f"beta must lie in [0, 1], found {beta}: it weighs the teacher's side")
    if beta in (0.0, 1.0):
        divergence = _reverse_kl if beta else _forward_kl
    else:

        def divergence(logq_NV: Tensor, logp_NV: Tensor) -> tuple[Tensor, Tensor]:
            return _jsd(logq_NV, logp_NV, beta)

    return _dense(logits_NV, teacher_logits_NV, labels_N, divergence, alpha, temperature)


def _forward_kl(logq_NV: Tensor, logp_NV: Tensor) -> tuple[Tensor, Tensor]:
    p_NV, q_NV = logp_NV.exp(), logq_NV.exp()
    return _kl(p_NV, q_NV, logp_NV - logq_NV), q_NV.sub_(p_NV)


def _reverse_kl(logq_NV: Tensor, logp_NV: Tensor) -> tuple[Tensor, Tensor]:
    q_NV, ratios_NV = logq_NV.exp(), logq_NV - logp_NV
    kl_N = _kl(q_NV, logp_NV.exp(), ratios_NV)
    return kl_N, _weighed(q_NV, ratios_NV).sub_(q_NV * kl_N[:, None])


def _jsd(logq_NV: Tensor, logp_NV: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Of the term of p the gradient cancels against a part of that of q: what is left is that of a
    reverse KL to a mixture that stands still.
    """
    p_NV = logp_NV.exp()
    logm_NV = torch.logaddexp(logp_NV + math.log(beta), logq_NV + math.log1p(-beta))
    kl_q_N, grad_NV = _reverse_kl(logq_NV, logm_NV)
    kl_p_N = _kl(p_NV, logm_NV.exp(), logp_NV - logm_NV)
    return torch.lerp(kl_q_N, kl_p_N, beta), grad_NV.mul_(1.0 - beta)


def _kl(p_NV: Tensor, q_NV: Tensor, ratios_NV: Tensor) -> Tensor:
    """KL(p || q) of each row, the ratios being log p - log q: the sum of p ratio - p + q.

    That is p ratio in all, but every term is at least 0, and a rounding of a logarithm counts by
    the difference of p and q, not by p: the roundings of T^2 times a small divergence stay small.
    Where p and q are close the term is p (ratio + exp(-ratio) - 1), which does not cancel. What is
    left of a rounding of p's logsumexp is a factor, which the sum of p shows.
    """
    near_NV = ratios_NV.neg().expm1_().add_(ratios_NV).mul_(p_NV)
    far_NV = torch.where(p_NV == 0, 0.0, p_NV * ratios_NV).sub_(p_NV).add_(q_NV)
    terms_NV = torch.where(ratios_NV.abs() < 1.0, near_NV, far_NV)
    return terms_NV.sum(dim=-1).div_(p_NV.sum(dim=-1))


def _weighed(weights_NV: Tensor, terms_NV: Tensor) -> Tensor:
    """Their product, in the place of the terms; no weight on an infinite term is 0."""
    return terms_NV.masked_fill_(weights_NV == 0, 0.0).mul_(weights_NV)


def _dense(
    logits_NV: Tensor,
    teacher_logits_NV: Tensor,
    labels_N: Tensor,
    divergence: _Divergence,
    alpha: float,
    temperature: float,
) -> Tensor:
    check_alpha(alpha)
    if not 0.0 < temperature < torch.inf:
        raise DistillError(f"temperature must be above 0 and finite, found {temperature}")
    shapes = [tuple(t.shape) for t in (logits_NV, teacher_logits_NV, labels_N)]
    if logits_NV.ndim != 2 or shapes[1] != shapes[0] or shapes[2] != shapes[0][:1]:
        raise DistillError(
            "expected logits (N, V) of student and teacher over the same ids and labels (N,), "
            f"found {', '.join(map(str, shapes))}: cut padded rows of the larger vocabulary off"
        )
    check_ids(labels_N, logits_NV.shape[1], "labels")
    if alpha == 0.0:
        none = labels_N.new_zeros(0)
        ends_N1 = labels_N.new_zeros(len(labels_N) + 1)
        return sparse_cross_entropy(logits_NV, labels_N, ends_N1, none, none, alpha)
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    teacher_logits_NV = teacher_logits_NV.detach().to(logits_NV.dtype)
    loss: Tensor = _DenseLoss.apply(  # type: ignore[no-untyped-call]
        logits_NV, teacher_logits_NV, labels_N, divergence, alpha, temperature
    )
    return loss


class _DenseLoss(torch.autograd.Function):
    """alpha T^2 of the divergence, and the label's share."""

    @staticmethod
    def forward(
        ctx: Any,
        logits_NV: Tensor,
        teacher_logits_NV: Tensor,
        labels_N: Tensor,
        divergence: _Divergence,
        alpha: float,
        temperature: float,
    ) -> Tensor:
        logq_NV = _log_softmax(logits_NV, temperature)
        loss_N, grad_NV = divergence(logq_NV, _log_softmax(teacher_logits_NV, temperature))
        loss_N = loss_N * (alpha * temperature**2)
        grad_NV.mul_(alpha * temperature)
        if alpha < 1.0:
            if temperature != 1.0:
                logq_NV = _log_softmax(logits_NV, 1.0)
            at_labels = (torch.arange(len(labels_N), device=labels_N.device), labels_N)
            loss_N -= (1.0 - alpha) * logq_NV[at_labels]
            grad_NV.add_(logq_NV.exp_(), alpha=1.0 - alpha)
            grad_NV[at_labels] -= 1.0 - alpha
        ctx.save_for_backward(grad_NV)
        return loss_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        (grad_NV,) = ctx.saved_tensors
        return grad_NV * grad_N[:, None], None, None, None, None, None


def _log_softmax(logits_NV: Tensor, temperature: float) -> Tensor:
    """log_softmax(logits / temperature), its sum free of a fused kernel's drift."""
    scaled_NV = (logits_NV - logits_NV.amax(dim=-1, keepdim=True)).div_(temperature)
    return scaled_NV.sub_(scaled_NV.exp().sum(dim=-1, keepdim=True).log_())
