"""Two models over whole documents: every position once, whoever else is measured, in any batch."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from distill.errors import DistillError
from distill.evaluation import side_by_side
from distill.evaluation.distances import (
    DocumentDistance,
    document_distance,
    position_distances,
    shared_events,
    teacher_law,
)
from distill.evaluation.scoring import IntArray, ScoreRequest
from distill.evaluation.side_by_side import StudentReading, measure_distances

TEACHER_SIZE, STUDENT_SIZE, ENDS = 50, 30, (3, 0)
SUMS = ("forward_kl", "reverse_kl", "accepted", "kept_mass")


@dataclass(frozen=True)
class Space:
    """The student's end id, and the teacher's id of each student id."""

    end_id: int
    to_teacher: IntArray


SPACE = Space(1, np.array([0, 3, *range(10, 10 + STUDENT_SIZE - 2)], np.int32))


def llama(vocab_size: int, seed: int, num_positions: int = 64) -> LlamaForCausalLM:
    """A small model with random weights, sharp enough that positions differ."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=num_positions,
        initializer_range=0.3,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: LlamaForCausalLM = LlamaForCausalLM(config).eval()
        return model


def some_documents(
    num_documents: int, seed: int = 0
) -> tuple[list[ScoreRequest], list[ScoreRequest]]:
    """The teacher's documents, under prompts of any length, and the student's of the same texts."""
    rng = np.random.default_rng(seed)
    of_teacher, of_student = [], []
    for place in range(num_documents):
        symbols = rng.integers(2, STUDENT_SIZE, size=rng.integers(1, 25)).astype(np.int32)
        prompt = rng.integers(4, TEACHER_SIZE, size=rng.integers(1, 9)).astype(np.int32)
        start, read = np.array([0], np.int32), SPACE.to_teacher[symbols]
        of_teacher.append(ScoreRequest(f"doc-{place}", prompt, read, 9))
        of_student.append(ScoreRequest(f"doc-{place}", start, symbols, 9))
    return of_teacher, of_student


def alone(
    teacher: LlamaForCausalLM, student: LlamaForCausalLM, read: ScoreRequest, own: ScoreRequest
) -> DocumentDistance:
    """A document's distances from one forward pass of each model over it alone."""
    logits = []
    for model, item in ((teacher, read), (student, own)):
        ids = torch.tensor([[*item.start_ids.tolist(), *item.symbol_ids.tolist()]])
        with torch.inference_mode():
            logits.append(model(input_ids=ids).logits[0, len(item.start_ids) - 1 :])
    labels = torch.tensor([*own.symbol_ids.tolist(), SPACE.end_id])
    law = teacher_law(logits[0], ENDS)
    found = position_distances(law, logits[1], labels, shared_events(SPACE, ENDS))
    return document_distance(own.doc_id, [found])


def measure(
    teacher: LlamaForCausalLM,
    documents: list[ScoreRequest],
    *students: tuple[LlamaForCausalLM, list[ScoreRequest]],
    num_tokens_per_batch: int = 100,
) -> list[list[DocumentDistance]]:
    readings = [StudentReading(model, SPACE, own) for model, own in students]
    return measure_distances(
        teacher, documents, readings, end_ids=ENDS, num_tokens_per_batch=num_tokens_per_batch
    )


def assert_close(found: DocumentDistance, expected: DocumentDistance) -> None:
    assert found.doc_id == expected.doc_id
    for one, other in zip(found.bands, expected.bands, strict=True):
        assert one.num_positions == other.num_positions
        assert one.reliability.num_tokens == other.reliability.num_tokens
        assert one.reliability.num_right == other.reliability.num_right
        for name in SUMS:
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("num_tokens_per_batch", [1, 60, 10_000])
def test_batches_change_nothing_but_last_bits(num_tokens_per_batch: int) -> None:
    teacher, student = llama(TEACHER_SIZE, 1), llama(STUDENT_SIZE, 2)
    documents, own = some_documents(12)
    [found] = measure(teacher, documents, (student, own), num_tokens_per_batch=num_tokens_per_batch)
    assert len(found) == 12
    for place, item in enumerate(found):
        assert item.num_positions == len(own[place].symbol_ids) + 1
        assert_close(item, alone(teacher, student, documents[place], own[place]))


def test_who_else_is_measured_and_the_documents_order_change_no_bit() -> None:
    teacher, first, second = (llama(n, seed) for seed, n in enumerate((TEACHER_SIZE, 30, 30)))
    documents, own = some_documents(10)
    together = measure(teacher, documents, (first, own), (second, own))
    assert together[0] == measure(teacher, documents, (first, own))[0]
    assert together[1] == measure(teacher, documents, (second, own))[0]
    backwards = measure(teacher, documents[::-1], (first, own[::-1]))[0]
    assert backwards == together[0][::-1]
    assert together[0] != together[1]


def test_where_a_document_is_cut_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, student = llama(TEACHER_SIZE, 1), llama(STUDENT_SIZE, 2)
    documents, own = some_documents(6)
    whole = measure(teacher, documents, (student, own))
    monkeypatch.setattr(side_by_side, "CHUNK_BYTES", 8 * TEACHER_SIZE * 3)
    for one, other in zip(measure(teacher, documents, (student, own))[0], whole[0], strict=True):
        assert_close(one, other)


def test_a_teacher_that_is_its_own_student_is_at_no_distance() -> None:
    teacher = llama(STUDENT_SIZE, 1)
    space = Space(1, np.arange(STUDENT_SIZE, dtype=np.int32))
    _, own = some_documents(5)
    readings = [StudentReading(teacher, space, own)]
    [found] = measure_distances(teacher, own, readings, end_ids=[1], num_tokens_per_batch=64)
    for item in found:
        sums = {name: sum(getattr(band, name) for band in item.bands) for name in SUMS}
        assert sums["forward_kl"] == pytest.approx(0, abs=1e-10)
        assert sums["reverse_kl"] == pytest.approx(0, abs=1e-10)
        assert sums["accepted"] == pytest.approx(item.num_positions, rel=1e-12)
        assert sums["kept_mass"] == pytest.approx(item.num_positions, rel=1e-12)


def test_a_student_with_a_zeroed_head_is_ln_v_less_the_entropy_away() -> None:
    teacher, student = llama(STUDENT_SIZE, 1), llama(STUDENT_SIZE, 2)
    with torch.no_grad():
        student.lm_head.weight.zero_()
    space = Space(1, np.arange(STUDENT_SIZE, dtype=np.int32))
    _, own = some_documents(4)
    readings = [StudentReading(student, space, own)]
    [found] = measure_distances(teacher, own, readings, end_ids=[1], num_tokens_per_batch=64)
    for document, item in zip(own, found, strict=True):
        ids = torch.tensor([[*document.start_ids.tolist(), *document.symbol_ids.tolist()]])
        with torch.inference_mode():
            logprob = teacher(input_ids=ids).logits[0].double().log_softmax(dim=1)
        entropy = float(-(logprob.exp() * logprob).sum())
        forward = sum(band.forward_kl for band in item.bands)
        assert forward == pytest.approx(
            item.num_positions * math.log(STUDENT_SIZE) - entropy, rel=1e-6
        )


def test_what_cannot_be_compared_is_counted_and_moves_nobody_else() -> None:
    """One text is read in other pieces, one is too long for the student, one for the teacher."""
    teacher, student = llama(TEACHER_SIZE, 1, 40), llama(STUDENT_SIZE, 2, 30)
    documents, own = some_documents(4)
    symbols = np.array([2] * 35, np.int32)
    too_long = ScoreRequest("long", own[0].start_ids, symbols, 9)
    documents.append(ScoreRequest("long", own[0].start_ids, SPACE.to_teacher[symbols], 9))
    own.append(too_long)
    prompt = np.array([5] * 30, np.int32)
    documents.append(ScoreRequest("prompted", prompt, SPACE.to_teacher[symbols[:12]], 9))
    own.append(ScoreRequest("prompted", own[0].start_ids, symbols[:12], 9))
    own[1] = replace(own[1], symbol_ids=own[1].symbol_ids[::-1].copy())
    own[2] = replace(own[2], symbol_ids=own[2].symbol_ids[:-1])
    [found] = measure(teacher, documents, (student, own))
    compared = [item.num_positions > 0 for item in found]
    assert compared == [True, False, False, True, False, False]
    for place in (0, 3):
        assert_close(found[place], alone(teacher, student, documents[place], own[place]))


def test_documents_that_are_not_the_same_are_refused() -> None:
    teacher, student = llama(TEACHER_SIZE, 1), llama(STUDENT_SIZE, 2)
    documents, own = some_documents(3)
    with pytest.raises(DistillError, match="expected the teacher's documents"):
        measure(teacher, documents, (student, own[::-1]))
    with pytest.raises(DistillError, match="found a doc_id twice"):
        measure(teacher, [documents[0]] * 2, (student, [own[0]] * 2))
    bare = replace(own[0], start_ids=np.zeros(0, np.int32))
    with pytest.raises(DistillError, match="expected a start symbol"):
        measure(teacher, documents, (student, [bare, *own[1:]]))


def test_models_are_left_in_the_mode_that_they_were_in() -> None:
    teacher, student = llama(TEACHER_SIZE, 1), llama(STUDENT_SIZE, 2).train()
    documents, own = some_documents(2)
    measure(teacher, documents, (student, own))
    assert student.training
    assert not teacher.training
