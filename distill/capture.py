"""One teacher forward pass over finished text, and what is stored of it.

Legend: B documents, N target positions of a batch end to end, V token ids, D width, R draws.

Always temperature 1 and un-truncated: another temperature cannot be recovered from what is stored.
Batches are formed from the requests alone (sorted by length, then doc_id), so the same requests
write the same bytes. The head is applied to the positions that predict text, a bounded number at a
time: logits of a whole batch never exist. No attention mask is given: padding stands on the right,
where a causal model does not look.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from distill.config import CaptureConfig
from distill.draws import draw_counts, draw_uniforms
from distill.errors import DistillError
from distill.targets import CapturedDocument, to_table

_CHUNK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """A document in teacher ids: the context that the text is read under (at least one id), the
    text without end symbol.
    """

    doc_id: str
    story_id: str
    context_ids: Sequence[int]
    text_ids: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class TeacherIds:
    """What capture must know of the teacher's ids: those that end a story, the main one first, and
    bool[V] of those that begin with whitespace or end the story. V is the tokenizer's true size:
    the head's padded rows beyond it are cut off.
    """

    end_ids: Sequence[int]
    word_start_mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Said:
    """What the teacher said of N positions; see CapturedDocument for each."""

    n_targets: NDArray[np.uint8]
    target_ids: NDArray[np.int32]
    target_counts: NDArray[np.uint8]
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
            _check_head(model, requests[0])
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
    hidden_ND = _hidden(model, batch)
    labels = [np.array([*r.text_ids, ids.end_ids[0]], np.int32) for r in batch]
    uniforms_NR = np.concatenate(
        [
            draw_uniforms(config.seed, request.doc_id, label.size, config.num_draws)
            for request, label in zip(batch, labels, strict=True)
        ]
    )
    labels_N = torch.from_numpy(np.concatenate(labels)).long().to(hidden_ND.device)
    num_rows = max(1, _CHUNK_BYTES // (4 * ids.word_start_mask.size))
    head = model.get_output_embeddings()
    pieces = [
        _listen(
            head(hidden_ND[start : start + num_rows]),
            labels_N[start : start + num_rows],
            uniforms_NR[start : start + num_rows],
            ids,
        )
        for start in range(0, labels_N.numel(), num_rows)
    ]
    return _split(batch, labels, pieces)


def _hidden(model: PreTrainedModel, batch: Sequence[CaptureRequest]) -> Tensor:
    """The last hidden states that predict each text's ids and its end, document after document: (N,
    D).
    """
    rows = [torch.tensor([*r.context_ids, *r.text_ids]) for r in batch]
    inputs_BT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
    hidden_BTD = model.get_decoder()(input_ids=inputs_BT, use_cache=False).last_hidden_state
    return torch.cat(
        [
            hidden_BTD[i, len(r.context_ids) - 1 : len(r.context_ids) + len(r.text_ids)]
            for i, r in enumerate(batch)
        ]
    )


def _listen(
    logits_NV: Tensor, labels_N: Tensor, uniforms_NR: NDArray[np.float64], ids: TeacherIds
) -> _Said:
    """Everything that is stored of these positions. Equals, with p = softmax(logits): entropy =
    -sum p log p, teacher_nll = -log p[label] (for an end id: of all of them), word_start_logmass =
    log sum of p over the mask.
    """
    logits_NV = logits_NV[:, : ids.word_start_mask.size]
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    probs_NV = logits_NV.softmax(dim=-1)
    top_N, places_N = logits_NV.max(dim=-1)
    lse_N = top_N - probs_NV.gather(1, places_N[:, None])[:, 0].log()
    if not bool(lse_N.isfinite().all()):
        raise DistillError("expected finite logits from the teacher, found NaN: check its weights")
    end_ids = torch.tensor(list(ids.end_ids), device=logits_NV.device)
    is_end_N = torch.isin(labels_N, end_ids)
    label_logits_N = logits_NV.gather(1, labels_N[:, None])[:, 0]
    end_logits_N = logits_NV[:, end_ids].logsumexp(dim=-1)
    nll_N = lse_N - torch.where(is_end_N, end_logits_N, label_logits_N)
    finite_NV = logits_NV.clamp(min=torch.finfo(logits_NV.dtype).min)
    means_N = (probs_NV[:, None, :] @ finite_NV[:, :, None])[:, 0, 0]
    mask_V = torch.from_numpy(ids.word_start_mask).to(probs_NV)
    draws = draw_counts(probs_NV, uniforms_NR)
    return _Said(
        n_targets=draws.n_targets,
        target_ids=draws.ids,
        target_counts=draws.counts,
        entropy=_half(lse_N - means_N),
        teacher_nll=_half(nll_N),
        word_start_logmass=-_half(-(probs_NV @ mask_V).log()),
    )


def _half(nats_N: Tensor) -> NDArray[np.float16]:
    """float16 of numbers that are never negative but for rounding; beyond float16's range stands
    its largest number.
    """
    limit = float(np.finfo(np.float16).max)
    halves: NDArray[np.float16] = nats_N.clamp(0.0, limit).cpu().numpy().astype(np.float16)
    return halves


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
                    name: array[targets if name in ("target_ids", "target_counts") else positions]
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


def _check_head(model: PreTrainedModel, request: CaptureRequest) -> None:
    """Some models cap or scale their logits after the head, which would be lost here: those are
    refused.
    """
    inputs_BT = torch.tensor([[*request.context_ids, *request.text_ids[:8]]], device=model.device)
    whole_V = model(input_ids=inputs_BT, use_cache=False).logits[0, -1]
    hidden_D = model.get_decoder()(input_ids=inputs_BT, use_cache=False).last_hidden_state[0, -1]
    ours_V = model.get_output_embeddings()(hidden_D)
    is_same = torch.allclose(whole_V.float(), ours_V.float(), rtol=1e-2, atol=1e-2, equal_nan=True)
    if not is_same:
        raise DistillError(
            f"expected a teacher whose logits are its head's output, found {type(model).__name__}, "
            "which changes them afterwards (softcap or scale): choose another teacher"
        )
