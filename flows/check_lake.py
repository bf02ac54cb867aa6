"""The lake's daily check: every byte of every file, and every student, against what was written."""

import logging
from pathlib import Path

from prefect import flow

from flows.defaults import lake_folder
from flows.errors import FlowsError
from flows.lost_slots import crash_if_slot_is_lost
from flows.verification import lake_defects
from warehouse.errors import LakeNotFoundError

_LONGEST_CHECK_S = 6 * 3600
_NUM_SHOWN = 5
logger = logging.getLogger(__name__)


@flow(name="check_lake", timeout_seconds=_LONGEST_CHECK_S)
def check_lake(data: Path | None = None) -> None:
    """Every file and every student of the lake is as it was written, or the run fails and names
    those that are not.
    """
    root = lake_folder(data)
    try:
        with crash_if_slot_is_lost(_LONGEST_CHECK_S):
            defects = lake_defects(root)
    except LakeNotFoundError:
        logger.info("no lake in %s yet: nothing to check", root)
        return
    if defects:
        named = "; ".join(f"{defect.path}: {defect.what}" for defect in defects[:_NUM_SHOWN])
        raise FlowsError(
            f"lake {root}: expected every file as it was written, found {len(defects)} that are "
            f"not: {named}; `stillhouse lake verify` lists them all"
        )
    logger.info("every file and every student of %s is as it was written", root)
