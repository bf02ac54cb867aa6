"""The baseline that knows words but no order: symbol frequencies of the training documents.

Printed beside every student, because a small student that does no better has learnt no language.
p(i) = (c_i + d) / (N + d V) over all V ids of the space. Add-one (d = 1) wastes mass when V is near
N, which would flatter the student, so d is the power of two that gives the training documents the
most probability when each is left out of its own counts. Held-out documents take no part in the
choice.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill.errors import DistillError
from distill.evaluation.scoring import DocumentScore, IntArray, ScoreRequest
from warehouse.identity import digest, digest_bytes

_SMOOTHINGS = 2.0 ** np.arange(4, -11, -1)


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


def fit_unigram(documents: Callable[[], Iterable[IntArray]], vocab_size: int) -> UnigramModel:
    """The unigram model of documents given as the ids of their text and end symbol; they are gone
    through twice, one at a time.

    Raises DistillError if there is no document or an id lies outside [0, vocab_size).
    """
    counts, num_documents = np.zeros(vocab_size, dtype=np.int64), 0
    for document in documents():
        num_documents += 1
        ids, own = np.unique(document, return_counts=True)
        if len(ids) and not 0 <= ids[0] <= ids[-1] < vocab_size:
            raise _other_ids(vocab_size, f"{ids[0]} to {ids[-1]}")
        counts[ids] += own
    if not num_documents:
        raise DistillError("expected at least one training document for the unigram model, found 0")
    if not counts.any():
        raise _other_ids(vocab_size, "none")
    gains = _left_out_logprobs(documents(), counts)
    return UnigramModel(counts, float(_SMOOTHINGS[int(np.argmax(gains))]))


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


def _other_ids(vocab_size: int, found: str) -> DistillError:
    return DistillError(
        f"expected ids from 0 to {vocab_size - 1} in the training documents, found {found}; "
        "encode them with the student's token space"
    )


def _left_out_logprobs(
    documents: Iterable[IntArray], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """For each smoothing, the sum over documents of log p(document | counts of all the others)."""
    totals_S = float(counts.sum()) + _SMOOTHINGS * len(counts)
    logprobs_S = np.zeros(len(_SMOOTHINGS))
    for document in documents:
        ids, own = np.unique(document, return_counts=True)
        rest_SU = np.log((counts[ids] - own) + _SMOOTHINGS[:, None])
        rest_SU -= np.log(totals_S - len(document))[:, None]
        logprobs_S += (own * rest_SU).sum(axis=1)
    return logprobs_S
