"""Minimal pairs: does a model find the sentence without the fault likelier than the one with it?

A sentence's score is the sum of the log probabilities of all its symbols after the start symbol;
the end symbol does not count. A space stands before the sentence (LEAD), as lm_eval's task `blimp`
puts it there, so that both give the same accuracy for the same start symbol. Unlike there a tie
counts one half: a model that says the same of everything is at 50 %, not at 100 %.

The sum prefers the sentence with fewer symbols, so beside each accuracy stands what that alone
reaches: the share of pairs whose good sentence is the shorter one in the subject's own symbols. A
model with uniform logits has exactly this accuracy.

Intervals. Pairs are the units. A set's accuracy has Wilson's interval (1927), with the variance of
a mean of ones, halves and zeros: m(1 - m) less a quarter of the share of ties. Without ties it is
Wilson's, and where all pairs tie it has no width. The accuracy of a suite or of a phenomenon is the
mean over its sets, each counting the same, as BLiMP is reported; its bounds come from those of the
sets, whose distances to the values add in squares (Zou and Donner 2008).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel

from distill.errors import DistillError
from distill.evaluation.intervals import Estimate
from distill.evaluation.metrics import Metric
from distill.evaluation.scoring import DocumentScore, ScoreRequest, score_documents
from warehouse.identity import digest_bytes
from warehouse.pair_files import Pair

LEAD = " "
# Closer than this are scores that float32 cannot tell apart, and sums of the same terms in another
# order.
TIE_NATS = 1e-6
_Z2 = 1.959963984540054**2


@dataclass(frozen=True, slots=True)
class PairScore:
    """A pair as one subject scores it: nats (minus the log probability) and symbols of each
    sentence, without the end symbol.
    """

    pair_id: str
    set_name: str
    phenomenon: str
    nats_good: float
    nats_bad: float
    num_symbols_good: int
    num_symbols_bad: int

    @property
    def num_right(self) -> float:
        """1 if the good sentence is the likelier one, 0.5 for a tie, else 0."""
        return _won(self.nats_bad - self.nats_good, TIE_NATS)

    @property
    def num_right_by_length(self) -> float:
        """The same for whoever always takes the sentence with fewer symbols."""
        return _won(self.num_symbols_bad - self.num_symbols_good, 0)


def sentences_of(pairs: Iterable[Pair], lead: str = LEAD) -> dict[str, str]:
    """The different texts to score, each with its lead, by the digest of the text; sentences of
    several pairs are scored once, so equal ones have equal scores.
    """
    sentences = (text for pair in pairs for text in (pair.sentence_good, pair.sentence_bad))
    return {_text_id(lead + text): lead + text for text in sentences}


def paired(
    pairs: Sequence[Pair], scores: Mapping[str, DocumentScore], lead: str = LEAD
) -> list[PairScore]:
    """The pairs' scores, in their order, of the scores of their sentences by digest."""
    found = []
    for pair in pairs:
        good, bad = (
            scores[_text_id(lead + text)] for text in (pair.sentence_good, pair.sentence_bad)
        )
        found.append(
            PairScore(
                pair_id=pair.pair_id,
                set_name=pair.set_name,
                phenomenon=pair.phenomenon,
                nats_good=good.nats_without_end,
                nats_bad=bad.nats_without_end,
                num_symbols_good=good.num_tokens - 1,
                num_symbols_bad=bad.num_tokens - 1,
            )
        )
    return found


def score_pairs(
    model: PreTrainedModel,
    pairs: Sequence[Pair],
    *,
    encode: Callable[[str], Sequence[int]],
    start_ids: Sequence[int],
    end_ids: Sequence[int],
    num_tokens_per_batch: int,
    lead: str = LEAD,
) -> list[PairScore]:
    """The pairs as the model scores them, in the order given. `encode` gives a text's symbols
    alone. Raises DistillError as score_documents does.
    """
    requests = [
        ScoreRequest(
            doc_id=doc_id,
            start_ids=np.array(start_ids, np.int32),
            symbol_ids=np.array(encode(text), np.int32),
            num_bytes=len(text.encode()),
        )
        for doc_id, text in sentences_of(pairs, lead).items()
    ]
    scores = score_documents(
        model, requests, end_ids=end_ids, num_tokens_per_batch=num_tokens_per_batch
    )
    return paired(pairs, {score.doc_id: score for score in scores}, lead)


def share_right(values: Sequence[float]) -> Estimate:
    """The mean of ones (right), halves (ties) and zeros, with its interval for one set."""
    n = len(values)
    if not n or not set(values) <= {0.0, 0.5, 1.0}:
        raise DistillError("expected 1 or more of 0, 0.5 and 1, found none or another value")
    points: npt.NDArray[np.float64] = np.asarray(values, np.float64)
    mean, ties, q = float(points.mean()), float((points == 0.5).mean()), _Z2 / n
    variance = mean * (1 - mean) - ties / 4
    root = math.sqrt(max(0.0, 4 * q * variance + q * q * (1 - ties)))
    low, high = ((2 * mean + q + sign * root) / (2 + 2 * q) for sign in (-1, 1))
    return Estimate(mean, max(0.0, min(low, mean)), min(1.0, max(high, mean)), n)


def mean_over_sets(sets: Sequence[Estimate]) -> Estimate:
    """The mean of the sets' values, each counting the same, with its interval; n counts pairs."""
    if not sets:
        raise DistillError("expected the figures of at least one set, found none")
    value = sum(one.value for one in sets) / len(sets)
    below = math.sqrt(sum((one.value - one.low) ** 2 for one in sets)) / len(sets)
    above = math.sqrt(sum((one.high - one.value) ** 2 for one in sets)) / len(sets)
    return Estimate(value, value - below, value + above, sum(one.n for one in sets))


def accuracy(scores: Sequence[PairScore]) -> Estimate:
    """The mean over the scores' sets of the share of pairs that are right."""
    return _over_sets(scores, lambda score: score.num_right)


def length_only(scores: Sequence[PairScore]) -> Estimate:
    """The accuracy of whoever always takes the sentence with fewer symbols."""
    return _over_sets(scores, lambda score: score.num_right_by_length)


def minimal_pair_metrics(scores: Sequence[PairScore]) -> list[Metric]:
    """minimal_pairs and minimal_pairs_length_only over the sets; n counts pairs."""
    figures = {
        "minimal_pairs": accuracy(scores),
        "minimal_pairs_length_only": length_only(scores),
    }
    return [Metric(name, one.value, one.low, one.high, one.n) for name, one in figures.items()]


def _over_sets(scores: Sequence[PairScore], points: Callable[[PairScore], float]) -> Estimate:
    by_set: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        by_set[score.set_name].append(points(score))
    return mean_over_sets([share_right(values) for _, values in sorted(by_set.items())])


def _won(lead: float, tie: float) -> float:
    return 0.5 if abs(lead) <= tie else float(lead > 0)


def _text_id(text: str) -> str:
    return digest_bytes(text.encode())
