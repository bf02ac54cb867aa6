"""Forward KL, reverse KL and generalized JSD against slow float64 references and closed forms."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distill.errors import DistillError
from distill.losses import forward_kl, generalized_jsd, reverse_kl, sparse_cross_entropy

TEMPERATURES = (0.1, 1.0, 2.0, 4.0, 10.0)
NAMES = ("forward", "reverse", "jsd 0.1", "jsd 0.5")
Loss = Callable[..., Tensor]


def loss_named(name: str) -> Loss:
    if name.startswith("jsd"):
        return lambda *tensors, **options: generalized_jsd(
            *tensors, beta=float(name.split()[1]), **options
        )
    return {"forward": forward_kl, "reverse": reverse_kl}[name]


def kl(logp: Tensor, logq: Tensor) -> Tensor:
    terms = logp.exp() * (logp - logq)
    return terms.masked_fill(logp == -math.inf, 0).sum(dim=-1)


def reference(
    name: str, student: Tensor, teacher: Tensor, labels: Tensor, alpha: float, temperature: float
) -> Tensor:
    student, teacher = student.double(), teacher.double()
    logq, logp = (student / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1)
    if name.startswith("jsd"):
        beta = float(name.split()[1])
        logm = torch.logaddexp(logp + math.log(beta), logq + math.log(1 - beta))
        divergence = beta * kl(logp, logm) + (1 - beta) * kl(logq, logm)
    else:
        divergence = kl(logp, logq) if name == "forward" else kl(logq, logp)
    plain = F.cross_entropy(student, labels, reduction="none")
    return alpha * temperature**2 * divergence + (1 - alpha) * plain


def make_logits(seed: int, vocab_size: int, scale: float, n: int = 4) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.rand(2, n, vocab_size, generator=generator) * 2 - 1) * scale
    return student, teacher, torch.randint(vocab_size, (n,), generator=generator)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("vocab_size", [1, 2, 17, 4096, 50_001])
def test_float32_loss_equals_the_float64_reference(
    name: str, temperature: float, vocab_size: int
) -> None:
    # Two logits of 1e4 have a difference that float32 rounds, and the loss has T times that.
    for scale in (0.01, 1.0, 30.0, *([1e4] if temperature <= 2 else [])):
        student, teacher, labels = make_logits(0, vocab_size, scale)
        largest = float(torch.stack([student, teacher]).abs().max())
        bound = 1e-6 * max(1.0, largest + math.log(vocab_size))
        for alpha in (0.3, 1.0):
            loss = loss_named(name)(student, teacher, labels, alpha=alpha, temperature=temperature)
            expected = reference(name, student, teacher, labels, alpha, temperature)
            assert loss.dtype == torch.float32
            assert (loss.double() - expected).abs().max() <= bound
            assert loss.min() >= 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_equals_that_of_the_reference(name: str, temperature: float) -> None:
    student, teacher, labels = make_logits(1, 301, 5.0)
    for alpha in (0.0, 0.3, 1.0):
        ours, theirs = student.clone().requires_grad_(), student.double().requires_grad_()
        loss = loss_named(name)(ours, teacher, labels, alpha=alpha, temperature=temperature)
        loss.sum().backward()
        reference(name, theirs, teacher, labels, alpha, temperature).sum().backward()
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_forward_gradient_is_temperature_times_the_difference(temperature: float) -> None:
    student, teacher, labels = make_logits(2, 50, 6.0)
    student, teacher = student.double().requires_grad_(), teacher.double()
    forward_kl(student, teacher, labels, alpha=1.0, temperature=temperature).sum().backward()
    q, p = (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)
    torch.testing.assert_close(student.grad, temperature * (q - p), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_student_that_is_the_teacher_costs_nothing(name: str, temperature: float) -> None:
    _, teacher, labels = make_logits(3, 4096, 20.0)
    student = teacher.clone().requires_grad_()
    loss = loss_named(name)(student, teacher, labels, alpha=1.0, temperature=temperature)
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.zeros(4), rtol=0, atol=1e-6)
    torch.testing.assert_close(student.grad, torch.zeros_like(student), rtol=0, atol=1e-6)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_beta_zero_and_one_are_the_two_kls(temperature: float) -> None:
    student, teacher, labels = make_logits(4, 60, 4.0)
    options = {"alpha": 0.6, "temperature": temperature}
    for beta, same in ((0.0, forward_kl), (1.0, reverse_kl)):
        jsd = generalized_jsd(student, teacher, labels, beta=beta, **options)
        assert torch.equal(jsd, same(student, teacher, labels, **options))


@pytest.mark.parametrize("name", NAMES)
def test_alpha_zero_is_plain_cross_entropy(name: str) -> None:
    student, teacher, labels = make_logits(5, 300, 8.0)
    teacher[0, 0] = student[1, 1] = -math.inf
    teacher[2] = math.nan
    labels[1] = 0
    loss = loss_named(name)(student, teacher, labels, alpha=0.0, temperature=2.0)
    torch.testing.assert_close(loss, F.cross_entropy(student, labels, reduction="none"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("label", [-100, -1, 50])
def test_a_label_that_is_no_id_is_refused(name: str, label: int) -> None:
    student, teacher, labels = make_logits(7, 50, 2.0)
    labels[2] = label
    with pytest.raises(DistillError, match=r"expected labels in \[0, 50\), found"):
        loss_named(name)(student, teacher, labels, alpha=0.5, temperature=1.0)


def test_forward_kl_is_the_sampled_loss_of_exact_weights_less_the_entropy() -> None:
    student, teacher, labels = make_logits(6, 40, 3.0)
    student, logp = student.double(), teacher.double().log_softmax(-1)
    ids, offsets = torch.arange(40).repeat(4), torch.arange(5) * 40
    for alpha in (0.3, 1.0):
        sampled = sparse_cross_entropy(student, labels, offsets, ids, logp.exp().flatten(), alpha)
        dense = forward_kl(student, teacher.double(), labels, alpha=alpha, temperature=1.0)
        entropy = -(logp.exp() * logp).sum(-1)
        torch.testing.assert_close(dense, sampled - alpha * entropy, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_dead_rows_of_the_vocabulary_change_nothing(name: str, temperature: float) -> None:
    student, teacher, labels = make_logits(7, 40, 4.0)
    ours = student.clone().requires_grad_()
    padded = F.pad(student, (0, 9), value=-math.inf).requires_grad_()
    dead = F.pad(teacher, (0, 9), value=-math.inf)
    options = {"alpha": 0.7, "temperature": temperature}
    loss = loss_named(name)(ours, teacher, labels, **options)
    with_dead = loss_named(name)(padded, dead, labels, **options)
    torch.testing.assert_close(with_dead, loss)
    loss.sum().backward()
    with_dead.sum().backward()
    assert padded.grad is not None
    torch.testing.assert_close(padded.grad[:, :40], ours.grad)
    assert not padded.grad[:, 40:].any()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_one_hot_teachers_and_impossible_ids_give_no_nan(temperature: float) -> None:
    inf = math.inf
    student = torch.tensor([[0.0, 1e4, -inf, 3.0], [1.0, 2.0, 3.0, -inf]])
    teacher = torch.tensor([[-inf, 0.0, -inf, -inf], [0.0, -inf, 1e4, -inf]])
    for name in NAMES:
        logits = student.clone().requires_grad_()
        loss = loss_named(name)(
            logits, teacher, torch.tensor([1, 2]), alpha=0.5, temperature=temperature
        )
        loss[loss.isfinite()].sum().backward()
        assert not loss.isnan().any()
        assert bool(loss.isfinite().all()) == (name != "reverse")
        assert logits.grad is not None
        assert logits.grad.isfinite().all() or name == "reverse"


def test_what_only_one_side_gives_a_probability_costs_infinity_to_it() -> None:
    both, first = torch.zeros(1, 2), torch.tensor([[0.0, -math.inf]])
    options = {"alpha": 1.0, "temperature": 1.0}
    label = torch.tensor([0])
    assert forward_kl(first, both, label, **options).item() == math.inf
    assert forward_kl(both, first, label, **options).item() == pytest.approx(math.log(2))
    assert reverse_kl(both, first, label, **options).item() == math.inf
    assert reverse_kl(first, both, label, **options).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", NAMES)
def test_no_positions_are_no_loss(name: str) -> None:
    logits = torch.empty(0, 5, requires_grad=True)
    none = torch.empty(0, dtype=torch.int64)
    loss = loss_named(name)(logits, torch.empty(0, 5), none, alpha=0.5, temperature=1.0)
    loss.sum().backward()
    assert loss.shape == (0,)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    vocab_size=st.integers(1, 60),
    scale=st.floats(0, 50),
    temperature=st.floats(0.5, 4),
    name=st.sampled_from(NAMES),
)
def test_no_divergence_is_below_zero(
    seed: int, vocab_size: int, scale: float, temperature: float, name: str
) -> None:
    student, teacher, labels = make_logits(seed, vocab_size, scale)
    loss = loss_named(name)(student, teacher, labels, alpha=1.0, temperature=temperature)
    least = -1e-6 * temperature**2 * max(1.0, scale / temperature + math.log(vocab_size))
    assert bool((loss >= least).all())


def test_half_precision_logits_are_summed_in_float32() -> None:
    student, teacher, labels = make_logits(8, 4096, 4.0)
    half = (student.bfloat16(), teacher.bfloat16(), labels)
    low = forward_kl(*half, alpha=0.5, temperature=2.0)
    high = forward_kl(half[0].float(), half[1].float(), labels, alpha=0.5, temperature=2.0)
    assert torch.equal(low, high)


def test_teachers_of_other_vocabularies_are_refused() -> None:
    student, teacher, labels = make_logits(9, 10, 1.0)
    with pytest.raises(DistillError, match="cut padded rows of the larger vocabulary off"):
        forward_kl(student, F.pad(teacher, (0, 2)), labels, alpha=1.0, temperature=1.0)


@pytest.mark.parametrize(
    ("option", "value"),
    [("alpha", 1.1), ("beta", -0.1), ("temperature", 0.0), ("temperature", math.nan)],
)
def test_options_outside_their_range_are_refused(option: str, value: float) -> None:
    options = {"alpha": 0.5, "beta": 0.5, "temperature": 1.0, option: value}
    student, teacher, labels = make_logits(10, 10, 1.0)
    with pytest.raises(DistillError, match=f"{option} must"):
        generalized_jsd(student, teacher, labels, **options)
