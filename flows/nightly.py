"""One night of a line, from word list to promoted student: the stages in order, each of which does
only what is missing.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows.artifacts import show_night
from flows.capture_targets import capture_targets
from flows.champions import link_champion
from flows.defaults import lake_folder, night_label
from flows.errors import CorpusRefused, FlowsError, TransientError
from flows.evaluate_student import evaluate_student
from flows.generate_corpus import generate_corpus
from flows.interrupts import stop_if_it_came
from flows.lost_slots import crash_if_slot_is_lost
from flows.night import Tonight, open_night
from flows.promote_student import promote_student, read_decision
from flows.recipes import Recipe
from flows.report.page import write_report
from flows.stages import STAGES, Stage
from flows.student_cards import write_cards
from flows.students import student_folder
from flows.teachers import find_teacher
from flows.train_student import train_student

# The next night's schedule must not find this one still at work.
_LONGEST_NIGHT_S = 23 * 3600
_MAX_STARTS = 5
_RETRY_AFTER_S = [10.0, 60.0, 300.0]
logger = logging.getLogger(__name__)

_FLOWS: dict[Stage, Callable[[Recipe, str, Path], object]] = {
    "generate": generate_corpus,
    "capture": capture_targets,
    "train": train_student,
    "evaluate": evaluate_student,
    "promote": promote_student,
}
assert tuple(_FLOWS) == STAGES

_MADE = """
    SELECT DISTINCT subject_id FROM evaluations
    WHERE line = ? AND night = ? AND role IN ('challenger', 'control')
"""


def _run_name() -> str:
    parameters = flow_run.parameters
    return f"{parameters['recipe'].name}, night {night_label(parameters.get('night'))}"


@flow(name="nightly", flow_run_name=_run_name, timeout_seconds=_LONGEST_NIGHT_S)
def nightly(
    recipe: Recipe,
    night: str | None = None,
    data: Path | None = None,
    stages: Sequence[Stage] = STAGES,
) -> None:
    """One night: stories, targets, two students, their figures, a decision.

    A night that was begun goes on where it was; a finished one is left alone.

    Args:
        recipe: What the teacher and the students are asked for; its name is the line.
        night: The night's label; left open, the minute for which the run is scheduled, in UTC.
        data: Where the lake is; left open, the worker's STILLHOUSE_DATA, or ./stillhouse-data.
        stages: Some of the stages only, for a night that is run piece by piece.
    """
    with crash_if_slot_is_lost(_LONGEST_NIGHT_S):
        _run_night(recipe, night_label(night), lake_folder(data), stages)


def _run_night(recipe: Recipe, night: str, root: Path, stages: Sequence[Stage]) -> None:
    _check_starts()
    fetch_teacher(recipe.teacher.model)
    with open_night(recipe, night, root, logger.info) as tonight:
        try:
            for stage in STAGES:
                if stage in stages:
                    stop_if_it_came()
                    logger.info("%s: %s", tonight.label, stage)
                    _FLOWS[stage](recipe, tonight.claim.night, tonight.lake.root)
        except CorpusRefused:
            close_night(tonight)  # its page and the catalog show why
            raise
        close_night(tonight)
        show_night(tonight)


def close_night(tonight: Tonight) -> None:
    """Make what follows from the lake, if a kill left it undone: the champion's link, the students'
    cards, the catalog, the report.
    """
    link_champion(tonight.lake, tonight.claim.line)
    write_cards(tonight.lake, tonight.claim.line, tonight.claim.night)
    if not tonight.lake.is_published():
        tonight.lake.publish()
    write_report(tonight.lake, tonight.claim.line, tonight.claim.night)


def is_finished(tonight: Tonight) -> bool:
    """Whether the night has been decided and its students are in place: then a rerun has nothing to
    do.
    """
    if read_decision(tonight) is None:
        return False
    made = tonight.lake.query(_MADE, [tonight.claim.line, tonight.claim.night]).to_pylist()
    return all(student_folder(tonight.lake, row["subject_id"]).is_dir() for row in made)


def _is_transient(task: Any, run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), TransientError)


@task(
    name="fetch teacher",
    task_run_name="fetch teacher {model}",
    cache_policy=NO_CACHE,
    retries=len(_RETRY_AFTER_S),
    retry_delay_seconds=_RETRY_AFTER_S,
    retry_condition_fn=_is_transient,
)
def fetch_teacher(model: str) -> None:
    """Have the teacher here and checked; only a network that does not answer is asked again."""
    find_teacher(model, logger.info)


def _check_starts() -> None:
    """A killed run is started again by itself; one that is killed every time needs a person."""
    if (flow_run.run_count or 0) > _MAX_STARTS:
        raise FlowsError(
            f"this run was started {flow_run.run_count} times and never came to its end; see why "
            f"its processes were killed (memory?), then run the night {night_label(None)} again"
        )
