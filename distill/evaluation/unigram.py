"""The baseline that knows words but no order: symbol frequencies of the training documents.

Printed beside every student, because a small student that does no better has learnt no language.
p(i) = (c_i + d) / (N + d V) over all V ids of the space. Add-one (d = 1) wastes mass when V is near
N, which would flatter the student, so d is the power of two that gives the training documents the
most probability when each is left out of its own counts. Held-out documents take no part in the
choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill.errors import DistillError
from distill.evaluation.scoring import DocumentScore, IntArray, ScoreRequest
from warehouse.identity import digest, digest_bytes

_SMOOTHINGS = tuple(2.0**power for power in range(4, -11, -1))


@dataclass(frozen=True, slots=True)
class UnigramModel:
    """Counts of each id in the training documents, end symbols included, and the count added to
    every id.
    """

    counts: npt.NDArray[np.int64]
    smoothing: float

    @property
    def nll(self) -> npt.NDArray[np.float64]:
        """float64[V]: nats of each id."""
        total = float(self.counts.sum()) + self.smoothing * len(self.counts)
        return np.asarray(-np.log((self.counts + self.smoothing) / total), dtype=np.float64)

    @property
    def digest(self) -> str:
        """The model's id: it follows from counts and smoothing alone."""
        return digest("unigram", digest_bytes(self.counts.astype("<i8").tobytes()), self.smoothing)


def fit_unigram(documents: Sequence[IntArray], vocab_size: int) -> UnigramModel:
    """The unigram model of documents given as the ids of their text and end symbol.

    Raises DistillError if there is no document or an id lies outside [0, vocab_size).
    """
    if not documents:
        raise DistillError("expected at least one training document for the unigram model, found 0")
    ids = np.concatenate(documents)
    if len(ids) == 0 or ids.min() < 0 or ids.max() >= vocab_size:
        raise DistillError(
            f"expected ids from 0 to {vocab_size - 1} in the training documents, found "
            f"{'none' if len(ids) == 0 else f'{ids.min()} to {ids.max()}'}; "
            "encode them with the student's token space"
        )
    counts = np.bincount(ids, minlength=vocab_size).astype(np.int64)
    gains = [_left_out_logprob(documents, counts, smoothing) for smoothing in _SMOOTHINGS]
    return UnigramModel(counts, _SMOOTHINGS[int(np.argmax(gains))])


def score_unigram(
    model: UnigramModel, documents: Sequence[ScoreRequest], *, end_id: int
) -> list[DocumentScore]:
    """The documents' scores, in the order given; their start symbols are not scored."""
    nll = model.nll
    scores = []
    for document in documents:
        without_end = float(nll[document.symbol_ids].sum())
        scores.append(
            DocumentScore(
                doc_id=document.doc_id,
                nats=without_end + float(nll[end_id]),
                nats_without_end=without_end,
                num_bytes=document.num_bytes,
                num_tokens=len(document.symbol_ids) + 1,
            )
        )
    return scores


def _left_out_logprob(
    documents: Sequence[IntArray], counts: npt.NDArray[np.int64], smoothing: float
) -> float:
    """sum over documents of log p(document | counts of all the others)."""
    total = float(counts.sum()) + smoothing * len(counts)
    logprob = 0.0
    for document in documents:
        ids, own = np.unique(document, return_counts=True)
        rest = np.log(counts[ids] - own + smoothing) - np.log(total - len(document))
        logprob += float((own * rest).sum())
    return logprob
