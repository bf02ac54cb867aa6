"""Top-k with its tail against a slow dense float64 reference, its gradient and corner cases."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distill.errors import DistillError
from distill.losses import sparse_cross_entropy, top_k_cross_entropy

ALPHAS = (0.0, 0.3, 1.0)


@dataclass(frozen=True, slots=True)
class Case:
    logits: Tensor
    labels: Tensor
    offsets: Tensor
    ids: Tensor
    logprobs: Tensor
    tail: Tensor
    alpha: float

    def loss(self) -> Tensor:
        return top_k_cross_entropy(
            self.logits,
            self.labels,
            self.offsets,
            self.ids,
            self.logprobs,
            self.tail,
            self.alpha,
        )

    def reference(self) -> Tensor:
        """Position by position in float64, the tail as a logsumexp over the other ids."""
        losses = []
        for t, z in enumerate(self.logits.double()):
            logq = z.log_softmax(dim=-1)
            place = slice(int(self.offsets[t]), int(self.offsets[t + 1]))
            kept = self.ids[place].long()
            p, p_tail = self.logprobs[place].double().exp(), self.tail[t].double().exp()
            others = torch.ones(len(z), dtype=torch.bool).index_fill_(0, kept, False)
            loss = -(p * logq[kept]).sum()
            if p_tail > 0:
                loss = loss - p_tail * logq[others].logsumexp(dim=-1)
            losses.append(self.alpha * loss - (1 - self.alpha) * logq[self.labels[t]])
        return torch.stack(losses)


def make_case(
    seed: int, vocab_size: int, *, scale: float = 2.0, alpha: float = 0.3, k: int = 50
) -> Case:
    """Some positions keep no id, some all of a small vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    num_positions = int(torch.randint(1, 10, (), generator=generator))
    sizes = torch.randint(0, min(vocab_size, k) + 1, (num_positions,), generator=generator)
    teacher = torch.randn(num_positions, vocab_size, generator=generator, dtype=torch.float64)
    logprobs, order = (3 * teacher).log_softmax(dim=-1).sort(dim=-1, descending=True)
    tail = torch.stack([row[n:].logsumexp(dim=0) for row, n in zip(logprobs, sizes, strict=True)])
    return Case(
        logits=(torch.rand(num_positions, vocab_size, generator=generator) * 2 - 1) * scale,
        labels=torch.randint(vocab_size, (num_positions,), generator=generator),
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        ids=torch.cat([row[:n] for row, n in zip(order, sizes, strict=True)]),
        logprobs=torch.cat([row[:n] for row, n in zip(logprobs, sizes, strict=True)]).float(),
        tail=tail.float(),
        alpha=alpha,
    )


@pytest.mark.parametrize("vocab_size", [1, 2, 17, 257, 4096, 50_001])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_float32_loss_equals_the_dense_float64_reference(
    vocab_size: int, scale: float, alpha: float
) -> None:
    for seed in range(2):
        case = make_case(seed, vocab_size, scale=scale, alpha=alpha)
        bound = 1e-6 * max(1.0, float(case.logits.abs().max()) + math.log(vocab_size))
        assert case.loss().dtype == torch.float32
        assert (case.loss().double() - case.reference()).abs().max() <= bound


@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradient_is_checked_by_finite_differences_in_float64(alpha: float) -> None:
    for seed in range(5):
        case = make_case(seed, 7, alpha=alpha)
        logits = case.logits.double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda z, case=case: replace(case, logits=z).loss(), (logits,)
        )


def test_gradient_equals_that_of_the_reference() -> None:
    case = make_case(3, 301, scale=5.0)
    ours, theirs = case.logits.clone().requires_grad_(), case.logits.double().requires_grad_()
    replace(case, logits=ours).loss().sum().backward()
    replace(case, logits=theirs).reference().sum().backward()
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=0, atol=1e-6)


def one_position(logits: list[float], kept: list[float], tail: float, alpha: float = 1.0) -> Case:
    """A teacher that keeps the first ids, with these probabilities."""
    return Case(
        logits=torch.tensor([logits]),
        labels=torch.tensor([0]),
        offsets=torch.tensor([0, len(kept)]),
        ids=torch.arange(len(kept)),
        logprobs=torch.tensor(kept, dtype=torch.float64).log(),
        tail=torch.tensor([tail], dtype=torch.float64).log(),
        alpha=alpha,
    )


def test_a_tail_far_below_float32_keeps_its_value_and_gradient() -> None:
    """1 - sum of the kept probabilities is 0 here, in float64 as well."""
    case = one_position([0.0, -300.0, -300.0], [0.5], 0.5)
    logits = case.logits.requires_grad_()
    loss = case.loss()
    assert loss.item() == pytest.approx(0.5 * (300 - math.log(2)), rel=1e-6)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.5, -0.25, -0.25]]))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_all_ids_are_the_dense_cross_entropy(alpha: float) -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 6, 40, generator=generator, dtype=torch.float64) * 3
    labels, logp = torch.arange(6), teacher.log_softmax(dim=-1)
    ours, dense = student.clone().requires_grad_(), student.clone().requires_grad_()
    ids, offsets = torch.arange(40).repeat(6), torch.arange(7) * 40
    nothing = torch.full((6,), -math.inf)
    loss = top_k_cross_entropy(ours, labels, offsets, ids, logp.flatten(), nothing, alpha)
    reference = alpha * F.cross_entropy(dense, logp.exp(), reduction="none")
    reference = reference + (1 - alpha) * F.cross_entropy(dense, labels, reduction="none")
    torch.testing.assert_close(loss, reference, rtol=1e-12, atol=1e-12)
    loss.sum().backward()
    reference.sum().backward()
    torch.testing.assert_close(ours.grad, dense.grad, rtol=1e-11, atol=1e-12)


def test_alpha_zero_is_the_sampled_loss_of_alpha_zero_to_the_bit() -> None:
    case = make_case(4, 1000, alpha=0.0)
    plain = sparse_cross_entropy(
        case.logits, case.labels, case.offsets, case.ids, case.logprobs, 0.0
    )
    assert torch.equal(case.loss(), plain)


def test_the_teacher_itself_costs_its_entropy_and_has_no_gradient() -> None:
    kept, rest = torch.tensor([0.5, 0.25]), torch.tensor([0.2, 0.05])
    case = one_position(torch.cat([kept, rest]).log().tolist(), kept.tolist(), 0.25)
    logits = case.logits.requires_grad_()
    loss = case.loss()
    assert loss.item() == pytest.approx(-0.5 * math.log(0.5) - 0.5 * math.log(0.25), rel=1e-6)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 4), rtol=0, atol=1e-7)


def test_one_hot_teachers_and_impossible_ids_give_no_nan() -> None:
    case = one_position([1e4, -math.inf, 0.0, 3.0], [1.0, 0.0], 0.0, alpha=0.7)
    logits = case.logits.requires_grad_()
    loss = case.loss()
    loss.sum().backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("logits", "kept", "tail"),
    [([0.0, -math.inf], [0.5, 0.5], 0.0), ([0.0, -math.inf], [0.5], 0.5), ([0.0], [0.5], 0.5)],
    ids=["kept id", "tail", "no id left for the tail"],
)
def test_weight_on_the_impossible_costs_infinity(
    logits: list[float], kept: list[float], tail: float
) -> None:
    case = one_position(logits, kept, tail)
    inputs = case.logits.requires_grad_()
    loss = case.loss()
    assert loss.item() == math.inf
    loss.backward()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_no_positions_are_no_loss(alpha: float) -> None:
    logits, none = torch.empty(0, 5, requires_grad=True), torch.empty(0, dtype=torch.int64)
    zero = torch.zeros(1, dtype=torch.int64)
    loss = top_k_cross_entropy(logits, none, zero, none, none.float(), none.float(), alpha)
    loss.sum().backward()
    assert loss.shape == (0,)
    assert logits.grad is not None
    assert logits.grad.shape == (0, 5)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_dead_rows_of_the_vocabulary_change_nothing(alpha: float) -> None:
    case = make_case(6, 40, alpha=alpha)
    ours = case.logits.clone().requires_grad_()
    padded = F.pad(case.logits, (0, 9), value=-math.inf).requires_grad_()
    loss, with_dead = replace(case, logits=ours).loss(), replace(case, logits=padded).loss()
    torch.testing.assert_close(with_dead, loss)
    loss.sum().backward()
    with_dead.sum().backward()
    assert padded.grad is not None
    torch.testing.assert_close(padded.grad[:, :40], ours.grad)
    assert not padded.grad[:, 40:].any()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), vocab_size=st.integers(1, 60), scale=st.floats(0, 50))
def test_no_student_costs_less_than_the_teachers_own_entropy(
    seed: int, vocab_size: int, scale: float
) -> None:
    """KL >= 0 over the kept ids and the tail."""
    case = make_case(seed, vocab_size, scale=scale, alpha=1.0)
    rows = torch.repeat_interleave(torch.arange(len(case.labels)), case.offsets.diff())
    logp, tail = case.logprobs.double(), case.tail.double()
    entropy = -(tail.exp() * tail.masked_fill(tail == -math.inf, 0))
    entropy.index_add_(0, rows, -logp.exp() * logp)
    least = -1e-6 * max(1.0, scale + math.log(vocab_size))
    assert bool((case.loss().double() - entropy >= least).all())


def test_half_precision_logits_are_summed_in_float32() -> None:
    case = make_case(5, 4096, scale=4.0)
    half = case.logits.bfloat16()
    low, high = replace(case, logits=half).loss(), replace(case, logits=half.float()).loss()
    assert torch.equal(low, high)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(DistillError, match=r"alpha must lie in \[0, 1\]"):
        make_case(6, 5, alpha=alpha).loss()


def test_shapes_that_do_not_fit_are_refused() -> None:
    case = make_case(7, 5)
    with pytest.raises(DistillError, match=r"offsets \(N \+ 1,\)"):
        replace(case, offsets=case.offsets[:-1]).loss()
    with pytest.raises(DistillError, match="tail_logmass at each of"):
        replace(case, tail=case.tail[:-1]).loss()
