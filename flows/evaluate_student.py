"""Tonight's figures: every subject on the same held-out stories, and ten stories that the students
tell.
"""

import logging
from pathlib import Path

import pyarrow as pa
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.bench import Bench, set_up_bench
from flows.defaults import lake_folder
from flows.distances import (
    Comparison,
    band_reliability_rows,
    compare_unit,
    distance_figures,
    distance_run_id,
    set_up_comparison,
)
from flows.held_out_figures import reliability_rows, suite_figures
from flows.measured import measured_stage
from flows.night import Tonight, open_night, shard_key
from flows.numerics import use_threads
from flows.progress import track
from flows.recipes import Recipe
from flows.samples import sample_figures, told_stories
from flows.split_age import split_pass_id
from flows.subjects import score_run_id, score_unit
from flows.train_student import CHALLENGER, CONTROL
from warehouse.identity import digest
from warehouse.schemas import BAND_RELIABILITY, EVALUATIONS, GENERATIONS, RELIABILITY

# Raise when the figures that the same scores give change.
STAGE_VERSION = 3
logger = logging.getLogger(__name__)


@flow(name="evaluate_student", flow_run_name="figures of {recipe.name}, night {night}")
def evaluate_student(recipe: Recipe, night: str, data: Path | None = None) -> str:
    """The run id of the night's figures; what is in the lake is not measured again."""
    with open_night(recipe, night, lake_folder(data), logger.info) as tonight:
        bench = set_up_bench(tonight)
        comparison = set_up_comparison(tonight, bench)
        run_id = evaluation_run_id(tonight, bench, comparison)
        if tonight.lake.is_committed(EVALUATIONS.name, shard_key(run_id, 0)):
            logger.info("figures: all are there")
            return run_id
        pairs = [(subject, unit) for subject in bench.subjects for unit in tonight.units]
        with (
            measured_stage(tonight, "evaluate") as stage,
            track("scores", len(pairs) + len(comparison.units), "suites") as bar,
        ):
            for subject, unit in pairs:
                num_tokens = score_unit(tonight, subject, unit)
                stage.num_tokens += num_tokens
                bar.count_tokens(num_tokens)
                bar.advance()
            for unit in comparison.units:
                num_tokens = compare_unit(tonight, comparison, unit)
                stage.num_tokens += num_tokens
                bar.count_tokens(num_tokens)
                bar.advance()
            measure(tonight, bench, comparison, run_id)
        return run_id


def evaluation_run_id(tonight: Tonight, bench: Bench, comparison: Comparison) -> str:
    """The run that turns tonight's scores and distances into figures."""
    scores = [
        [subject.role, suite, score_run_id(tonight, subject.kind, subject.subject_id, unit)]
        for subject in bench.subjects
        for suite, units in bench.suites.items()
        for unit in units
    ]
    distances = [
        [subject.role, suite, distance_run_id(tonight, subject.subject_id, unit)]
        for subject in comparison.subjects
        for suite, units in comparison.suites.items()
        for unit in units
    ]
    return digest(
        "evaluate",
        STAGE_VERSION,
        [tonight.claim.line, tonight.claim.night],
        scores,
        distances,
        split_pass_id(tonight),
        tonight.recipe.evaluate.model_dump(mode="json"),
    )


@task(name="measure", cache_policy=NO_CACHE)
def measure(tonight: Tonight, bench: Bench, comparison: Comparison, run_id: str) -> None:
    """Commit the night's evaluations, reliability and generations."""
    use_threads(tonight.recipe.teacher.threads)
    generations = [
        row for role in (CHALLENGER, CONTROL) for row in told_stories(tonight, bench, role, run_id)
    ]
    figures = [row for subject in bench.subjects for row in suite_figures(tonight, bench, subject)]
    figures += distance_figures(tonight, comparison)
    figures += sample_figures(bench, generations)
    night = {"run_id": run_id, "line": tonight.claim.line, "night": tonight.claim.night}
    evaluations = [{**night, **figure} for figure in figures]
    bins = [
        {**night, **row}
        for subject in bench.subjects
        for row in reliability_rows(tonight, bench, subject)
    ]
    by_band = [{**night, **row} for row in band_reliability_rows(tonight, comparison)]
    tonight.lake.commit_shard(
        run_id,
        0,
        {
            BAND_RELIABILITY.name: pa.Table.from_pylist(by_band, schema=BAND_RELIABILITY.schema),
            EVALUATIONS.name: pa.Table.from_pylist(evaluations, schema=EVALUATIONS.schema),
            RELIABILITY.name: pa.Table.from_pylist(bins, schema=RELIABILITY.schema),
            GENERATIONS.name: pa.Table.from_pylist(generations, schema=GENERATIONS.schema),
        },
    )
