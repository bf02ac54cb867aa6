"""Scores of many documents as the flat rows that the warehouse keeps: metric, value, bounds, n."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from distill.evaluation.agreement import Agreement
from distill.evaluation.distances import NUM_BANDS, DocumentDistance
from distill.evaluation.intervals import (
    NUM_RESAMPLES,
    Estimate,
    Values,
    bits_per_byte,
    mean_share,
    paired_difference,
    ratio,
)
from distill.evaluation.reliability import calibration_error
from distill.evaluation.scoring import DocumentScore


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of one subject on one suite: point estimate, 95 % bounds, and what n of it stand
    behind it.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int


def bits_per_byte_metrics(
    scores: Sequence[DocumentScore], *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> list[Metric]:
    """bits_per_byte and bits_per_byte_without_end over the documents; n counts documents."""
    num_bytes = [score.num_bytes for score in scores]
    figures = {
        "bits_per_byte": [score.nats for score in scores],
        "bits_per_byte_without_end": [score.nats_without_end for score in scores],
    }
    return [
        _metric(name, bits_per_byte(nats, num_bytes, seed=seed, num_resamples=num_resamples))
        for name, nats in figures.items()
    ]


def text_metrics(
    scores: Sequence[DocumentScore], *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> list[Metric]:
    """What a subject's scores of texts alone say of it: bits_per_byte, bits_per_byte_without_end,
    and ece where there is one.
    """
    calibration = calibration_metric(scores, seed=seed, num_resamples=num_resamples)
    figures = bits_per_byte_metrics(scores, seed=seed, num_resamples=num_resamples)
    return [*figures, *([calibration] if calibration else [])]


def bits_per_byte_differences(
    scores: Sequence[DocumentScore], others: Sequence[DocumentScore], *, seed: int
) -> list[Metric]:
    """bits_per_byte and bits_per_byte_without_end of the first less those of the other, who scored
    the same documents in the same order; below 0 if the first is better.
    """
    num_bytes = [score.num_bytes for score in scores]
    with_end = paired_difference(
        [one.nats for one in scores], [one.nats for one in others], num_bytes, seed=seed
    )
    without = paired_difference(
        [one.nats_without_end for one in scores],
        [one.nats_without_end for one in others],
        num_bytes,
        seed=seed,
    )
    return [_metric("bits_per_byte", with_end), _metric("bits_per_byte_without_end", without)]


def agreement_metric(
    agreements: Sequence[Agreement], *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Metric | None:
    """top1_agreement over the documents that could be compared, n counting their positions; None if
    there are none.

    Positions of a document are not independent, so the interval resamples documents.
    """
    counted = [item for item in agreements if item.num_top1]
    if not counted:
        return None
    estimate = ratio(
        [item.num_top1_agree for item in counted],
        [item.num_top1 for item in counted],
        seed=seed,
        num_resamples=num_resamples,
    )
    num_positions = sum(item.num_top1 for item in counted)
    bounds = max(0.0, estimate.low), min(1.0, estimate.high)
    return Metric("top1_agreement", estimate.value, *bounds, num_positions)


def calibration_metric(
    scores: Sequence[DocumentScore], *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Metric | None:
    """ece over the documents that were scored with their reliability, n counting them; None if none
    was (the unigram model).
    """
    documents = [score.reliability for score in scores if score.reliability is not None]
    if not documents:
        return None
    return _metric("ece", calibration_error(documents, seed=seed, num_resamples=num_resamples))


def distance_metrics(
    documents: Sequence[DocumentDistance], *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> list[Metric]:
    """forward_kl and reverse_kl in nats, accepted_share and kept_mass per position, and ece_band_1
    (where the teacher's entropy is lowest) to ece_band_4; n counts the documents that have such a
    position. A figure without any is left out.
    """
    columns = {
        "forward_kl": "forward_kl",
        "reverse_kl": "reverse_kl",
        "accepted_share": "accepted",
        "kept_mass": "kept_mass",
    }
    counted = [item for item in documents if item.num_positions]
    if not counted:
        return []
    num_positions = [item.num_positions for item in counted]
    metrics = []
    for name, column in columns.items():
        sums = [sum(getattr(band, column) for band in item.bands) for item in counted]
        found = _metric(name, ratio(sums, num_positions, seed=seed, num_resamples=num_resamples))
        most = 1.0 if name in ("accepted_share", "kept_mass") else math.inf
        metrics.append(replace(found, low=max(0.0, found.low), high=min(most, found.high)))
    for place in range(NUM_BANDS):
        bands = [item.bands[place] for item in counted]
        bins = [band.reliability for band in bands if band.num_positions]
        if bins:
            error = calibration_error(bins, seed=seed, num_resamples=num_resamples)
            metrics.append(_metric(f"ece_band_{place + 1}", error))
    return metrics


def share(metric: str, values: Values) -> Metric:
    """The mean of one value in [0, 1] per story (say, the share of its required words), with
    Wilson's interval.
    """
    return _metric(metric, mean_share(values))


def mean(metric: str, values: Values, *, seed: int, num_resamples: int = NUM_RESAMPLES) -> Metric:
    """The mean of one value per story (or canary), with its bootstrap; n counts them."""
    return mean_ratio(metric, values, [1] * len(values), seed=seed, num_resamples=num_resamples)


def mean_ratio(
    metric: str, tops: Values, bottoms: Values, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Metric:
    """The sum of the first over the sum of the second, one of each per story, with its bootstrap;
    n counts stories.
    """
    return _metric(metric, ratio(tops, bottoms, seed=seed, num_resamples=num_resamples))


def without_interval(metric: str, value: float, n: int) -> Metric:
    """A figure of all stories together for which drawing stories again says nothing: its bounds are
    infinite. A story drawn twice repeats itself, so a bootstrap would shift what counts repeats
    (distinct n-grams, self-BLEU, compression), and a maximum has none.
    """
    return Metric(metric, value, -math.inf, math.inf, n)


def _metric(name: str, estimate: Estimate) -> Metric:
    return Metric(name, estimate.value, estimate.low, estimate.high, estimate.n)
