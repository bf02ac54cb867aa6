"""One forward pass of the teacher over whole documents, and every student's beside it.

The teacher is what costs (135M parameters against one), so it reads each document once, whoever is
compared with it. Batches are formed from the teacher's documents alone, sorted by (length, doc_id)
and padded on the right, where a causal model does not look: a student's figures are the same, to
the bit, whichever other students are measured with it. The float64 part works on a bounded number
of positions at a time; the logits of a batch take num_tokens_per_batch * V * 4 bytes of each model.

Legend: B documents, L ids that are read, V ids of a model, N positions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from distill.errors import DistillError
from distill.evaluation.agreement import TeacherMap, is_same_segmentation
from distill.evaluation.distances import (
    CHUNK_BYTES,
    DocumentDistance,
    PositionDistances,
    TeacherLaw,
    document_distance,
    position_distances,
    shared_events,
    teacher_law,
)
from distill.evaluation.scoring import ScoreRequest


@dataclass(frozen=True, slots=True)
class StudentReading:
    """A student, what its ids mean, and each of the teacher's documents as it reads it."""

    model: PreTrainedModel
    space: TeacherMap
    documents: Sequence[ScoreRequest]


def measure_distances(
    teacher: PreTrainedModel,
    documents: Sequence[ScoreRequest],
    students: Sequence[StudentReading],
    *,
    end_ids: Sequence[int],
    num_tokens_per_batch: int,
) -> list[list[DocumentDistance]]:
    """For each student its distances from the teacher on the documents, in their order.

    A document is compared where both read it in the same pieces and it fits both models' positions.
    end_ids: all that end a story for the teacher. DistillError for documents that are not the same
    on both sides, a doc_id that comes twice, and logits that are not finite.
    """
    _check(documents, students)
    ends = tuple(dict.fromkeys(end_ids))
    beside = [_Student(reading, ends, documents) for reading in students]
    with _only_reading(teacher, *(reading.model for reading in students)), torch.inference_mode():
        for batch in _batches(_fitting(teacher, documents), num_tokens_per_batch):
            of_teacher = _logits(teacher, batch)
            for student in beside:
                student.read(batch)
            for document, logits_NT in zip(batch, of_teacher, strict=True):
                for rows in _chunks(logits_NT):
                    law = teacher_law(logits_NT[rows], ends)
                    for student in beside:
                        student.compare(document.doc_id, rows, law)
    return [
        [document_distance(item.doc_id, student.pieces.get(item.doc_id, [])) for item in documents]
        for student in beside
    ]


class _Student:
    """A student, the documents that it can be compared on, and what was found so far."""

    def __init__(
        self, reading: StudentReading, end_ids: Sequence[int], documents: Sequence[ScoreRequest]
    ) -> None:
        self.pieces: dict[str, list[PositionDistances]] = {}
        self._model = reading.model
        self._end_id = reading.space.end_id
        self._events = shared_events(reading.space, end_ids)
        self._logits: dict[str, Tensor] = {}
        read_alike = [
            own
            for own, of_teacher in zip(reading.documents, documents, strict=True)
            if is_same_segmentation(reading.space, own.symbol_ids, of_teacher.symbol_ids)
        ]
        self._own = {own.doc_id: own for own in _fitting(reading.model, read_alike)}

    def read(self, batch: Sequence[ScoreRequest]) -> None:
        """Keep its logits of those documents of the batch that it can be compared on, and no
        others.
        """
        own = [self._own[item.doc_id] for item in batch if item.doc_id in self._own]
        found = _logits(self._model, own) if own else []
        self._logits = {item.doc_id: logits for item, logits in zip(own, found, strict=True)}

    def compare(self, doc_id: str, rows: slice, law: TeacherLaw) -> None:
        """Compare some positions of a document, if it can be."""
        if doc_id not in self._logits:
            return
        logits_NS = self._logits[doc_id][rows].to(law.logprob_NT.device)
        labels = np.append(self._own[doc_id].symbol_ids, self._end_id)[rows].astype(np.int64)
        labels_N = torch.from_numpy(labels).to(logits_NS.device)
        found = position_distances(law, logits_NS, labels_N, self._events)
        self.pieces.setdefault(doc_id, []).append(found)


def _logits(model: PreTrainedModel, batch: Sequence[ScoreRequest]) -> list[Tensor]:
    """float32[N, V] of each document: what predicts its symbols and its end."""
    num_positions = max(document.num_positions for document in batch)
    ids_BL = np.zeros((len(batch), num_positions), dtype=np.int64)
    for row, document in enumerate(batch):
        ids_BL[row, : document.num_positions] = [*document.start_ids, *document.symbol_ids]
    num_kept = num_positions - min(len(document.start_ids) for document in batch) + 1
    logits_BLV = model(
        input_ids=torch.from_numpy(ids_BL).to(model.device),
        use_cache=False,
        logits_to_keep=num_kept,
    ).logits[:, -num_kept:]  # a model that does not know the argument gives all of them
    starts = [len(document.start_ids) - 1 + num_kept - num_positions for document in batch]
    return [
        logits_BLV[row, start : start + len(document.symbol_ids) + 1]
        for row, (document, start) in enumerate(zip(batch, starts, strict=True))
    ]


def _batches(
    documents: Sequence[ScoreRequest], num_tokens_per_batch: int
) -> Iterator[list[ScoreRequest]]:
    batch: list[ScoreRequest] = []
    for document in sorted(documents, key=lambda item: (item.num_positions, item.doc_id)):
        if batch and (len(batch) + 1) * document.num_positions > num_tokens_per_batch:
            yield batch
            batch = []
        batch.append(document)
    if batch:
        yield batch


def _chunks(logits_NV: Tensor) -> Iterator[slice]:
    num_positions, vocab_size = logits_NV.shape
    num_rows = max(1, CHUNK_BYTES // (8 * vocab_size))
    for begin in range(0, num_positions, num_rows):
        yield slice(begin, begin + num_rows)


def _fitting(model: PreTrainedModel, documents: Sequence[ScoreRequest]) -> list[ScoreRequest]:
    limit = getattr(model.config, "max_position_embeddings", None)
    return [item for item in documents if limit is None or item.num_positions <= limit]


def _check(documents: Sequence[ScoreRequest], students: Sequence[StudentReading]) -> None:
    ids = [document.doc_id for document in documents]
    if len(set(ids)) != len(ids):
        raise DistillError("expected every document once, found a doc_id twice; pass each once")
    for reading in students:
        if [document.doc_id for document in reading.documents] != ids:
            raise DistillError(
                "expected the teacher's documents of each student, found others or another order; "
                "encode the same texts for both"
            )
    for document in (*documents, *(item for reading in students for item in reading.documents)):
        if len(document.start_ids) == 0:
            raise DistillError(
                f"document {document.doc_id}: expected a start symbol before the text, found none"
            )


@contextmanager
def _only_reading(*models: PreTrainedModel) -> Iterator[None]:
    """The models in eval mode while the block runs."""
    before = [model.training for model in models]
    for model in models:
        model.train(False)
    try:
        yield
    finally:
        for model, was_training in zip(models, before, strict=True):
            model.train(was_training)
