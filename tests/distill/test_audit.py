"""Stored rows that are the teacher's pass its audit; rows of another law, place or teacher do
not.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from distill.audit import Check, audit_document, judge
from distill.capture import capture_documents
from distill.capture_config import CaptureConfig
from distill.positions import CaptureRequest, TeacherIds
from distill.targets import CapturedDocument, from_table
from tests.capture_requests import capture_requests
from tests.tiny_teacher import VOCAB_SIZE

CONFIG = CaptureConfig(num_draws=50, seed=3, batch_size=4)
_DRAWS = ("n_targets", "target_ids", "target_counts")


@pytest.fixture(scope="module")
def requests_(tiny_teacher_folder: Path) -> list[CaptureRequest]:
    return capture_requests(tiny_teacher_folder, 8, 78)


def captured(
    model: PreTrainedModel, requests: list[CaptureRequest], ids: TeacherIds
) -> list[CapturedDocument]:
    rows = capture_documents(model, requests, CONFIG, ids, run_id="run", teacher_digest="teacher")
    return from_table(rows, num_draws=CONFIG.num_draws, vocab_size=VOCAB_SIZE)


def audit(
    model: PreTrainedModel, documents: list[CapturedDocument], ids: TeacherIds
) -> dict[str, Check]:
    audits = [audit_document(model, d, [0], ids, num_draws=50) for d in documents]
    return {check.check.split(" (")[0]: check for check in judge(audits)}


def scaled(model: PreTrainedModel, temperature: float) -> PreTrainedModel:
    """The teacher with its law at another temperature: its last norm's weights are divided."""
    other: PreTrainedModel = type(model)(model.config).double()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other.get_decoder().norm.weight /= temperature
    other.eval()
    return other


def with_draws_of(document: CapturedDocument, other: CapturedDocument) -> CapturedDocument:
    return replace(document, **{name: getattr(other, name) for name in _DRAWS})


def shifted(document: CapturedDocument) -> CapturedDocument:
    """Each position with the draws of the one before, the first with the last's."""
    last = int(document.n_targets[-1])
    return replace(
        document,
        n_targets=np.roll(document.n_targets, 1),
        target_ids=np.roll(document.target_ids, last),
        target_counts=np.roll(document.target_counts, last),
    )


def test_what_capture_wrote_passes(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    checks = audit(tiny_teacher, captured(tiny_teacher, requests_, tiny_ids), tiny_ids)
    assert len(checks) == 5
    assert all(check.is_good for check in checks.values()), checks
    single = type(tiny_teacher)(tiny_teacher.config)
    single.load_state_dict(tiny_teacher.state_dict())
    single = single.float().eval()
    checks = audit(single, captured(tiny_teacher, requests_, tiny_ids), tiny_ids)
    assert all(check.is_good for check in checks.values()), checks


def test_draws_of_another_temperature_place_or_teacher_fail(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    honest = captured(tiny_teacher, requests_, tiny_ids)
    warm = captured(scaled(tiny_teacher, 1.1), requests_, tiny_ids)
    torch.manual_seed(0)
    stranger = type(tiny_teacher)(tiny_teacher.config).double().eval()
    other = captured(stranger, requests_, tiny_ids)
    for name, documents in {
        "temperature": [with_draws_of(*pair) for pair in zip(honest, warm, strict=True)],
        "place": [shifted(document) for document in honest],
        "teacher": [with_draws_of(*pair) for pair in zip(honest, other, strict=True)],
    }.items():
        checks = audit(tiny_teacher, documents, tiny_ids)
        assert not checks["draws, all together"].is_good, name
        assert checks["entropy, largest difference"].is_good
        if name != "temperature":
            assert not checks["draws, the worst of 8 documents"].is_good


def test_numbers_of_another_temperature_fail_and_name_the_document(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    honest = captured(tiny_teacher, requests_, tiny_ids)
    warm = captured(scaled(tiny_teacher, 1.1), requests_, tiny_ids)
    for name in ("teacher_nll", "entropy", "word_start_logmass"):
        documents = list(honest)
        documents[5] = replace(honest[5], **{name: getattr(warm[5], name)})
        check = audit(tiny_teacher, documents, tiny_ids)[f"{name}, largest difference"]
        assert (check.is_good, check.document) == (False, "doc 5")
        assert check.value > check.limit


def test_one_documents_draws_fail_by_themselves(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    documents = captured(tiny_teacher, requests_, tiny_ids)
    documents[3] = shifted(documents[3])
    check = audit(tiny_teacher, documents, tiny_ids)["draws, the worst of 8 documents"]
    assert (check.is_good, check.document) == (False, "doc 3")


def test_a_number_that_is_none_is_found(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    documents = captured(tiny_teacher, requests_[:1], tiny_ids)
    entropy = documents[0].entropy.copy()
    entropy[2] = np.nan
    documents[0] = replace(documents[0], entropy=entropy)
    checks = audit(tiny_teacher, documents, tiny_ids)
    assert not checks["entropy, largest difference"].is_good
    assert checks["teacher_nll, largest difference"].is_good
    assert judge([]) == []
