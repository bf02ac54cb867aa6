"""Tonight's figures: every subject on the same held-out stories and frozen suites, and ten stories
that the students tell.
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
from flows.exposures import exposure_figures, exposure_rows
from flows.frozen_suites import (
    FrozenSuites,
    frozen_figures,
    frozen_run_ids,
    score_frozen,
    set_up_frozen,
)
from flows.held_out_figures import reliability_rows, suite_figures
from flows.measured import measured_stage
from flows.metric_costs import MetricCosts
from flows.night import Tonight, open_night, shard_key
from flows.numerics import use_threads
from flows.progress import track
from flows.recipes import Recipe
from flows.samples import told_stories
from flows.split_age import split_pass_id
from flows.subjects import score_run_id, score_unit
from flows.text_figures import SAMPLES, mark_copies, text_figures, text_groups
from flows.train_student import CHALLENGER, CONTROL
from warehouse.identity import digest
from warehouse.schemas import BAND_RELIABILITY, EVALUATIONS, EXPOSURES, GENERATIONS, RELIABILITY

# Raise when the figures that the same scores give change.
STAGE_VERSION = 3
logger = logging.getLogger(__name__)


@flow(name="evaluate_student", flow_run_name="figures of {recipe.name}, night {night}")
def evaluate_student(recipe: Recipe, night: str, data: Path | None = None) -> str:
    """The run id of the night's figures; what is in the lake is not measured again."""
    with open_night(recipe, night, lake_folder(data), logger.info) as tonight:
        bench = set_up_bench(tonight)
        frozen = set_up_frozen(tonight, bench)
        comparison = set_up_comparison(tonight, bench)
        run_id = evaluation_run_id(tonight, bench, frozen, comparison)
        if tonight.lake.is_committed(EVALUATIONS.name, shard_key(run_id, 0)):
            logger.info("figures: all are there")
            return run_id
        units = [(subject, unit) for subject in bench.subjects for unit in tonight.units]
        costs = MetricCosts()
        with (
            measured_stage(tonight, "evaluate") as stage,
            track("scores", len(units) + len(frozen) + len(comparison.units), "suites") as bar,
        ):
            for subject, unit in units:
                with costs.spent_on("bits_per_byte", "held_out", subject) as spent:
                    spent.count(score_unit(tonight, subject, unit), stage, bar)
            for unit in comparison.units:
                with costs.spent_on("distances", "held_out", None) as spent:
                    spent.count(compare_unit(tonight, comparison, unit), stage, bar)
            score_frozen(tonight, frozen, costs, stage, bar)
            measure(tonight, bench, frozen, comparison, costs, run_id)
        costs.commit(tonight)
        return run_id


def evaluation_run_id(
    tonight: Tonight, bench: Bench, frozen: FrozenSuites, comparison: Comparison
) -> str:
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
        frozen_run_ids(tonight, frozen),
        tonight.recipe.evaluate.identity(),
        [tonight.recipe.diversity.num_words, tonight.recipe.diversity.num_sampled],
    )


@task(name="measure", cache_policy=NO_CACHE)
def measure(
    tonight: Tonight,
    bench: Bench,
    frozen: FrozenSuites,
    comparison: Comparison,
    costs: MetricCosts,
    run_id: str,
) -> None:
    """Commit the night's evaluations, reliability, generations and exposures."""
    use_threads(tonight.recipe.teacher.threads)
    with costs.spent_on("told_stories", SAMPLES, None):
        told = {role: told_stories(tonight, bench, role, run_id) for role in (CHALLENGER, CONTROL)}
    generations = [row for rows in told.values() for row in rows]
    with costs.spent_on("intervals", "held_out", None):
        figures = [row for who in bench.subjects for row in suite_figures(tonight, bench, who)]
        figures += distance_figures(tonight, comparison)
        figures += frozen_figures(tonight, frozen)
    with costs.spent_on("text_measures", SAMPLES, None):
        groups = text_groups(tonight, bench, told)
        mark_copies(told, groups)
        figures += text_figures(tonight, groups)
    with costs.spent_on("exposure", "canaries", None):
        exposures = exposure_rows(tonight, bench, run_id)
        figures += exposure_figures(tonight, bench, exposures)
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
            EXPOSURES.name: pa.Table.from_pylist(exposures, schema=EXPOSURES.schema),
        },
    )
