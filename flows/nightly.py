"""One night of a line, from word list to promoted student: the stages in order, each of which does
only what is missing.
"""

import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect import flow

from flows.capture_targets import capture_targets
from flows.errors import FlowsError
from flows.evaluate_student import evaluate_student
from flows.generate_corpus import generate_corpus
from flows.night import Tonight, open_night
from flows.promote_student import promote_student, read_decision, show_champion
from flows.recipes import Recipe
from flows.stages import STAGES
from flows.students import student_folder
from flows.train_student import train_student

logger = logging.getLogger(__name__)

_FLOWS: dict[str, Callable[[Recipe, str, Path], object]] = {
    "generate": generate_corpus,
    "capture": capture_targets,
    "train": train_student,
    "evaluate": evaluate_student,
    "promote": promote_student,
}
assert tuple(_FLOWS) == STAGES


@flow(name="nightly", flow_run_name="{recipe.name}, night {night}")
def nightly(recipe: Recipe, night: str, data: Path, stages: Sequence[str] = STAGES) -> None:
    """Run the night's stages, then publish the lake for other programs.

    Raises FlowsError while another process runs a night of the line.
    """
    with open_night(recipe, night, data, logger.info) as tonight, _alone(tonight):
        for stage in STAGES:
            if stage in stages:
                logger.info("%s, night %s: %s", recipe.name, night, stage)
                _FLOWS[stage](recipe, night, data)
        close_night(tonight)


def close_night(tonight: Tonight) -> None:
    """Make what follows from the lake, if a kill left it undone: the champion's link, the
    catalog.
    """
    show_champion(tonight)
    if not tonight.lake.is_published():
        tonight.lake.publish()


def is_finished(tonight: Tonight) -> bool:
    """Whether the night has been decided and its student is in place: then a rerun has nothing to
    do.
    """
    decision = read_decision(tonight)
    if decision is None:
        return False
    return student_folder(tonight.lake, decision["challenger_id"]).is_dir()


@contextmanager
def _alone(tonight: Tonight) -> Iterator[None]:
    """Hold the line while the block runs; the system lets go of it when the process ends."""
    path = tonight.lake.root / "work" / f"{tonight.claim.line}.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise FlowsError(
                f"line {tonight.claim.line}: expected nobody else at work on it, found another "
                "process that runs one of its nights; wait for it to end"
            ) from exc
        yield
