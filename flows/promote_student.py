"""The night's decision: does the challenger take the champion's place? A row with its reason, and
the swap.
"""

import logging
import os
from dataclasses import asdict
from pathlib import Path

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
from flows.evaluate_student import CONFIRMATION, SELECTION, Bench, set_up_bench, suite_scores
from flows.measured import measured_stage
from flows.night import Tonight, open_night, shard_key
from flows.recipes import Recipe
from flows.subjects import CHAMPION
from flows.train_student import CHALLENGER, CONTROL
from warehouse.identity import digest
from warehouse.schemas import PROMOTIONS

STAGE_VERSION = 1
logger = logging.getLogger(__name__)


@flow(name="promote_student")
def promote_student(recipe: Recipe, night: str, data: Path) -> bool:
    """Whether the night's challenger is promoted; a decision that was made is not made again."""
    with open_night(recipe, night, data, logger.info) as tonight:
        run_id = promotion_run_id(tonight)
        if not tonight.lake.is_committed(PROMOTIONS.name, shard_key(run_id, 0)):
            with measured_stage(tonight, "promote"):
                _decide_and_swap(tonight, run_id)
        else:
            logger.info("decision: it is made")
        _show_champion(tonight)
        row = tonight.lake.read(PROMOTIONS.name, run_ids=[run_id]).to_pylist()[0]
        return bool(row["promoted"])


def promotion_run_id(tonight: Tonight) -> str:
    """The run that decides the night: one per claim."""
    claim = tonight.claim
    return digest("promote", STAGE_VERSION, claim.line, claim.night, claim.asked)


def _decide_and_swap(tonight: Tonight, run_id: str) -> None:
    """The swap comes first, and is idempotent: no row speaks of a swap that did not happen."""
    claim, config = tonight.claim, tonight.recipe.evaluate
    contest = _contest(tonight, set_up_bench(tonight))
    decision = decide(
        tonight.recipe.promote, contest, seed=config.seed, num_resamples=config.num_resamples
    )
    manifest = tonight.lake.manifest
    if decision.promoted and not manifest.swap_champion(
        claim.line, expected=claim.champion_id, new=decision.challenger_id, night=claim.night
    ):
        decision = champion_changed(decision, manifest.champion(claim.line))
    tonight.lake.commit_shard(run_id, 0, {PROMOTIONS.name: _row(tonight, run_id, decision)})


def _contest(tonight: Tonight, bench: Bench) -> Contest:
    challenger = bench.subject(CHALLENGER)
    assert challenger is not None
    has_champion = tonight.claim.champion_id is not None
    other = CHAMPION if has_champion else CONTROL
    return Contest(
        challenger_id=challenger.subject_id,
        champion_id=tonight.claim.champion_id,
        selection=_paired(tonight, bench, other, SELECTION) if has_champion else None,
        confirmation=_paired(tonight, bench, other, CONFIRMATION),
        gates=[_left_out_gate(tonight, bench)],
    )


def _paired(tonight: Tonight, bench: Bench, role: str, suite: str) -> PairedScores | None:
    """The challenger and the subject of that role on the suite's documents, or None if there are
    none.
    """
    challenger, other = bench.subject(CHALLENGER), bench.subject(role)
    assert challenger is not None
    assert other is not None
    units = bench.suites[suite]
    ours, theirs = suite_scores(tonight, challenger, units), suite_scores(tonight, other, units)
    assert [score.doc_id for score in ours] == [score.doc_id for score in theirs]
    if not ours:
        return None
    return PairedScores(
        challenger_nats=[score.nats for score in ours],
        other_nats=[score.nats for score in theirs],
        num_bytes=[score.num_bytes for score in ours],
    )


def _left_out_gate(tonight: Tonight, bench: Bench) -> Gate:
    left_out, kept = bench.training_set.num_left_out, len(bench.training_set.documents)
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


def _show_champion(tonight: Tonight) -> None:
    """Let `champion/<line>` name the champion's folder, for people and programs that do not ask the
    manifest.
    """
    student = tonight.lake.manifest.champion(tonight.claim.line)
    if student is None:
        return
    link = tonight.lake.root / "champion" / tonight.claim.line
    link.parent.mkdir(exist_ok=True)
    fresh = link.with_name(f".{link.name}-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("..") / "models" / student)
    os.replace(fresh, link)
