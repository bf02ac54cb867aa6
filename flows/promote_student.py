"""The night's decision: does the challenger take the champion's place? A row with its reason, and
the swap.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import flow

from distill.gates import Gate, at_most
from distill.promote import Contest, Decision, PairedScores, champion_changed, decide
from flows.defaults import lake_folder
from flows.errors import FlowsError
from flows.gates import judged_gates
from flows.measured import measured_stage
from flows.night import Tonight, Unit, open_night, shard_key
from flows.recipes import Recipe
from flows.students import load_checked_student
from flows.subjects import STUDENT, suite_scores
from flows.train_student import CHALLENGER, CONTROL
from warehouse.errors import ChampionChangedError
from warehouse.identity import digest
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.nights import ChampionChange
from warehouse.schemas import CHECKPOINTS, EVALUATIONS, PROMOTIONS

STAGE_VERSION = 1
logger = logging.getLogger(__name__)


@flow(name="promote_student", flow_run_name="decision of {recipe.name}, night {night}")
def promote_student(recipe: Recipe, night: str, data: Path | None = None) -> bool:
    """Whether the night's challenger is promoted; a decision that was made is not made again."""
    with open_night(recipe, night, lake_folder(data), logger.info) as tonight:
        if read_decision(tonight) is None:
            with measured_stage(tonight, "promote"):
                _decide(tonight)
        else:
            logger.info("decision: it is made")
        decision = read_decision(tonight)
        assert decision is not None
        return bool(decision["promoted"])


def read_decision(tonight: Tonight) -> dict[str, Any] | None:
    """The night's row of promotions, or None before it is decided."""
    rows = tonight.lake.read(PROMOTIONS.name, run_ids=[_run_id(tonight)]).to_pylist()
    return rows[0] if rows else None


def commit_decision(lake: Lake, claim: Night, run_id: str, decision: Decision) -> None:
    """Commit the night's decision and, in the same transaction, the champion's change; a challenger
    that met another champion than there is by now is not promoted.

    Once in the lake it stays: a second run of the night changes nothing. FlowsError if the one to
    be promoted is not whole.
    """
    change = None
    if decision.promoted:
        load_checked_student(lake, decision.challenger_id)
        change = ChampionChange(claim.line, claim.night, claim.champion_id, decision.challenger_id)
    try:
        lake.commit_shard(
            run_id, 0, {PROMOTIONS.name: _row(claim, run_id, decision)}, champion=change
        )
    except ChampionChangedError:
        kept = champion_changed(decision, lake.manifest.champion(claim.line))
        lake.commit_shard(run_id, 0, {PROMOTIONS.name: _row(claim, run_id, kept)})


def _run_id(tonight: Tonight) -> str:
    claim = tonight.claim
    asked = [claim.asked, claim.numerics, claim.champion_id]
    return digest("promote", STAGE_VERSION, claim.line, claim.night, asked)


def _decide(tonight: Tonight) -> None:
    config = tonight.recipe.evaluate
    decision = decide(
        tonight.recipe.promote,
        _contest(tonight),
        seed=config.seed,
        num_resamples=config.num_resamples,
    )
    commit_decision(tonight.lake, tonight.claim, _run_id(tonight), decision)


def _contest(tonight: Tonight) -> Contest:
    """What the night's evaluations say, by role; FlowsError if there are none."""
    figures = _figures(tonight)
    students = {row["role"]: row["subject_id"] for row in figures}
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
        gates=[
            _left_out_gate(tonight, students[CHALLENGER]),
            *judged_gates(
                tonight.recipe.promote, [row for row in figures if row["role"] == CHALLENGER]
            ),
        ],
    )


def _figures(tonight: Tonight) -> list[dict[str, Any]]:
    """The night's rows of evaluations; of those that two versions of the program measured, the ones
    that were committed last.
    """
    claim, since = tonight.claim, tonight.lake.manifest.ledger().since
    rows = tonight.lake.query(
        "SELECT run_id, role, subject_id, suite, metric, value FROM evaluations "
        "WHERE line = ? AND night = ?",
        [claim.line, claim.night],
    ).to_pylist()
    rows.sort(key=lambda row: since.get((EVALUATIONS.name, shard_key(row["run_id"], 0)), 0))
    return list({(row["role"], row["suite"], row["metric"]): row for row in rows}.values())


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


def _row(claim: Night, run_id: str, decision: Decision) -> pa.Table:
    row = {"line": claim.line, "night": claim.night, "run_id": run_id, **asdict(decision)}
    return pa.Table.from_pylist([row], schema=PROMOTIONS.schema)
