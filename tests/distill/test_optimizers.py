"""Which parameter which optimizer has, and steps against the published algorithms in float64."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from distill.errors import DistillError
from distill.optimizers import make_optimizers, restore_state, set_rate, state_tensors
from distill.schedule import learning_rate
from distill.train import train
from tests.student_documents import make_documents, tiny_student, train_config

RATE, DECAY = 0.01, 0.1


def step_once(optimizer: str) -> tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]:
    """Weights before and after a step whose gradient is a fixed random one."""
    model = tiny_student()
    config = train_config(optimizer=optimizer, weight_decay=DECAY)
    optimizers = make_optimizers(config, model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for name, gradient in random_gradients().items():
        model.get_parameter(name).grad = gradient.clone()
    set_rate(optimizers, RATE)
    for one in optimizers:
        one.step()
    return before, {name: p.detach() for name, p in model.named_parameters()}


def random_gradients() -> dict[str, torch.Tensor]:
    chance = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(p.shape, generator=chance)
        for name, p in tiny_student().named_parameters()
    }


def is_hidden_matrix(name: str) -> bool:
    return name.endswith("proj.weight")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_first_step_of_adamw_is_the_gradients_sign(optimizer: str) -> None:
    before, after = step_once(optimizer)
    for name, weight in before.items():
        if optimizer == "muon" and is_hidden_matrix(name):
            continue
        kept = 1 - RATE * DECAY if weight.ndim == 2 else 1.0
        gradient = random_gradients()[name].double()
        expected = kept * weight.double() - RATE * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(after[name].double(), expected, rtol=0, atol=1e-6)


def test_a_step_of_muon_has_equal_singular_values_of_the_size_of_adamw() -> None:
    """With Nesterov momentum the first update is a multiple of the gradient; made orthogonal, its
    singular values lie in [0.68, 1.13] (five steps of the quintic of Jordan et al.), and the scale
    is 0.2 * sqrt(max(rows, columns)).
    """
    before, after = step_once("muon")
    hidden = [name for name in before if is_hidden_matrix(name)]
    assert len(hidden) == 7
    for name in hidden:
        update = ((1 - RATE * DECAY) * before[name].double() - after[name].double()) / RATE
        scale = 0.2 * math.sqrt(max(update.shape))
        values = torch.linalg.svdvals(update) / scale
        gradient = random_gradients()[name].double()
        is_full = torch.linalg.svdvals(gradient) > 0.02 * gradient.norm()
        assert 0.6 < values[is_full].min() <= values.max() < 1.25
        u, _, vh = torch.linalg.svd(gradient, full_matrices=False)
        alignment = (u.T @ update @ vh.T).diagonal() / scale
        assert alignment[is_full].min() > 0.6  # along the gradient's own directions


def test_muon_has_the_hidden_matrices_and_adamw_the_rest() -> None:
    model = tiny_student()
    adamw, muon = make_optimizers(train_config(optimizer="muon"), model)
    names = {id(p): name for name, p in model.named_parameters()}
    of_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    of_adamw = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert of_muon == {name for name in names.values() if is_hidden_matrix(name)}
    assert of_adamw == set(names.values()) - of_muon
    assert "model.embed_tokens.weight" in of_adamw  # the head is tied to it


def test_state_of_another_model_or_optimizer_is_refused_before_anything_changes() -> None:
    model = tiny_student()
    muon = make_optimizers(train_config(optimizer="muon"), model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    other_model = tiny_student(1)
    tensors = state_tensors(
        other_model, make_optimizers(train_config(optimizer="adamw"), other_model)
    )
    with pytest.raises(DistillError, match=r"found 11: 19 missing \(optimizer\.exp_avg\."):
        restore_state(model, muon, {name: t for name, t in tensors.items() if "weights" in name})
    adamw = make_optimizers(train_config(optimizer="adamw"), model)
    whole = state_tensors(model, adamw)
    assert not any(name.startswith("optimizer") for name in whole)
    state = {
        f"optimizer.{key}.{n}": torch.zeros(p.shape if key != "step" else ())
        for n, p in before.items()
        for key in ("step", "exp_avg", "exp_avg_sq")
    }
    norm = "weights.model.norm.weight"
    for other in (torch.ones(1), torch.ones_like(whole[norm], dtype=torch.float64)):
        with pytest.raises(DistillError, match=rf"1 mis-shaped \({norm}\)"):
            restore_state(model, adamw, {**whole, **state, norm: other})
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    restore_state(model, adamw, {**whole, **state})


def test_muon_under_a_cosine_learns(tmp_path: Path) -> None:
    documents = make_documents([5, 17, 9, 30, 12, 3, 21, 14, 26])
    config = train_config(schedule="cosine", num_tokens=1_000)
    result = train(config, tiny_student(), documents, tmp_path, seed=3, alpha=0.0)
    assert result.steps[-1].loss < result.steps[0].loss - 0.02


def test_the_rate_rises_stays_and_falls() -> None:
    rates = [learning_rate(step, 20, 2.0, 0.2, 0.25) for step in range(1, 21)]
    assert rates == pytest.approx([0.5, 1.0, 1.5, *[2.0] * 13, 1.6, 1.2, 0.8, 0.4])
    assert [learning_rate(step, 2, 1.0, 0.0, 0.0) for step in (1, 2)] == [1.0, 1.0]
    assert learning_rate(1, 1, 1.0, 0.5, 0.5) == 1.0
    with pytest.raises(ValueError, match=r"step must lie in \[1, 3\], found 4"):
        learning_rate(4, 3, 1.0, 0.1, 0.1)


def test_a_cosine_falls_from_the_end_of_the_warmup_and_never_reaches_zero() -> None:
    rates = [learning_rate(step, 20, 2.0, 0.2, 0.9, "cosine") for step in range(1, 21)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    expected = [1 + math.cos(math.pi * i / 17) for i in range(1, 17)]
    assert rates[4:] == pytest.approx(expected, rel=1e-12)
    assert rates[-1] > 0
    assert learning_rate(1, 1, 2.0, 0.0, 0.0, "cosine") == pytest.approx(1.0)


def test_keys_that_are_at_their_default_are_no_part_of_the_identity() -> None:
    usual = train_config().identity()
    assert usual.keys().isdisjoint({"schedule", "precision", "compile", "context"})
    assert usual["optimizer"] == "muon"
    assert usual.keys().isdisjoint({"num_processes", "peak_tflops", "checkpoint_every_steps"})
    assert train_config(peak_tflops=3.0).identity() == usual
    for change in ({"optimizer": "adamw"}, {"precision": "bf16"}, {"num_processes": 2}):
        assert train_config(**change).identity() == {**usual, **change}
    assert train_config(compile=True).identity() == {**usual, "compile": True}
    cosine = train_config(schedule="cosine").identity()
    del usual["decay_share"]  # which a cosine does not read
    assert cosine == {**usual, "schedule": "cosine"}
    assert train_config(schedule="cosine", warmup_share=0.9).warmup_share == 0.9
