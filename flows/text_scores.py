"""Tonight's students, unigram model and teacher on the texts of frozen suites: bits per byte on
documents that are the same every night.

Scores are rows of `scores`, whose unit is the run that froze the suite; a subject is scored once on
it, as on a night's stories.
"""

from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.bench import Bench, figure_row
from flows.corpus import CorpusStory, text_as_story
from flows.night import Tonight
from flows.subjects import PROMPTED_TEACHER, SCORE_VERSION, Subject, score_of, score_once
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

    def documents() -> list[CorpusStory]:
        return [text_as_story(text.doc_id, text.text) for text in texts_of(tonight.lake, suite)]

    run_id = text_run_id(tonight, subject, suite)
    return score_once(tonight, subject, run_id, suite.run_id, documents)


def text_figures(tonight: Tonight, asked: Sequence[tuple[Subject, Suite]]) -> list[dict[str, Any]]:
    """Each subject's bits per byte and calibration on each suite."""
    from distill.evaluation.metrics import text_metrics

    config = tonight.recipe.evaluate
    figures = []
    for subject, suite in asked:
        run_id = text_run_id(tonight, subject, suite)
        rows = tonight.lake.read(SCORES.name, run_ids=[run_id]).to_pylist()
        scores = [score_of(row) for row in sorted(rows, key=lambda row: str(row["doc_id"]))]
        found = text_metrics(scores, seed=config.seed, num_resamples=config.num_resamples)
        figures += [figure_row(subject, suite.name, suite.digest, one) for one in found]
    return figures
