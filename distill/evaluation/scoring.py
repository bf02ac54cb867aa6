"""Nats of whole documents under a causal language model: the numerator of bits per byte.

A document is a context (start symbol, or a whole prompt) that is not scored, its symbols, and one
end symbol. A teacher may have several end ids: they are one event, whose probability is the sum of
theirs. The model runs in float32; log probabilities and their sums are float64, so a document's
figure does not depend on the order of its terms.

Batches are formed from the documents sorted by (length, doc_id) and padded on the right, where a
causal model cannot see the padding. The order in which documents are given therefore changes
nothing, not one bit; the other members of a batch may move a figure by float32 rounding, and with
it an event at the very edge of a bin.

A document that is longer than the model reads at once is scored in windows (windows.py), which are
members of batches like whole documents; each of its symbols, and its end, is scored once.

Legend: B windows, T positions, V ids, N scored positions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from distill.errors import DistillError
from distill.evaluation.reliability import Reliability, reliability
from distill.evaluation.windows import Span, spans_of

IntArray = npt.NDArray[np.int32]

# What a config calls the ids that its model reads at most; MPT has a name of its own.
_LIMITS = ("max_position_embeddings", "max_seq_len")
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


@dataclass(frozen=True, slots=True)
class _Window:
    """A part of a document: all of it where it fits."""

    document: ScoreRequest
    span: Span

    @property
    def place(self) -> tuple[int, str, int]:
        """What batches are sorted by."""
        return self.span.num_read, self.document.doc_id, self.span.scored_from

    @property
    def first(self) -> int:
        """The position whose logits are the first to be scored."""
        return self.span.num_read - (self.span.scored_to - self.span.scored_from)

    @property
    def ids(self) -> IntArray:
        """What the model reads."""
        every = np.append(self.document.start_ids, self.document.symbol_ids)
        return every[self.span.read_from : self.span.read_to]

    def labels(self, end_id: int) -> npt.NDArray[np.int64]:
        """The events that come."""
        events = np.append(self.document.symbol_ids, end_id).astype(np.int64, copy=False)
        return events[self.span.scored_from : self.span.scored_to]


@dataclass(frozen=True, slots=True)
class _WindowEvents:
    """Of each event of a window: nats, the likeliest in its place, how likely that was, and whether
    it came.
    """

    nll: npt.NDArray[np.float64]
    top1: IntArray
    top1_logprob: npt.NDArray[np.float64]
    is_right: npt.NDArray[np.bool_]


def score_documents(
    model: PreTrainedModel,
    documents: Sequence[ScoreRequest],
    *,
    end_ids: Sequence[int],
    num_tokens_per_batch: int,
    want_top1: bool = False,
    max_window: int | None = None,
    on_scored: Callable[[int], None] | None = None,
) -> list[DocumentScore]:
    """The documents' scores, in the order given: nats = -sum_t log p(symbol_t | start, earlier
    symbols that its window reads) - log p(end | likewise).

    `num_tokens_per_batch` bounds the padded ids of a batch (a longer window is a batch of its own);
    larger is faster and takes num_tokens_per_batch * V * 4 bytes for the logits. A window is as
    long as the model's positions, or max_window if that is less; without either there is no limit.
    `on_scored` is told of each batch how many events more are scored. Raises DistillError for a
    document that is empty of context, holds an end id, has a context that leaves no room in a
    window, or has no bytes, and for doc_ids that are not unique.
    """
    num_positions = window_length(model, max_window)
    _check(documents, end_ids, num_positions)
    ends = list(dict.fromkeys(end_ids))
    windows = {
        document.doc_id: [
            _Window(document, span)
            for span in spans_of(len(document.start_ids), len(document.symbol_ids), num_positions)
        ]
        for document in documents
    }
    found: dict[str, dict[int, _WindowEvents]] = {}
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            for batch in _batches(windows, num_tokens_per_batch):
                for window, events in _score_batch(model, batch, ends):
                    of_document = found.setdefault(window.document.doc_id, {})
                    of_document[window.span.scored_from] = events
                    if on_scored is not None:
                        on_scored(len(events.nll))
    finally:
        model.train(was_training)
    return [_score_of(document, found[document.doc_id], want_top1) for document in documents]


def window_length(model: PreTrainedModel, max_window: int | None = None) -> int | None:
    """Ids that are read at once: the model's positions, or max_window if that is less; None where
    neither sets a limit.
    """
    config = model.config.get_text_config()
    own = (getattr(config, name, None) for name in _LIMITS)
    limits = [length for length in (*own, max_window) if length is not None and length > 0]
    return min(limits, default=None)


def _check(
    documents: Sequence[ScoreRequest], end_ids: Sequence[int], num_positions: int | None
) -> None:
    if not end_ids:
        raise DistillError("expected at least one end id to score documents with, found none")
    if len({document.doc_id for document in documents}) != len(documents):
        raise DistillError(
            "expected every document once, found a doc_id twice; pass each text once"
        )
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
        num_context = len(document.start_ids)
        if num_positions is not None and num_context >= num_positions < document.num_positions:
            raise DistillError(
                f"{where}: expected a context of fewer than {num_positions} ids (what the model "
                f"reads at once), found {num_context}; shorten the context, or use a "
                "model with more positions"
            )


def _batches(
    windows: Mapping[str, Sequence[_Window]], num_tokens_per_batch: int
) -> Iterator[list[_Window]]:
    batch: list[_Window] = []
    every = [window for of_document in windows.values() for window in of_document]
    for window in sorted(every, key=lambda window: window.place):
        if batch and (len(batch) + 1) * window.span.num_read > num_tokens_per_batch:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _score_batch(
    model: PreTrainedModel, batch: Sequence[_Window], end_ids: Sequence[int]
) -> Iterator[tuple[_Window, _WindowEvents]]:
    """The events of windows that are sorted by length; only logits from the first scored position
    on are made.
    """
    num_positions = batch[-1].span.num_read
    ids_BT = np.full((len(batch), num_positions), end_ids[0], dtype=np.int64)
    for row, window in enumerate(batch):
        ids_BT[row, : window.span.num_read] = window.ids
    first = min(window.first for window in batch)
    num_kept = num_positions - first
    logits_BTV = model(
        input_ids=torch.from_numpy(ids_BT).to(model.device),
        use_cache=False,
        logits_to_keep=num_kept,
    ).logits[:, -num_kept:]  # a model that does not know the argument gives all of them
    for row, window in enumerate(batch):
        start = window.first - first
        labels = window.labels(end_ids[0])
        yield window, _window_events(logits_BTV[row, start : start + len(labels)], labels, end_ids)


def _window_events(
    logits_NV: torch.Tensor, labels: npt.NDArray[np.int64], end_ids: Sequence[int]
) -> _WindowEvents:
    labels_N = torch.from_numpy(labels).to(logits_NV.device)
    pieces = [slice(i, i + _LOG_SOFTMAX_ROWS) for i in range(0, len(labels_N), _LOG_SOFTMAX_ROWS)]
    events = [_events(logits_NV[piece], labels_N[piece], end_ids) for piece in pieces]
    top1_N = torch.cat([top1 for _, top1, _ in events]).cpu().numpy().astype(np.int32)
    return _WindowEvents(
        nll=-torch.cat([logprob for logprob, _, _ in events]).cpu().numpy(),
        top1=top1_N,
        top1_logprob=torch.cat([logprob for _, _, logprob in events]).cpu().numpy(),
        is_right=top1_N == labels,
    )


def _score_of(
    document: ScoreRequest, windows: Mapping[int, _WindowEvents], want_top1: bool
) -> DocumentScore:
    """The document's score from its windows, by the first event that each scored."""
    parts = [events for _, events in sorted(windows.items())]
    nll_N = np.concatenate([part.nll for part in parts])
    # Several end ids' sum may exceed the normalizer by a rounding, so 0 bounds the logarithm.
    confidence_N = np.exp(np.minimum(np.concatenate([part.top1_logprob for part in parts]), 0.0))
    without_end = float(nll_N[:-1].sum())
    return DocumentScore(
        doc_id=document.doc_id,
        nats=without_end + float(nll_N[-1]),
        nats_without_end=without_end,
        num_bytes=document.num_bytes,
        num_tokens=len(nll_N),
        top1_ids=np.concatenate([part.top1 for part in parts]) if want_top1 else None,
        reliability=reliability(confidence_N, np.concatenate([part.is_right for part in parts])),
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
