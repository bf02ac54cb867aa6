"""Tonight's students, unigram model and teacher on the texts of frozen suites: bits per byte on
documents that are the same every night.

Scores are rows of `scores`, whose unit is the run that froze the suite; a subject is scored once on
it, as on a night's stories.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.bench import Bench, figure_row
from flows.corpus import text_as_story
from flows.night import Tonight, shard_key
from flows.numerics import use_threads
from flows.subjects import PROMPTED_TEACHER, SCORE_VERSION, Subject, score_of, score_row
from warehouse.identity import digest
from warehouse.schemas import SCORES
from warehouse.suites import Suite, texts_of


def measured_texts(tonight: Tonight, bench: Bench) -> list[tuple[Subject, Suite]]:
    """Who is scored tonight on which suite of texts: all but the teacher under a prompt, as nobody
    ordered these texts.
    """
    return [
        (subject, suite)
        for suite in tonight.suites
        if suite.kind == "text"
        for subject in bench.subjects
        if subject.role != PROMPTED_TEACHER
    ]


def text_run_id(tonight: Tonight, subject: Subject, suite: Suite) -> str:
    """The run in which a subject scores the suite's texts."""
    return digest(
        "texts",
        SCORE_VERSION,
        subject.kind,
        subject.subject_id,
        suite.run_id,
        tonight.claim.numerics,
        tonight.recipe.evaluate.num_tokens_per_batch,
    )


@task(name="score texts", cache_policy=NO_CACHE, task_run_name="score texts {subject.role}")
def score_text_suite(tonight: Tonight, subject: Subject, suite: Suite) -> int:
    """Score the suite's texts and commit them, if they are not in the lake; the symbols scored
    now.
    """
    run_id = text_run_id(tonight, subject, suite)
    if tonight.lake.is_committed(SCORES.name, shard_key(run_id, 0)):
        return 0
    use_threads(tonight.recipe.teacher.threads)
    texts = texts_of(tonight.lake, suite)
    scores = subject.score([text_as_story(text.doc_id, text.text) for text in texts])
    made = {
        "run_id": run_id,
        "subject_id": subject.subject_id,
        "subject": subject.kind,
        "unit": suite.run_id,
    }
    rows = [{**made, **score_row(score)} for score in scores]
    tonight.lake.commit_shard(
        run_id, 0, {SCORES.name: pa.Table.from_pylist(rows, schema=SCORES.schema)}
    )
    return sum(score.num_tokens for score in scores)


def text_figures(tonight: Tonight, asked: Sequence[tuple[Subject, Suite]]) -> list[dict[str, Any]]:
    """Each subject's bits per byte and calibration on each suite."""
    from distill.evaluation.metrics import bits_per_byte_metrics, calibration_metric

    config = tonight.recipe.evaluate
    figures = []
    for subject, suite in asked:
        run_id = text_run_id(tonight, subject, suite)
        rows = tonight.lake.read(SCORES.name, run_ids=[run_id]).to_pylist()
        scores = [score_of(row) for row in sorted(rows, key=lambda row: str(row["doc_id"]))]
        drawn = {"seed": config.seed, "num_resamples": config.num_resamples}
        found = [*bits_per_byte_metrics(scores, **drawn), calibration_metric(scores, **drawn)]
        figures += [figure_row(subject, suite.name, suite.digest, one) for one in found if one]
    return figures
