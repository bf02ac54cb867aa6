"""One teacher forward pass over finished text, and what is stored of it.

Legend: N target positions of a batch end to end, V token ids, R draws, k kept ids.

Always temperature 1 and un-truncated: another temperature cannot be recovered from what is stored.
Batches are formed from the requests alone (sorted by length, then doc_id), so the same requests
write the same bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from distill.capture_config import CaptureConfig
from distill.draws import draw_counts, draw_uniforms
from distill.errors import DistillError
from distill.positions import (
    CaptureRequest,
    Positions,
    TeacherIds,
    as_half,
    check_head,
    listen,
    text_hidden,
    text_labels,
)
from distill.targets import FLAT, CapturedDocument, to_table
from distill.top_k import TopK, as_logs, keep_top


@dataclass(frozen=True, slots=True)
class _Said:
    """What the teacher said of N positions; see CapturedDocument for each."""

    n_targets: NDArray[np.uint8]
    target_ids: NDArray[np.int32]
    target_counts: NDArray[np.uint8]
    topk_logprob: NDArray[np.float16]
    tail_logmass: NDArray[np.float16]
    entropy: NDArray[np.float16]
    teacher_nll: NDArray[np.float16]
    word_start_logmass: NDArray[np.float16]


def capture_documents(
    model: PreTrainedModel,
    requests: Sequence[CaptureRequest],
    config: CaptureConfig,
    ids: TeacherIds,
    *,
    run_id: str,
    teacher_digest: str,
) -> pa.Table:
    """Rows of the table `targets`, one per request, sorted by doc_id. The model must be in eval
    mode.

    Each document's last target is the main end id; its teacher_nll is of all end ids together.
    Raises DistillError for an empty context, a doc_id that comes twice, ids beyond V, a text longer
    than the model's context, logits that hold NaN.
    """
    _check_requests(model, requests, ids)
    documents: list[CapturedDocument] = []
    with torch.inference_mode():
        if requests:
            check_head(model, requests[0])
        for batch in _batches(requests, config.batch_size):
            documents.extend(_capture_batch(model, batch, config, ids))
    documents.sort(key=lambda document: document.doc_id)
    return to_table(documents, run_id=run_id, teacher_digest=teacher_digest)


def _batches(
    requests: Sequence[CaptureRequest], batch_size: int
) -> Iterator[Sequence[CaptureRequest]]:
    ordered = sorted(requests, key=lambda r: (len(r.context_ids) + len(r.text_ids), r.doc_id))
    for start in range(0, len(ordered), batch_size):
        yield ordered[start : start + batch_size]


def _capture_batch(
    model: PreTrainedModel, batch: Sequence[CaptureRequest], config: CaptureConfig, ids: TeacherIds
) -> list[CapturedDocument]:
    labels = [text_labels(request, ids) for request in batch]
    num_draws = config.num_draws if config.k is None else 0
    uniforms_NR = np.concatenate(
        [
            draw_uniforms(config.seed, request.doc_id, label.size, num_draws)
            for request, label in zip(batch, labels, strict=True)
        ]
    )
    heard = listen(
        model,
        text_hidden(model, batch),
        np.concatenate(labels),
        ids,
        logits_mib=config.logits_mib,
    )
    pieces = [
        _drawn(positions, uniforms_NR[places])
        if config.k is None
        else _kept(positions, keep_top(positions, config.k, ids))
        for places, positions in heard
    ]
    return _split(batch, labels, pieces)


def _drawn(positions: Positions, uniforms_NR: NDArray[np.float64]) -> _Said:
    draws = draw_counts(positions.probs_NV, uniforms_NR)
    return _Said(
        n_targets=draws.n_targets,
        target_ids=draws.ids,
        target_counts=draws.counts,
        topk_logprob=np.zeros(0, np.float16),
        tail_logmass=np.zeros(0, np.float16),
        **_numbers(positions),
    )


def _kept(positions: Positions, top: TopK) -> _Said:
    num_positions, k = top.ids_Nk.shape
    return _Said(
        n_targets=np.full(num_positions, k, np.uint8),
        target_ids=top.ids_Nk.flatten().int().cpu().numpy(),
        target_counts=np.zeros(0, np.uint8),
        topk_logprob=as_logs(top.logprobs_Nk.flatten()),
        tail_logmass=as_logs(top.tail_logmass_N),
        **_numbers(positions),
    )


def _numbers(positions: Positions) -> dict[str, NDArray[np.float16]]:
    return {
        "entropy": as_half(positions.entropy_N),
        "teacher_nll": as_half(positions.teacher_nll_N),
        "word_start_logmass": -as_half(-positions.word_start_logmass_N),
    }


def _split(
    batch: Sequence[CaptureRequest], labels: Sequence[NDArray[np.int32]], pieces: Sequence[_Said]
) -> list[CapturedDocument]:
    whole = {
        name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in _Said.__slots__
    }
    target_ends = np.concatenate(
        [np.zeros(1, np.int64), np.cumsum(whole["n_targets"], dtype=np.int64)]
    )
    documents = []
    start = 0
    for request, label in zip(batch, labels, strict=True):
        positions = slice(start, start + label.size)
        targets = slice(target_ends[positions.start], target_ends[positions.stop])
        start = positions.stop
        documents.append(
            CapturedDocument(
                doc_id=request.doc_id,
                story_id=request.story_id,
                num_context_tokens=len(request.context_ids),
                input_ids=label,
                **{
                    name: array[targets if name in FLAT else positions]
                    for name, array in whole.items()
                },
            )
        )
    return documents


def _check_requests(
    model: PreTrainedModel, requests: Sequence[CaptureRequest], ids: TeacherIds
) -> None:
    vocab_size = ids.word_start_mask.size
    longest = getattr(model.config, "max_position_embeddings", None)
    seen: set[str] = set()
    for request in requests:
        num_tokens = len(request.context_ids) + len(request.text_ids)
        symbols = {*request.context_ids, *request.text_ids}
        found = None
        if not request.context_ids:
            found = "an empty context: give at least the start symbol"
        elif request.doc_id in seen:
            found = "it twice: ask once per doc_id"
        elif min(symbols) < 0 or max(symbols) >= vocab_size:
            found = (
                f"ids {min(symbols)} to {max(symbols)} of {vocab_size}: "
                "encode with the teacher's tokenizer"
            )
        elif longest is not None and num_tokens > longest:
            found = f"{num_tokens} tokens for a context of {longest}: leave the document out"
        if found:
            raise DistillError(f"capture of document {request.doc_id}: found {found}")
        seen.add(request.doc_id)
