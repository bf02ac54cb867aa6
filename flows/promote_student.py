"""The night's decision: does the challenger take the champion's place? A row with its reason, and
the swap.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import flow

from distill.promote import (
    Contest,
    Decision,
    Gate,
    PairedScores,
    at_most,
    champion_changed,
    decide,
)
from flows.defaults import lake_folder
from flows.errors import FlowsError
from flows.measured import measured_stage
from flows.night import Tonight, Unit, open_night
from flows.recipes import Recipe
from flows.students import student_folder
from flows.subjects import STUDENT, suite_scores
from flows.train_student import CHALLENGER, CONTROL
from warehouse.identity import digest
from warehouse.schemas import CHECKPOINTS, EVALUATIONS, PROMOTIONS

STAGE_VERSION = 1
logger = logging.getLogger(__name__)


@flow(name="promote_student", flow_run_name="decision of {recipe.name}, night {night}")
def promote_student(recipe: Recipe, night: str, data: Path | None = None) -> bool:
    """Whether the night's challenger is promoted; a decision that was made is not made again."""
    with open_night(recipe, night, lake_folder(data), logger.info) as tonight:
        if read_decision(tonight) is None:
            with measured_stage(tonight, "promote"):
                _decide_and_swap(tonight)
        else:
            logger.info("decision: it is made")
        decision = read_decision(tonight)
        assert decision is not None
        return bool(decision["promoted"])


def read_decision(tonight: Tonight) -> dict[str, Any] | None:
    """The night's row of promotions, or None before it is decided."""
    rows = tonight.lake.read(PROMOTIONS.name, run_ids=[_run_id(tonight)]).to_pylist()
    return rows[0] if rows else None


def show_champion(tonight: Tonight) -> None:
    """Let `champion/<line>` name the champion's folder, for people and programs that do not ask the
    manifest.
    """
    student = tonight.lake.manifest.champion(tonight.claim.line)
    if student is None:
        return
    folder = student_folder(tonight.lake, student)
    link = tonight.lake.root / "champion" / tonight.claim.line
    link.parent.mkdir(exist_ok=True)
    fresh = link.with_name(f".{link.name}-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("..") / folder.relative_to(tonight.lake.root))
    os.replace(fresh, link)


def _run_id(tonight: Tonight) -> str:
    claim = tonight.claim
    asked = [claim.asked, claim.numerics, claim.champion_id]
    return digest("promote", STAGE_VERSION, claim.line, claim.night, asked)


def _decide_and_swap(tonight: Tonight) -> None:
    """The swap comes first, and is idempotent: no row speaks of a swap that did not happen."""
    claim, config = tonight.claim, tonight.recipe.evaluate
    decision = decide(
        tonight.recipe.promote,
        _contest(tonight),
        seed=config.seed,
        num_resamples=config.num_resamples,
    )
    manifest = tonight.lake.manifest
    if decision.promoted and not manifest.swap_champion(
        claim.line, expected=claim.champion_id, new=decision.challenger_id, night=claim.night
    ):
        decision = champion_changed(decision, manifest.champion(claim.line))
    run_id = _run_id(tonight)
    tonight.lake.commit_shard(run_id, 0, {PROMOTIONS.name: _row(tonight, run_id, decision)})


def _contest(tonight: Tonight) -> Contest:
    """What the night's evaluations say, by role; FlowsError if there are none."""
    rows = tonight.lake.read(EVALUATIONS.name, columns=["line", "night", "role", "subject_id"])
    here = (tonight.claim.line, tonight.claim.night)
    students = {
        row["role"]: row["subject_id"]
        for row in rows.to_pylist()
        if (row["line"], row["night"]) == here
    }
    if CHALLENGER not in students:
        raise FlowsError(
            f"{tonight.label}: expected figures of the challenger, found none; "
            "run the stage evaluate first"
        )
    champion = tonight.claim.champion_id
    other = students[CONTROL] if champion is None else champion
    earlier = tonight.units[:-1]
    return Contest(
        challenger_id=students[CHALLENGER],
        champion_id=champion,
        selection=None
        if champion is None
        else _paired(tonight, students[CHALLENGER], other, earlier),
        confirmation=_paired(tonight, students[CHALLENGER], other, tonight.units[-1:]),
        gates=[_left_out_gate(tonight, students[CHALLENGER])],
    )


def _paired(
    tonight: Tonight, challenger: str, other: str, units: Sequence[Unit]
) -> PairedScores | None:
    """Two students on the units' held-out documents, or None if there are none."""
    ours = suite_scores(tonight, STUDENT, challenger, units)
    theirs = suite_scores(tonight, STUDENT, other, units)
    assert [score.doc_id for score in ours] == [score.doc_id for score in theirs]
    if not ours:
        return None
    return PairedScores(
        challenger_nats=[score.nats for score in ours],
        other_nats=[score.nats for score in theirs],
        num_bytes=[score.num_bytes for score in ours],
    )


def _left_out_gate(tonight: Tonight, challenger: str) -> Gate:
    row = tonight.lake.read(CHECKPOINTS.name, run_ids=[challenger]).to_pylist()[0]
    left_out, kept = row["num_documents_left_out"], row["num_documents"]
    share = left_out / max(left_out + kept, 1)
    return at_most("left_out_share", share, tonight.recipe.promote.max_left_out_share)


def _row(tonight: Tonight, run_id: str, decision: Decision) -> pa.Table:
    row = {
        "line": tonight.claim.line,
        "night": tonight.claim.night,
        "run_id": run_id,
        **asdict(decision),
    }
    return pa.Table.from_pylist([row], schema=PROMOTIONS.schema)
