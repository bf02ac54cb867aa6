"""One night of a line, from word list to promoted student: the stages in order, each of which does
only what is missing.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from prefect import flow

from flows.capture_targets import capture_targets
from flows.evaluate_student import evaluate_student
from flows.generate_corpus import generate_corpus
from flows.night import Tonight, open_night, shard_key
from flows.promote_student import promote_student, promotion_run_id
from flows.recipes import Recipe
from flows.stages import STAGES
from flows.students import student_folder
from flows.train_student import train_student
from warehouse.schemas import PROMOTIONS

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
    """Run the night's stages, then publish the lake for other programs."""
    for stage in STAGES:
        if stage in stages:
            logger.info("%s, night %s: %s", recipe.name, night, stage)
            _FLOWS[stage](recipe, night, data)
    with open_night(recipe, night, data, logger.info) as tonight:
        tonight.lake.publish()


def is_finished(tonight: Tonight) -> bool:
    """Whether the night has been decided and its student is in place: then a rerun has nothing to
    do.
    """
    run_id = promotion_run_id(tonight)
    if not tonight.lake.is_committed(PROMOTIONS.name, shard_key(run_id, 0)):
        return False
    row = tonight.lake.read(PROMOTIONS.name, run_ids=[run_id]).to_pylist()[0]
    return student_folder(tonight.lake, row["challenger_id"]).is_dir()
