"""Tonight's frozen suites, of minimal pairs and of texts: who is scored on which, and what the
scores come to.
"""

from dataclasses import dataclass
from typing import Any

from flows.bench import Bench
from flows.measured import Stage
from flows.metric_costs import MetricCosts
from flows.night import Tonight
from flows.pair_scores import (
    PairSuite,
    measured_pairs,
    pair_figures,
    pair_run_id,
    score_pair_suite,
)
from flows.progress import Track
from flows.subjects import Subject
from flows.text_scores import measured_texts, score_text_suite, text_figures, text_run_id
from warehouse.suites import Suite


@dataclass(frozen=True, slots=True)
class FrozenSuites:
    """Each subject with each suite that it is scored on tonight."""

    pairs: tuple[tuple[Subject, PairSuite], ...]
    texts: tuple[tuple[Subject, Suite], ...]

    def __len__(self) -> int:
        return len(self.pairs) + len(self.texts)


def set_up_frozen(tonight: Tonight, bench: Bench) -> FrozenSuites:
    """Who is scored tonight on which frozen suite."""
    return FrozenSuites(
        tuple(measured_pairs(tonight, bench)), tuple(measured_texts(tonight, bench))
    )


def frozen_run_ids(tonight: Tonight, frozen: FrozenSuites) -> list[list[str]]:
    """The role and the run of every scoring; none without a suite."""
    pairs = [
        [subject.role, pair_run_id(tonight, subject, suite)] for subject, suite in frozen.pairs
    ]
    texts = [
        [subject.role, text_run_id(tonight, subject, suite)] for subject, suite in frozen.texts
    ]
    return pairs + texts


def score_frozen(
    tonight: Tonight, frozen: FrozenSuites, costs: MetricCosts, stage: Stage, bar: Track
) -> None:
    """Score what is not in the lake yet."""
    for subject, pairs in frozen.pairs:
        with costs.spent_on("minimal_pairs", pairs.name, subject) as spent:
            spent.count(score_pair_suite(tonight, subject, pairs), stage, bar)
    for subject, texts in frozen.texts:
        with costs.spent_on("bits_per_byte", texts.name, subject) as spent:
            spent.count(score_text_suite(tonight, subject, texts), stage, bar)


def frozen_figures(tonight: Tonight, frozen: FrozenSuites) -> list[dict[str, Any]]:
    """Every subject's figures on every suite."""
    return [*pair_figures(tonight, frozen.pairs), *text_figures(tonight, frozen.texts)]
