"""The loss against a slow dense float64 reference, its gradient, and its corner cases."""

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.errors import DistillError
from distill.losses import sparse_cross_entropy


@dataclass(frozen=True, slots=True)
class Case:
    logits: Tensor
    labels: Tensor
    offsets: Tensor
    ids: Tensor
    counts: Tensor
    alpha: float

    def loss(self) -> Tensor:
        return sparse_cross_entropy(
            self.logits, self.labels, self.offsets, self.ids, self.counts, self.alpha
        )

    def weights(self) -> Tensor:
        weights = torch.zeros(self.logits.shape, dtype=torch.float64)
        for t, label in enumerate(self.labels.tolist()):
            start, stop = int(self.offsets[t]), int(self.offsets[t + 1])
            if start == stop:
                weights[t, label] = 1.0
                continue
            counts = self.counts[start:stop].double()
            weights[t, self.ids[start:stop].long()] = self.alpha * counts / counts.sum()
            weights[t, label] += 1 - self.alpha
        return weights

    def reference(self) -> Tensor:
        logits = self.logits.double()
        return torch.logsumexp(logits, dim=-1) - (self.weights() * logits).sum(dim=-1)


def make_case(seed: int, vocab_size: int, *, scale: float, shift: float = 0.0) -> Case:
    generator = torch.Generator().manual_seed(seed)
    num_positions = int(torch.randint(1, 10, (), generator=generator))
    sizes = torch.randint(0, min(vocab_size, 50) + 1, (num_positions,), generator=generator)
    ids = [torch.randperm(vocab_size, generator=generator)[:k].sort().values for k in sizes]
    logits = (torch.rand(num_positions, vocab_size, generator=generator) * 2 - 1) * scale + shift
    return Case(
        logits=logits,
        labels=torch.randint(vocab_size, (num_positions,), generator=generator),
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        ids=torch.cat(ids).int(),
        counts=torch.randint(1, 51, (int(sizes.sum()),), generator=generator).int(),
        alpha=float(torch.rand((), generator=generator)),
    )


@pytest.mark.parametrize("vocab_size", [1, 2, 17, 257, 4096, 50_001])
@pytest.mark.parametrize(
    ("scale", "shift"), [(0.01, 0.0), (1.0, 0.0), (30.0, 0.0), (1e4, 0.0), (1.0, 9999.0)]
)
def test_float32_loss_equals_the_dense_float64_reference(
    vocab_size: int, scale: float, shift: float
) -> None:
    for seed in range(8):
        case = make_case(seed, vocab_size, scale=scale, shift=shift)
        largest = float(case.logits.abs().max())
        bound = 1e-6 * max(1.0, largest + math.log(vocab_size))
        error = (case.loss().double() - case.reference()).abs().max()
        assert case.loss().dtype == torch.float32
        assert error <= bound


def test_float64_logits_lose_nothing_to_float32_weights() -> None:
    case = make_case(1, 257, scale=3.0)
    double = Case(case.logits.double(), case.labels, case.offsets, case.ids, case.counts, 0.9)
    torch.testing.assert_close(double.loss(), double.reference(), rtol=1e-13, atol=1e-13)


def test_rounding_does_not_add_up_over_many_equal_logits() -> None:
    """A third of these exponentials are one of two numbers: all are rounded the same way."""
    vocab_size = 150_001
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, vocab_size, generator=generator).clamp(-1, 1) * 0.51
    labels, empty = torch.arange(8), torch.empty(0, dtype=torch.int32)
    offsets = torch.zeros(9, dtype=torch.int64)
    loss = sparse_cross_entropy(logits, labels, offsets, empty, empty, 0.5)
    reference = F.cross_entropy(logits.double(), labels, reduction="none")
    assert (loss.double() - reference).abs().max() <= 1e-6 * (0.51 + math.log(vocab_size))


def test_gradient_is_checked_by_finite_differences_in_float64() -> None:
    for seed in range(5):
        case = make_case(seed, 7, scale=2.0)
        logits = case.logits.double().requires_grad_()

        def loss(z: Tensor, case: Case = case) -> Tensor:
            return sparse_cross_entropy(
                z, case.labels, case.offsets, case.ids, case.counts, case.alpha
            )

        assert torch.autograd.gradcheck(loss, (logits,))


def test_gradient_is_softmax_less_the_weights() -> None:
    case = make_case(3, 301, scale=5.0)
    logits = case.logits.clone().requires_grad_()
    Case(
        logits, case.labels, case.offsets, case.ids, case.counts, case.alpha
    ).loss().sum().backward()
    expected = case.logits.double().softmax(dim=-1) - case.weights()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.double(), expected, rtol=0, atol=1e-6)


def test_exact_weights_on_all_ids_give_dense_kl_and_the_teachers_entropy() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 6, 40, generator=generator, dtype=torch.float64) * 3
    p = teacher.softmax(dim=-1)
    loss = sparse_cross_entropy(
        student,
        torch.zeros(6, dtype=torch.int64),
        torch.arange(7) * 40,
        torch.arange(40).repeat(6),
        p.flatten(),
        1.0,
    )
    kl = F.kl_div(student.log_softmax(-1), p, reduction="none").sum(dim=-1)
    entropy = -(p * p.log()).sum(dim=-1)
    torch.testing.assert_close(loss, kl + entropy, rtol=1e-12, atol=1e-12)


def test_alpha_zero_is_plain_cross_entropy_with_its_gradient() -> None:
    case = make_case(4, 1000, scale=8.0)
    ours, theirs = case.logits.clone().requires_grad_(), case.logits.clone().requires_grad_()
    loss = sparse_cross_entropy(ours, case.labels, case.offsets, case.ids, case.counts, 0.0)
    reference = F.cross_entropy(theirs, case.labels, reduction="none")
    torch.testing.assert_close(loss, reference, rtol=1e-6, atol=1e-6)
    loss.mean().backward()
    reference.mean().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)


def test_positions_without_draws_have_the_hard_label_only() -> None:
    logits = torch.randn(3, 20, generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([4, 0, 19])
    empty = torch.empty(0, dtype=torch.int32)
    loss = sparse_cross_entropy(
        logits, labels, torch.zeros(4, dtype=torch.int64), empty, empty, 0.9
    )
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels, reduction="none"))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_one_hot_and_impossible_ids_give_no_nan(alpha: float) -> None:
    logits = torch.tensor([[0.0, -math.inf, 1e4, 3.0], [1e4, 0.0, -1e4, -math.inf]])
    logits.requires_grad_()
    loss = sparse_cross_entropy(
        logits,
        torch.tensor([2, 0]),
        torch.tensor([0, 1, 2]),
        torch.tensor([2, 0]),
        torch.tensor([50, 50]),
        alpha,
    )
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.zeros(2))
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_no_weight_on_an_impossible_id_costs_nothing() -> None:
    logits = torch.tensor([[0.0, -math.inf]])
    zero, one = torch.tensor([0]), torch.tensor([1])
    loss = sparse_cross_entropy(logits, one, torch.tensor([0, 1]), zero, one, 1.0)
    assert loss.item() == 0.0


def test_weight_on_an_impossible_id_costs_infinity() -> None:
    loss = sparse_cross_entropy(
        torch.tensor([[0.0, -math.inf]]),
        torch.tensor([0]),
        torch.tensor([0, 1]),
        torch.tensor([1]),
        torch.tensor([50]),
        0.5,
    )
    assert loss.item() == math.inf


def test_half_precision_logits_are_summed_in_float32() -> None:
    case = make_case(5, 4096, scale=4.0)
    half = case.logits.bfloat16()
    low = Case(half, case.labels, case.offsets, case.ids, case.counts, case.alpha)
    high = Case(half.float(), case.labels, case.offsets, case.ids, case.counts, case.alpha)
    assert torch.equal(low.loss(), high.loss())


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    case = make_case(6, 5, scale=1.0)
    with pytest.raises(DistillError, match=r"alpha must lie in \[0, 1\]"):
        sparse_cross_entropy(case.logits, case.labels, case.offsets, case.ids, case.counts, alpha)


def test_shapes_that_do_not_fit_are_refused() -> None:
    case = make_case(7, 5, scale=1.0)
    with pytest.raises(DistillError, match=r"offsets \(N \+ 1,\)"):
        sparse_cross_entropy(
            case.logits, case.labels, case.offsets[:-1], case.ids, case.counts, 0.5
        )


@pytest.mark.parametrize("place", ["labels", "target ids"])
@pytest.mark.parametrize("wrong", [-100, 7])
def test_an_id_that_is_none_is_refused(place: str, wrong: int) -> None:
    labels, offsets, ids = torch.tensor([0, 1]), torch.tensor([0, 1, 2]), torch.tensor([2, 3])
    (labels if place == "labels" else ids)[1] = wrong
    with pytest.raises(DistillError, match=rf"expected {place} in \[0, 7\), found .*{wrong}"):
        sparse_cross_entropy(torch.zeros(2, 7), labels, offsets, ids, torch.ones(2), 0.9)
