"""The loop against a plain one, and what must not be felt: padding, batches, repeats."""

import copy
import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import LlamaForCausalLM

from distill.batch_losses import batch_nats
from distill.batches import Batch, Cursor, make_batches, plan_steps
from distill.config import TrainConfig
from distill.errors import DistillError
from distill.nonfinite import NOWHERE, describe_place, first_bad_place
from distill.schedule import learning_rate
from distill.students.presets import build_student
from distill.targets import StudentDocument
from distill.train import StepRecord, train
from tests.student_documents import (
    END,
    START,
    VOCAB_SIZE,
    make_document,
    make_documents,
    train_config,
)

LENGTHS = [5, 17, 9, 30, 12, 3, 21, 14, 26]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def student(seed: int = 0) -> LlamaForCausalLM:
    return build_student("stlm-1m", VOCAB_SIZE, START, END, seed)


def gradients(
    model: LlamaForCausalLM, documents: list[StudentDocument], max_batch_tokens: int
) -> dict[str, torch.Tensor]:
    model.zero_grad()
    for batch in make_batches(documents, max_batch_tokens):
        torch.autograd.backward(batch_nats(model, batch, 0.5))
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def plain_losses(
    config: TrainConfig, model: LlamaForCausalLM, documents: list[StudentDocument], num_steps: int
) -> list[float]:
    """Cross entropy document by document, all logits made, torch's own loss, unfused optimizer."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8, foreach=False)
    num_targets_D = torch.tensor([len(d.input_ids) for d in documents]).numpy()
    plan = plan_steps(num_targets_D, config.tokens_per_step, config.seed, Cursor(0, 0))
    losses = []
    for step in range(1, num_steps + 1):
        optimizer.zero_grad()
        nats, num_tokens = torch.zeros(()), 0
        for document in (documents[i] for i in next(plan)[1]):
            ids = torch.tensor([*document.prefix_ids.tolist(), *document.input_ids.tolist()])
            logits = model(input_ids=ids[None, :-1]).logits[0, len(document.prefix_ids) - 1 :]
            labels = ids[len(document.prefix_ids) :]
            nats = nats + functional.cross_entropy(logits, labels, reduction="sum")
            num_tokens += len(labels)
        torch.autograd.backward(nats / num_tokens)
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, num_steps, config.learning_rate, 0.05, 0.3)
        optimizer.step()
        losses.append(nats.item() / num_tokens)
    return losses


def losses(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """The nats of each target."""
    with torch.no_grad():
        hidden = model.model(
            input_ids=batch.input_ids_BT, position_ids=batch.position_ids_BT, use_cache=False
        ).last_hidden_state
        logits = model.lm_head(hidden.flatten(0, 1)[batch.positions_N])
        return functional.cross_entropy(logits, batch.labels_N, reduction="none")


def test_packed_documents_have_the_losses_and_gradients_that_they_have_alone() -> None:
    """Float32 rounding is 1e-6 of a loss of some nats here; a document that sees another one, or
    stands at another position, is off by 1e-3 and more."""
    model, documents = student(), make_documents([5, 17, 9, 30, 12, 3, 21, 14, 26])
    for parameter in model.parameters():  # first weights hardly attend
        parameter.data *= 5 if parameter.ndim >= 2 else 1
    by_length = sorted(documents, key=lambda d: len(d.prefix_ids) + len(d.input_ids), reverse=True)
    (packed,) = make_batches(documents, 512, row_length=512)
    assert len(packed.input_ids_BT) == 1
    alone = torch.cat([losses(model, make_batches([d], 1)[0]) for d in by_length])
    assert (losses(model, packed) - alone).abs().max() < 1e-5
    unmasked = dataclasses.replace(packed, position_ids_BT=None)
    assert (losses(model, unmasked) - alone).abs().max() > 1e-2

    expected = gradients(model, documents, max_batch_tokens=1)
    for batch, is_close in ((packed, True), (unmasked, False)):
        model.zero_grad()
        torch.autograd.backward(batch_nats(model, batch, 0.5))
        found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        worst = max(float((found[n] - e).norm() / e.norm()) for n, e in expected.items())
        assert (worst < 1e-5) is is_close


def test_a_document_does_not_move_when_its_neighbours_do() -> None:
    model, documents = student(), make_documents([20, 20, 20])
    (packed,) = make_batches(documents, 512, row_length=512)
    other = packed.input_ids_BT.clone()
    other[0, :20] = (other[0, :20] + 3) % VOCAB_SIZE
    moved = losses(model, dataclasses.replace(packed, input_ids_BT=other))
    still = packed.positions_N >= 23
    assert int(still.sum()) > 30
    assert torch.equal(moved[still], losses(model, packed)[still])


def test_alpha_zero_is_a_plain_cross_entropy_training_step_for_step(tmp_path: Path) -> None:
    config, documents = train_config(optimizer="adamw"), make_documents(LENGTHS)
    result = train(config, student(), documents, tmp_path, seed=config.seed, alpha=0.0)
    expected = plain_losses(config, student(), documents, len(result.steps))
    assert len(expected) == 7
    assert expected[-1] < expected[0]
    assert [record.loss for record in result.steps] == pytest.approx(expected, rel=1e-5)


def test_challenger_and_control_have_the_same_tokens_steps_and_rates(tmp_path: Path) -> None:
    config, documents = train_config(), make_documents(LENGTHS)
    one = train(config, student(), documents, tmp_path / "a", seed=3, alpha=0.7)
    two = train(config, student(), documents, tmp_path / "b", seed=3, alpha=0.0)

    def facts(records: tuple[StepRecord, ...]) -> list[tuple[int, int, float]]:
        return [(r.step, r.num_tokens, r.learning_rate) for r in records]

    assert facts(one.steps) == facts(two.steps)
    assert one.num_tokens == one.steps[-1].num_tokens >= config.num_tokens
    assert one.weights_digest != two.weights_digest


def test_the_same_training_gives_the_same_bits_however_often_it_saves(tmp_path: Path) -> None:
    documents = make_documents(LENGTHS)
    first = train(train_config(), student(), documents, tmp_path / "a", seed=3, alpha=0.5)
    rarely = train_config(checkpoint_every_steps=100)
    again = train(rarely, student(), documents, tmp_path / "b", seed=3, alpha=0.5)
    other = train(rarely, student(), documents, tmp_path / "c", seed=4, alpha=0.5)
    assert first == again
    assert other.weights_digest != first.weights_digest


def test_the_split_into_batches_is_not_felt() -> None:
    model, documents = student(), make_documents(LENGTHS)
    whole = gradients(model, documents, max_batch_tokens=10_000)
    for size in (1, 40, 90):
        split = gradients(model, documents, max_batch_tokens=size)
        for name, expected in whole.items():
            error = (split[name] - expected).abs().max() / expected.abs().max()
            assert error < 1e-5, name


def test_a_document_costs_the_same_alone_and_padded() -> None:
    model, documents = student(), make_documents(LENGTHS)
    (together,) = make_batches(documents, 10_000)
    with torch.no_grad():
        alone = [
            batch_nats(model, batch, 0.5).item()
            for document in documents
            for batch in make_batches([document], 1)
        ]
        assert batch_nats(model, together, 0.5).item() == pytest.approx(sum(alone), rel=1e-6)


def test_what_stands_in_the_padding_changes_no_bit() -> None:
    model = student()
    (batch,) = make_batches(make_documents([30, 4, 9]), 10_000)
    ids_BT = batch.input_ids_BT.clone()
    for row, num_inputs in enumerate([30, 9, 7]):  # longest first, prefixes included
        if row:
            ids_BT[row, num_inputs:] = 7
    assert not torch.equal(ids_BT, batch.input_ids_BT)
    other = Batch(
        ids_BT,
        batch.positions_N,
        batch.labels_N,
        batch.offsets_N1,
        batch.target_ids_K,
        batch.target_counts_K,
    )
    grads = []
    for each in (batch, other):
        model.zero_grad()
        torch.autograd.backward(batch_nats(model, each, 0.5))
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_a_tiny_set_is_learnt_down_to_the_entropy_of_its_draws(tmp_path: Path) -> None:
    draws = [[3, 3, 3, 9], [5, 5, 6, 6], [8, 8, 8, 8], [END, END, END, 2]]
    documents = [make_document("a", [START], [3, 5, 8, END], draws)]
    entropy = (2 * _entropy(0.75) + _entropy(0.5)) / 4
    config = train_config(num_tokens=4 * 80, tokens_per_step=4)
    result = train(config, student(), documents, tmp_path, seed=0, alpha=1.0)
    assert result.steps[0].loss == pytest.approx(math.log(VOCAB_SIZE), rel=0.1)
    assert entropy - 1e-6 <= result.steps[-1].loss < entropy + 0.01


def _entropy(share: float) -> float:
    return -share * math.log(share) - (1 - share) * math.log(1 - share)


def test_a_finished_training_returns_at_once_and_puts_the_weights_back(tmp_path: Path) -> None:
    config, documents = train_config(), make_documents(LENGTHS)
    first = train(config, student(), documents, tmp_path, seed=3, alpha=0.5)
    heard: list[StepRecord] = []
    model = student()
    second = train(config, model, documents, tmp_path, seed=3, alpha=0.5, on_step=heard.append)
    assert (second, heard) == (first, [])


def test_training_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(train_config(), student(), make_documents(LENGTHS), tmp_path, seed=3, alpha=0.5)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_not_finite_stops_with_document_and_target_named(tmp_path: Path) -> None:
    model = copy.deepcopy(student())
    with torch.no_grad():
        model.get_parameter("model.norm.weight").fill_(float("nan"))
    message = r"step 1: finite loss.*in document doc-0-\d, target 1 of .*lower learning_rate"
    with pytest.raises(DistillError, match=message):
        train(train_config(), model, make_documents(LENGTHS), tmp_path, seed=3, alpha=0.5)
    assert list(tmp_path.iterdir()) == []
    assert all(p.isfinite().all() for n, p in model.named_parameters() if n != "model.norm.weight")


def test_the_first_bad_target_of_the_first_bad_document_is_found() -> None:
    documents = make_documents(LENGTHS)

    def losses(document: StudentDocument) -> torch.Tensor:
        values = torch.ones(len(document.input_ids))
        if document.doc_id in ("doc-0-3", "doc-0-6"):
            values[4], values[7] = float("nan"), float("inf")
        return values

    place = first_bad_place(documents, [8, 6, 3, 0], losses)
    assert "document doc-0-3, target 5 of 30" in describe_place(place, documents, np.arange(9))
    assert first_bad_place(documents, [8, 0], losses) == NOWHERE
    said = describe_place(NOWHERE, documents, np.arange(9))
    assert said.startswith("each of its 9 documents (doc-0-0, doc-0-1, doc-0-2,")
    assert "doc-0-4, ...) has a finite loss" in said


def test_a_gradient_that_is_not_finite_names_the_documents_of_the_step(tmp_path: Path) -> None:
    model = student()
    heard: list[StepRecord] = []

    def spoil(record: StepRecord) -> None:
        heard.append(record)
        if record.step == 3:
            parameter = model.get_parameter("model.norm.weight")
            parameter.register_hook(lambda gradient: gradient * float("inf"))

    def run(model: LlamaForCausalLM) -> None:
        documents = make_documents(LENGTHS)
        train(train_config(), model, documents, tmp_path, seed=3, alpha=0.5, on_step=spoil)

    message = r"step 4: .*norm (nan|inf); each of its \d+ documents \(doc-0-.*has a finite loss"
    with pytest.raises(DistillError, match=message):
        train(
            train_config(),
            model,
            make_documents(LENGTHS),
            tmp_path,
            seed=3,
            alpha=0.5,
            on_step=spoil,
        )
    assert len(heard) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_a_config_refuses_shares_above_one_and_unknown_presets() -> None:
    with pytest.raises(ValueError, match=r"at most 1, found 0\.8 \+ 0\.3"):
        train_config(warmup_share=0.8)
    with pytest.raises(
        ValueError, match="'stlm-2m' does not exist; choose one of stlm-1m, stlm-3m"
    ):
        TrainConfig(preset="stlm-2m", num_tokens=1, alpha=0.0, seed=0)
