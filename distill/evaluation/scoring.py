"""Nats of whole documents under a causal language model: the numerator of bits per byte.

A document is a context (start symbol, or a whole prompt) that is not scored, its symbols, and one
end symbol. A teacher may have several end ids: they are one event, whose probability is the sum of
theirs. The model runs in float32; log probabilities and their sums are float64, so a document's
figure does not depend on the order of its terms.

Batches are formed from the documents sorted by (length, doc_id) and padded on the right, where a
causal model cannot see the padding. The order in which documents are given therefore changes
nothing, not one bit; the other members of a batch may move a figure by float32 rounding, and with
it an event at the very edge of a bin.

Legend: B documents, T positions, V ids, N scored positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from distill.errors import DistillError
from distill.evaluation.reliability import Reliability, reliability

IntArray = npt.NDArray[np.int32]

_LOG_SOFTMAX_ROWS = 256  # float64 rows at a time: 100 MB at 49k ids


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """One document to score: `symbol_ids` are its text's ids, without the end symbol."""

    doc_id: str
    start_ids: IntArray
    symbol_ids: IntArray
    num_bytes: int

    @property
    def num_positions(self) -> int:
        """Ids that the model reads; the end symbol is only predicted."""
        return len(self.start_ids) + len(self.symbol_ids)


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """Nats of one document. `num_tokens` counts its symbols and the end symbol.

    `top1_ids[t]` is the likeliest event at symbol t (the last: at the end symbol), with every end
    id read as the first of the end ids given; None unless asked for. `reliability` holds how sure
    the model was of those events and how often they came; of equally likely ones the lowest id
    counts. The unigram model has none.
    """

    doc_id: str
    nats: float
    nats_without_end: float
    num_bytes: int
    num_tokens: int
    top1_ids: IntArray | None = None
    reliability: Reliability | None = None


def score_documents(
    model: PreTrainedModel,
    documents: Sequence[ScoreRequest],
    *,
    end_ids: Sequence[int],
    num_tokens_per_batch: int,
    want_top1: bool = False,
) -> list[DocumentScore]:
    """The documents' scores, in the order given: nats = -sum_t log p(symbol_t | start, earlier
    symbols) - log p(end | all).

    `num_tokens_per_batch` bounds the padded ids of a batch (a longer document is a batch of its
    own); larger is faster and takes num_tokens_per_batch * V * 4 bytes for the logits. Raises
    DistillError for a document that is empty of context, holds an end id, exceeds the model's
    positions, or has no bytes, and for doc_ids that are not unique.
    """
    _check(model, documents, end_ids)
    ends = list(dict.fromkeys(end_ids))
    scores: dict[str, DocumentScore] = {}
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            for batch in _batches(documents, num_tokens_per_batch):
                for score in _score_batch(model, batch, ends, want_top1):
                    scores[score.doc_id] = score
    finally:
        model.train(was_training)
    return [scores[document.doc_id] for document in documents]


def _check(
    model: PreTrainedModel, documents: Sequence[ScoreRequest], end_ids: Sequence[int]
) -> None:
    if not end_ids:
        raise DistillError("expected at least one end id to score documents with, found none")
    if len({document.doc_id for document in documents}) != len(documents):
        raise DistillError(
            "expected every document once, found a doc_id twice; pass each text once"
        )
    limit = getattr(model.config, "max_position_embeddings", None)
    for document in documents:
        where = f"document {document.doc_id}"
        if len(document.start_ids) == 0:
            raise DistillError(f"{where}: expected a start symbol before the text, found none")
        if document.num_bytes <= 0:
            raise DistillError(f"{where}: expected at least 1 byte of text, found none; drop it")
        if np.isin(document.symbol_ids, list(end_ids)).any():
            raise DistillError(
                f"{where}: expected symbols without the end symbol, found one of {list(end_ids)}; "
                "pass the text's ids alone"
            )
        if limit is not None and document.num_positions > limit:
            raise DistillError(
                f"{where}: expected at most {limit} ids (the model's positions), "
                f"found {document.num_positions}; use a model with a longer context"
            )


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


def _score_batch(
    model: PreTrainedModel, batch: Sequence[ScoreRequest], end_ids: Sequence[int], want_top1: bool
) -> Iterator[DocumentScore]:
    """Scores of documents that are sorted by length; only logits from the first scored position on
    are made.
    """
    num_positions = batch[-1].num_positions
    ids_BT = np.full((len(batch), num_positions), end_ids[0], dtype=np.int64)
    for row, document in enumerate(batch):
        ids_BT[row, : document.num_positions] = [*document.start_ids, *document.symbol_ids]
    first = min(len(document.start_ids) for document in batch) - 1
    logits_BTV = model(
        input_ids=torch.from_numpy(ids_BT).to(model.device),
        use_cache=False,
        logits_to_keep=num_positions - first,
    ).logits
    for row, document in enumerate(batch):
        start = len(document.start_ids) - 1 - first
        logits_NV = logits_BTV[row, start : start + len(document.symbol_ids) + 1]
        yield _score_document(document, logits_NV, end_ids, want_top1)


def _score_document(
    document: ScoreRequest, logits_NV: torch.Tensor, end_ids: Sequence[int], want_top1: bool
) -> DocumentScore:
    labels_N = torch.from_numpy(
        np.append(document.symbol_ids, end_ids[0]).astype(np.int64, copy=False)
    ).to(logits_NV.device)
    pieces = [slice(i, i + _LOG_SOFTMAX_ROWS) for i in range(0, len(labels_N), _LOG_SOFTMAX_ROWS)]
    events = [_events(logits_NV[piece], labels_N[piece], end_ids) for piece in pieces]
    nll_N = -torch.cat([logprob for logprob, _, _ in events]).cpu().numpy()
    top1_N = torch.cat([top1 for _, top1, _ in events]).cpu().numpy().astype(np.int32)
    top1_logprob_N = torch.cat([logprob for _, _, logprob in events]).cpu().numpy()
    # Several end ids' sum may exceed the normalizer by a rounding, so 0 bounds the logarithm.
    confidence_N = np.exp(np.minimum(top1_logprob_N, 0.0))
    without_end = float(nll_N[:-1].sum())
    return DocumentScore(
        doc_id=document.doc_id,
        nats=without_end + float(nll_N[-1]),
        nats_without_end=without_end,
        num_bytes=document.num_bytes,
        num_tokens=len(nll_N),
        top1_ids=top1_N if want_top1 else None,
        reliability=reliability(confidence_N, top1_N == labels_N.cpu().numpy()),
    )


def _events(
    logits_NV: torch.Tensor, labels_N: torch.Tensor, end_ids: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """float64[N] log probability of each label, int64[N] likeliest event and float64[N] its log
    probability, all end ids read as end_ids[0].
    """
    z_NV = logits_NV.to(torch.float64, copy=True)
    normalizer_N = z_NV.logsumexp(dim=1)
    end_N = z_NV[:, list(end_ids)].logsumexp(dim=1)
    z_NV[:, list(end_ids)] = -torch.inf
    z_NV[:, end_ids[0]] = end_N
    label_N = z_NV.gather(1, labels_N[:, None])[:, 0]
    top1_N = z_NV.argmax(dim=1)
    top1_logit_N = z_NV.gather(1, top1_N[:, None])[:, 0]
    return label_N - normalizer_N, top1_N, top1_logit_N - normalizer_N
