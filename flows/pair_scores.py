"""Tonight's students and teacher on the minimal pairs of frozen suites.

A subject's scores of a suite follow from the subject and the pairs alone, so they are stored once:
tonight's champion and teacher were scored on the suite on an earlier night.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.bench import Bench, figure_row
from flows.corpus import text_as_story
from flows.night import Tonight, shard_key
from flows.numerics import use_threads
from flows.subjects import CHAMPION, TEACHER, Subject
from flows.train_student import CHALLENGER, CONTROL
from warehouse.identity import digest
from warehouse.pair_files import Pair
from warehouse.schemas import PAIR_SCORES
from warehouse.suites import Suite, first_pairs, pairs_digest, pairs_of

if TYPE_CHECKING:
    from distill.evaluation.minimal_pairs import PairScore

# Raise when the scores of the same subject on the same pairs change.
PAIR_VERSION = 1
ROLES = (CHALLENGER, CONTROL, CHAMPION, TEACHER)


@dataclass(frozen=True, slots=True)
class PairSuite:
    """The pairs of a frozen suite that a night scores; the digest is that of these pairs."""

    name: str
    digest: str
    pairs: tuple[Pair, ...]


def pair_suites(tonight: Tonight) -> list[PairSuite]:
    """The night's suites of minimal pairs."""
    per_set = tonight.recipe.evaluate.pairs_per_set
    return [_chosen(tonight, suite, per_set) for suite in tonight.suites if suite.kind == "pairs"]


def measured_pairs(tonight: Tonight, bench: Bench) -> list[tuple[Subject, PairSuite]]:
    """Who is scored tonight on which suite of minimal pairs."""
    subjects = [subject for role in ROLES if (subject := bench.subject(role)) is not None]
    return [(subject, suite) for suite in pair_suites(tonight) for subject in subjects]


def pair_run_id(tonight: Tonight, subject: Subject, suite: PairSuite) -> str:
    """The run in which a subject scores the suite's pairs."""
    return digest(
        "pairs",
        PAIR_VERSION,
        subject.kind,
        subject.subject_id,
        suite.name,
        suite.digest,
        tonight.claim.numerics,
        tonight.recipe.evaluate.num_tokens_per_batch,
    )


@task(name="score pairs", cache_policy=NO_CACHE, task_run_name="score pairs {subject.role}")
def score_pair_suite(tonight: Tonight, subject: Subject, suite: PairSuite) -> int:
    """Score the suite's pairs and commit them, if they are not in the lake; the symbols scored
    now.
    """
    from distill.evaluation.minimal_pairs import paired, sentences_of

    run_id = pair_run_id(tonight, subject, suite)
    if tonight.lake.is_committed(PAIR_SCORES.name, shard_key(run_id, 0)):
        return 0
    use_threads(tonight.recipe.teacher.threads)
    texts = sentences_of(suite.pairs)
    scores = subject.score([text_as_story(doc_id, text) for doc_id, text in texts.items()])
    found = paired(suite.pairs, {score.doc_id: score for score in scores})
    made = {
        "run_id": run_id,
        "subject_id": subject.subject_id,
        "subject": subject.kind,
        "suite": suite.name,
        "suite_digest": suite.digest,
    }
    rows = [{**made, **_row(score)} for score in found]
    tonight.lake.commit_shard(
        run_id, 0, {PAIR_SCORES.name: pa.Table.from_pylist(rows, schema=PAIR_SCORES.schema)}
    )
    return sum(score.num_tokens for score in scores)


def pair_figures(
    tonight: Tonight, asked: Sequence[tuple[Subject, PairSuite]]
) -> list[dict[str, Any]]:
    """Each subject's accuracy on each suite, and that of the shorter sentence in its symbols."""
    from distill.evaluation.minimal_pairs import minimal_pair_metrics

    return [
        figure_row(subject, suite.name, suite.digest, metric)
        for subject, suite in asked
        for metric in minimal_pair_metrics(_scores(tonight, subject, suite))
    ]


def _chosen(tonight: Tonight, suite: Suite, per_set: int | None) -> PairSuite:
    pairs = first_pairs(pairs_of(tonight.lake, suite), per_set)
    return PairSuite(suite.name, pairs_digest(pairs), tuple(pairs))


def _scores(tonight: Tonight, subject: Subject, suite: PairSuite) -> "list[PairScore]":
    from distill.evaluation.minimal_pairs import PairScore

    names = [name for name in PAIR_SCORES.schema.names if name in PairScore.__annotations__]
    run_id = pair_run_id(tonight, subject, suite)
    rows = tonight.lake.read(PAIR_SCORES.name, run_ids=[run_id], columns=names).to_pylist()
    return [PairScore(**row) for row in rows]


def _row(score: "PairScore") -> dict[str, Any]:
    return {
        "pair_id": score.pair_id,
        "set_name": score.set_name,
        "phenomenon": score.phenomenon,
        "nats_good": score.nats_good,
        "nats_bad": score.nats_bad,
        "num_symbols_good": score.num_symbols_good,
        "num_symbols_bad": score.num_symbols_bad,
        "num_right": score.num_right,
    }
