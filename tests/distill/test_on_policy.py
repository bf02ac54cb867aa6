"""The on-policy phase against a slow reference in float64, and what must not be felt: batches,
order.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from distill.batch_losses import batch_nats
from distill.batches import Cursor, make_batches, plan_steps
from distill.on_policy import LiveTeacher, OnPolicy, is_replaced
from distill.spaces import teacher_space
from distill.student_texts import read_texts
from distill.targets import StudentDocument
from distill.train import train
from tests.distill.on_policy_cases import (
    LENGTHS,
    NUM_STUDENT,
    NUM_TEACHER,
    SPACES,
    all_written,
    documents,
    live_teacher,
    phase_config,
    some_model,
    trimmed,
)


def reference(
    student: LlamaForCausalLM, teacher: LiveTeacher, text: StudentDocument, beta: float
) -> torch.Tensor:
    """The divergence of each written symbol by its definition, events by name."""
    space, ends = teacher.space, set(teacher.end_ids)
    ids = torch.tensor([[*text.prefix_ids.tolist(), *text.input_ids.tolist()]])
    context = list(teacher.context_of(text.doc_id))
    heard = torch.tensor([[*context, *space.to_teacher[text.input_ids].tolist()]])
    q_NS = student(input_ids=ids[:, :-1]).logits[0, len(text.prefix_ids) - 1 :].softmax(-1)
    with torch.no_grad():
        p_NT = teacher.model(input_ids=heard[:, :-1]).logits[0, len(context) - 1 :].softmax(-1)
    q_of: dict[str, list[torch.Tensor]] = {}
    p_of: dict[str, torch.Tensor] = {}
    for student_id, teacher_id in enumerate(space.to_teacher.tolist()):
        is_end = student_id == space.end_id or teacher_id in ends
        event = "end" if is_end else str(teacher_id)
        q_of.setdefault(event, []).append(q_NS[:, student_id])
        p_of[event] = p_NT[:, sorted(ends)].sum(-1) if is_end else p_NT[:, teacher_id]
    q_NE = torch.stack([torch.stack(parts).sum(0) for parts in q_of.values()], dim=1)
    p_NE = torch.stack([p_of[event] for event in q_of], dim=1)
    p_NE = p_NE / p_NE.sum(-1, keepdim=True)
    if beta in (0, 1):
        over, under = (p_NE, q_NE) if beta == 0 else (q_NE, p_NE)
        return (over * (over / under).log()).sum(-1)
    m_NE = beta * p_NE + (1 - beta) * q_NE
    forward, backward = p_NE * (p_NE / m_NE).log(), q_NE * (q_NE / m_NE).log()
    return (beta * forward + (1 - beta) * backward).sum(-1)


def gradients(model: LlamaForCausalLM) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
def test_loss_and_gradient_are_those_of_the_definition(
    kind: str, beta: float, dtype: torch.dtype, tolerance: float
) -> None:
    """In float32 a logit of some 20 and ln 400 carry 26e-6 of their own."""
    student, teacher = some_model(NUM_STUDENT, 0), some_model(NUM_TEACHER, 1)
    for model in (student, teacher):
        torch.nn.Module.to(model, dtype)
    config = phase_config(max_batch_tokens=48, phase={"share": 1.0, "beta": beta})
    on_policy = OnPolicy(config, live_teacher(kind, teacher))
    texts = all_written(on_policy, student, documents(kind=kind))
    assert len(texts) == len(LENGTHS)
    nats = 0.0
    for losses in on_policy.losses(student, texts, step=1):
        torch.autograd.backward(losses.sum())
        nats += losses.sum().item()
    found = gradients(student)

    exact, exact_teacher = student.double(), live_teacher(kind, teacher.double())
    expected = [reference(exact, exact_teacher, text, beta) for text in texts]
    torch.autograd.backward(torch.cat(expected).sum())
    assert nats == pytest.approx(sum(e.sum().item() for e in expected), rel=tolerance)
    for name, gradient in gradients(exact).items():
        worst = float((found[name].double() - gradient).abs().max() / gradient.abs().max())
        assert worst < 10 * tolerance, name


def test_a_student_that_is_its_teacher_has_no_loss_and_no_gradient() -> None:
    model = some_model(NUM_TEACHER, 1).double()
    space = teacher_space(trimmed("plain").tokenizer_json, start_id=0, end_ids=(1,))
    model = some_model(space.vocab_size, 1).double()
    given = documents()
    prefixes = {document.doc_id: document.prefix_ids.tolist() for document in given}
    teacher = LiveTeacher(model, space, (1,), lambda doc_id: prefixes[doc_id], "itself")
    on_policy = OnPolicy(phase_config(phase={"share": 1.0}), teacher)
    texts = all_written(on_policy, model, given)
    for losses in on_policy.losses(model, texts, step=1):
        assert losses.abs().max() < 1e-12
        torch.autograd.backward(losses.sum())
    assert max(float(g.abs().max()) for g in gradients(model).values()) < 1e-12


def test_a_step_is_the_mean_over_stored_and_written_targets(tmp_path: Path) -> None:
    config = phase_config(num_tokens=1, tokens_per_step=1000, phase={"steps_share": 1.0})
    student, given = some_model(NUM_STUDENT, 0), documents()
    on_policy = OnPolicy(config, live_teacher())
    (_, order) = next(plan_steps(np.array(LENGTHS), 1000, 3, Cursor(0, 0)))
    kept, written = on_policy.parted(
        student, [given[i] for i in order], seed=3, step=1, num_steps=1
    )
    assert kept
    assert written
    stored = sum(batch_nats(student, b, 0.5).item() for b in make_batches(kept, 64))
    teacher = live_teacher(model=some_model(NUM_TEACHER, 1).double())
    exact = some_model(NUM_STUDENT, 0).double()
    jsd = sum(reference(exact, teacher, text, 0.5).sum().item() for text in written)
    num_targets = sum(len(document.input_ids) for document in (*kept, *written))
    result = train(
        config,
        student,
        given,
        tmp_path,
        seed=3,
        alpha=0.5,
        on_policy=OnPolicy(config, live_teacher()),
    )
    assert [record.num_tokens for record in result.steps] == [num_targets]
    assert result.steps[0].loss == pytest.approx((stored + jsd) / num_targets, rel=1e-5)


def test_what_is_replaced_follows_from_seed_step_and_document_alone() -> None:
    student, given = some_model(NUM_STUDENT, 0), documents([4] * 40)
    on_policy = OnPolicy(phase_config(), live_teacher())
    for step in (5, 8):
        kept, written = on_policy.parted(student, given, seed=3, step=step, num_steps=8)
        expected = {d.doc_id for d in given if is_replaced(0.5, 3, step, d.doc_id)}
        assert {d.doc_id for d in written} == expected
        assert [d.doc_id for d in kept] == [d.doc_id for d in given if d.doc_id not in expected]
        part = given[30:10:-1]
        _, alone = on_policy.parted(student, part, seed=3, step=step, num_steps=8)
        assert {d.doc_id for d in alone} == expected & {d.doc_id for d in part}
        by_id = {d.doc_id: d.input_ids.tolist() for d in written}
        assert all(d.input_ids.tolist() == by_id[d.doc_id] for d in alone)


def test_a_share_is_that_share_and_grows_by_addition() -> None:
    places = [(seed, step, f"doc {i}") for seed in (1, 2) for step in (3, 4) for i in range(500)]
    before: set[tuple[int, int, str]] = set()
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        found = {place for place in places if is_replaced(share, *place)}
        spread = 4 * math.sqrt(share * (1 - share) / len(places))
        assert len(found) / len(places) == pytest.approx(share, abs=spread)
        assert before <= found
        before = found


def test_a_text_is_told_as_it_was_written(tmp_path: Path) -> None:
    space, config = trimmed("plain"), phase_config(phase={"share": 1.0, "temperature": 3.0})
    student, given = some_model(NUM_STUDENT, 0, scale=0.5), documents([40] * 40)
    on_policy = OnPolicy(config, live_teacher())
    written = on_policy.parted(student, given, seed=3, step=8, num_steps=8)[1]
    means = torch.cat(list(on_policy.losses(student, written, 8)))
    on_policy.keep_texts(tmp_path, 8)
    texts = {text.doc_id: text for text in read_texts(tmp_path, [8])}
    assert {text.is_finished for text in texts.values()} == {False, True}
    assert means.sum().item() == pytest.approx(sum(t.jsd * t.num_tokens for t in texts.values()))
    for document in written:
        ids, text = document.input_ids.tolist(), texts[document.doc_id]
        assert space.start_id not in ids
        assert space.end_id not in ids[:-1]
        assert text.is_finished is (ids[-1] == space.end_id)
        assert text.num_tokens == len(ids) == len(ids if text.is_finished else ids[:40])
        assert text.text == space.decode(ids)
