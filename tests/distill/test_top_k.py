"""Top-k targets: exact about their tail, from the teacher to the student's loss."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from distill.audit import audit_document, judge
from distill.batch_losses import batch_nats
from distill.batches import make_batches
from distill.capture import capture_documents
from distill.capture_config import CaptureConfig
from distill.errors import DistillError
from distill.positions import CaptureRequest, TeacherIds, listen
from distill.reading import to_students
from distill.spaces import teacher_space
from distill.targets import (
    CapturedDocument,
    CaptureFacts,
    check_facts,
    from_table,
    to_table,
)
from distill.tokens import TokenSpace
from distill.top_k import TopK, keep_top
from distill.trimming import trim_tokenizer
from tests.capture_requests import capture_requests
from tests.tiny_teacher import VOCAB_SIZE
from warehouse.schemas import TARGETS
from warehouse.shards import read_shard, write_shard

K = 12
CONFIG = CaptureConfig(mode="top_k", k=K, num_draws=50, seed=3, batch_size=4)
Float64Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def requests_(tiny_teacher_folder: Path) -> list[CaptureRequest]:
    return capture_requests(tiny_teacher_folder, 4, 79)


@pytest.fixture(scope="module")
def space(tiny_tokenizer_json: str) -> TokenSpace:
    return teacher_space(tiny_tokenizer_json, start_id=0, end_ids=(1,))


def captured(
    model: PreTrainedModel, requests: list[CaptureRequest], ids: TeacherIds, k: int = K
) -> list[CapturedDocument]:
    config = CONFIG.model_copy(update={"k": k})
    rows = capture_documents(model, requests, config, ids, run_id="run", teacher_digest="teacher")
    assert rows.column("target_counts").null_count == len(requests)
    return from_table(rows, num_draws=0, vocab_size=VOCAB_SIZE, k=k)


def dense(model: PreTrainedModel, request: CaptureRequest) -> Float64Array:
    row = torch.tensor([[*request.context_ids, *request.text_ids]])
    with torch.no_grad():
        logits = model(input_ids=row, use_cache=False).logits[0, len(request.context_ids) - 1 :]
    logprobs: Float64Array = logits.double().log_softmax(dim=-1).numpy()
    return logprobs


def top_of(logits: list[float], k: int, end_ids: tuple[int, ...] = (0,)) -> TopK:
    """Of one position of a teacher in float32 that says these logits."""
    ids = TeacherIds(end_ids, np.ones(len(logits), np.bool_))
    config = LlamaConfig(
        vocab_size=len(logits), hidden_size=8, num_hidden_layers=0, num_attention_heads=1
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
        model.get_output_embeddings().weight[:, 0] = torch.tensor(logits)
        hidden = torch.zeros(1, 8)
        hidden[0, 0] = 1.0
        [(_, heard)] = listen(model, hidden, np.array([0], np.int32), ids, logits_mib=1)
        return keep_top(heard, k, ids)


def test_ids_and_tail_equal_the_dense_reference(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    for request, found in zip(requests_, captured(tiny_teacher, requests_, tiny_ids), strict=True):
        logprobs = dense(tiny_teacher, request)
        ids = np.sort(np.argsort(-logprobs, axis=1)[:, :K], axis=1)
        assert np.array_equal(found.target_ids.reshape(-1, K), ids)
        kept = np.take_along_axis(logprobs, ids, axis=1)
        np.testing.assert_allclose(found.topk_logprob.reshape(-1, K), kept, rtol=5e-4, atol=1e-7)
        rest = logprobs.copy()
        np.put_along_axis(rest, ids, -np.inf, axis=1)
        tail = np.logaddexp.reduce(rest, axis=1)
        np.testing.assert_allclose(found.tail_logmass, tail, rtol=5e-4)
        assert found.target_counts.size == 0


def test_a_tail_that_a_subtraction_would_lose_is_kept() -> None:
    logits = [0.0, -30.0, -31.0, -32.0]
    top = top_of(logits, k=1)
    rest = np.logaddexp.reduce(logits[1:])
    assert float(top.tail_logmass_N[0]) == pytest.approx(rest - np.logaddexp(0.0, rest), rel=1e-6)
    assert np.float32(1) - np.exp(np.float32(top.logprobs_Nk[0, 0])) == 0  # what a subtraction says


def test_all_ids_leave_no_tail_and_more_are_refused() -> None:
    logits = [1.0, 0.5, 0.0, -1.0]
    top = top_of(logits, k=4)
    assert float(top.tail_logmass_N[0]) == -np.inf
    assert top.logprobs_Nk.exp().sum().item() == pytest.approx(1.0)
    with pytest.raises(DistillError, match=r"capture.k = 5: expected at most 4"):
        top_of(logits, k=5)
    with pytest.raises(DistillError, match=r"capture.k = 4: expected at most 3"):
        top_of(logits, k=4, end_ids=(0, 2))


def test_all_end_ids_are_one_event_under_the_main_one() -> None:
    logits = [0.0, 0.4, 0.5, -1.0]
    top = top_of(logits, k=2, end_ids=(3, 2))
    assert top.ids_Nk.tolist() == [[1, 3]]
    total = np.logaddexp.reduce(logits)
    expected = [0.4 - total, np.logaddexp(-1.0, 0.5) - total]
    np.testing.assert_allclose(top.logprobs_Nk[0].numpy(), expected, rtol=1e-6)
    assert float(top.tail_logmass_N[0]) == pytest.approx(-total, rel=1e-6)


def test_a_student_reads_a_law_that_is_the_teachers_but_for_rounding(
    tiny_teacher: PreTrainedModel,
    tiny_ids: TeacherIds,
    requests_: list[CaptureRequest],
    space: TokenSpace,
) -> None:
    for request, document in zip(
        requests_, captured(tiny_teacher, requests_, tiny_ids), strict=True
    ):
        (student,) = to_students([document], space, [[space.start_id]])
        assert student is not None
        assert (student.n_draws == 0).all()
        assert student.target_counts.size == 0
        law = np.exp(student.target_logprobs.reshape(-1, K))
        tail = np.exp(student.tail_logmass)
        np.testing.assert_allclose(law.sum(axis=1) + tail, 1.0, rtol=1e-12)
        logprobs = dense(tiny_teacher, request)
        ids = student.target_ids.reshape(-1, K)
        exact = np.take_along_axis(logprobs, ids, axis=1)
        rest = 1.0 - np.exp(exact).sum(axis=1)
        nats = (np.exp(exact) * (exact - np.log(law))).sum(axis=1) + rest * np.log(rest / tail)
        assert nats.max() < 1e-6


def test_a_space_that_lacks_an_id_is_refused(
    tiny_teacher: PreTrainedModel,
    tiny_ids: TeacherIds,
    requests_: list[CaptureRequest],
    tiny_tokenizer_json: str,
) -> None:
    trimmed = trim_tokenizer(
        tiny_tokenizer_json,
        vocab_size=400,
        id_counts={i: 1 for request in requests_ for i in request.text_ids},
        forms=(),
        start_id=0,
        end_ids=(1,),
    )
    [document] = captured(tiny_teacher, requests_[:1], tiny_ids)
    with pytest.raises(DistillError, match=r"one that lacks 112: how much of the tail"):
        to_students([document], trimmed, [[]])


def test_the_loss_of_a_batch_equals_its_float64_expression(
    tiny_teacher: PreTrainedModel,
    tiny_ids: TeacherIds,
    requests_: list[CaptureRequest],
    space: TokenSpace,
) -> None:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=space.vocab_size,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.5,
    )
    model = LlamaForCausalLM(config).double()
    documents = captured(tiny_teacher, requests_, tiny_ids)
    students = to_students(documents, space, [[space.start_id]] * len(documents))
    read = [student for student in students if student is not None]
    assert len(read) == len(requests_)
    alpha, expected = 0.7, 0.0
    with torch.no_grad():
        for student in read:
            inputs = torch.from_numpy(np.append(student.prefix_ids, student.input_ids[:-1]))
            logq = model(input_ids=inputs.long()[None]).logits[0].log_softmax(dim=1).numpy()
            for t in range(student.input_ids.size):
                part = slice(student.offsets[t], student.offsets[t + 1])
                ids, law = student.target_ids[part], np.exp(student.target_logprobs[part])
                bucket = np.log(1 - np.exp(logq[t, ids]).sum())
                soft = -(law * logq[t, ids]).sum() - np.exp(student.tail_logmass[t]) * bucket
                expected += alpha * soft - (1 - alpha) * logq[t, student.input_ids[t]]
        found = sum(float(batch_nats(model, batch, alpha)) for batch in make_batches(read, 64))
        hard = sum(float(batch_nats(model, batch, 0.0)) for batch in make_batches(read, 64))
    assert found == pytest.approx(expected, rel=1e-12)
    assert hard != pytest.approx(found, rel=1e-3)


def test_rows_written_before_there_was_top_k_are_read(
    tmp_path: Path, tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds
) -> None:
    request = CaptureRequest("doc", "story", [0], [60, 61, 62])
    config = CaptureConfig(num_draws=50, seed=3, batch_size=4)
    rows = capture_documents(
        tiny_teacher, [request], config, tiny_ids, run_id="run", teacher_digest="teacher"
    )
    old = rows.drop_columns(["topk_logprob", "tail_logmass"])
    again = read_shard(tmp_path, write_shard(tmp_path, "targets", "00000", old, {}), TARGETS)
    assert again.equals(rows)
    assert len(from_table(again, num_draws=50, vocab_size=VOCAB_SIZE)) == 1
    with pytest.raises(DistillError, match="expected no null in topk_logprob"):
        from_table(again, num_draws=0, vocab_size=VOCAB_SIZE, k=K)


def test_facts_of_the_other_mode_are_refused_naming_both() -> None:
    top_k = CaptureFacts(0, "teacher", "sha", 99, "prompt", mode="top_k", k=16)
    sampled = CaptureFacts(50, "teacher", "sha", 99, "prompt")
    assert "k" not in sampled.to_json()
    check_facts(top_k.to_json(), top_k, "run r")
    with pytest.raises(DistillError, match=r"mode: expected 'sampled', found 'top_k'.*found 16"):
        check_facts(top_k.to_json(), sampled, "run r")
    with pytest.raises(DistillError, match=r"mode: expected 'top_k'.*k: expected 16, found None"):
        check_facts(sampled.to_json(), top_k, "run r")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n_targets", "expected k = 12 ids at each position, found 11 at position 2"),
        ("tail_logmass", "sum to 1 with their tail, found .* at position 3"),
        ("target_ids", "ids that ascend"),
        ("topk_logprob", "sum to 1 with their tail, found nan at position 0"),
    ],
)
def test_a_damaged_row_is_refused(
    name: str,
    message: str,
    tiny_teacher: PreTrainedModel,
    tiny_ids: TeacherIds,
    requests_: list[CaptureRequest],
) -> None:
    [good] = captured(tiny_teacher, requests_[:1], tiny_ids)
    values = getattr(good, name).copy()
    if name == "n_targets":
        values[2:4] = (K - 1, K + 1)
    elif name == "tail_logmass":
        values[3] = -0.1
    elif name == "target_ids":
        values[:2] = values[1::-1]
    else:
        values[0] = np.nan
    table = to_table([replace(good, **{name: values})], run_id="run", teacher_digest="teacher")
    with pytest.raises(DistillError, match=message):
        from_table(table, num_draws=0, vocab_size=VOCAB_SIZE, k=K)


def test_the_audit_passes_what_capture_kept_and_nothing_else(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    [good] = captured(tiny_teacher, requests_[:1], tiny_ids)

    def bad_checks(document: CapturedDocument) -> list[str]:
        audit = audit_document(tiny_teacher, document, [0], tiny_ids, num_draws=0)
        return [check.check.split(",")[0] for check in judge([audit]) if not check.is_good]

    assert bad_checks(good) == []
    renormalised = good.topk_logprob.astype(np.float64).reshape(-1, K)
    renormalised = renormalised - np.logaddexp.reduce(renormalised, axis=1, keepdims=True)
    other = replace(good, topk_logprob=renormalised.ravel().astype(np.float16))
    assert bad_checks(other) == ["topk_logprob"]
    tail = replace(good, tail_logmass=good.tail_logmass * np.float16(1.05))
    assert bad_checks(tail) == ["tail_logmass"]
    [wide] = captured(tiny_teacher, requests_[:1], tiny_ids, k=2 * K)
    keep = np.argsort(wide.topk_logprob.reshape(-1, 2 * K), axis=1)[:, :K]
    keep.sort(axis=1)
    less_likely: dict[str, Any] = {
        name: np.take_along_axis(getattr(wide, name).reshape(-1, 2 * K), keep, axis=1).ravel()
        for name in ("target_ids", "topk_logprob")
    }
    assert "log probability of the likeliest" in bad_checks(replace(good, **less_likely))
