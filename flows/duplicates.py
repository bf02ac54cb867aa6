"""Which of tonight's stories repeat an older one of the line, and how much alike the others are:
one pass in plan order, once all shards are written.

It sees the night's own stories and, as the lake was when the night began, those of every earlier
night that no verdict speaks against. Verdicts and measures are committed together, so a night has
both or neither. What earlier nights' texts are like is computed anew each night, some 0.15 CPU-ms a
story: a second for every 7,000 of them.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from datagen.dedup import Repeat, find_repeats
from flows.diversity import broken_limits, measure_rows
from flows.night import BREAKS, Tonight, Unit, shard_key
from warehouse.schemas import CORPUS_MEASURES, STORIES, VERDICTS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Stories:
    """Stories in plan order."""

    ids: list[str]
    texts: list[str]


@task(name="find duplicates", cache_policy=NO_CACHE)
def find_duplicates(tonight: Tonight) -> None:
    """Commit a verdict on each accepted story of the night that repeats an older one, and the
    measures of those that stay; nothing to do if they are there.
    """
    run_id = tonight.unit.pass_id
    if tonight.lake.is_committed(VERDICTS.name, shard_key(run_id, 0)):
        return
    earlier = [_stories(tonight, unit) for unit in tonight.units[:-1] if not unit.is_import]
    mine = _stories(tonight, tonight.unit)
    every = [*earlier, mine]
    ids = [story_id for stories in every for story_id in stories.ids]
    texts = [text for stories in every for text in stories.texts]
    num_earlier = len(texts) - len(mine.texts)
    repeats = find_repeats(texts, tonight.recipe.duplicates, num_earlier=num_earlier)
    refused = {repeat.place for repeat in repeats}
    kept = [text for place, text in enumerate(texts[num_earlier:], num_earlier)
            if place not in refused]  # fmt: skip
    measures = measure_rows(tonight, kept, [stories.texts for stories in earlier])
    tonight.lake.commit_shard(
        run_id,
        0,
        {
            VERDICTS.name: _verdict_rows(run_id, ids, repeats),
            CORPUS_MEASURES.name: measures,
        },
        facts={BREAKS: [row["measure"] for row in broken_limits(measures)]},
    )
    num_near = sum(1 for repeat in repeats if not repeat.is_exact)
    logger.info(
        "duplicates: %d of %d accepted stories repeat an older one, %d of them nearly; "
        "%d stories of earlier nights looked at",
        len(repeats),
        len(mine.ids),
        num_near,
        num_earlier,
    )


def _stories(tonight: Tonight, unit: Unit) -> _Stories:
    """The unit's accepted stories in plan order, less those that its pass spoke against."""
    snapshot = tonight.snapshot_of(unit)
    refused = set(
        tonight.lake.read(
            VERDICTS.name, run_ids=[unit.pass_id], columns=["story_id"], snapshot=snapshot
        )
        .column("story_id")
        .to_pylist()
    )
    rows = tonight.lake.read(
        STORIES.name,
        run_ids=[unit.run_id],
        columns=["story_id", "text", "accepted", "plan_index", "attempt"],
        snapshot=snapshot,
    )
    rows = rows.filter(rows.column("accepted")).sort_by(
        [("plan_index", "ascending"), ("attempt", "ascending")]
    )
    pairs = zip(rows.column("story_id").to_pylist(), rows.column("text").to_pylist(), strict=True)
    kept = [(story_id, text) for story_id, text in pairs if story_id not in refused]
    return _Stories([story_id for story_id, _ in kept], [text for _, text in kept])


def _verdict_rows(run_id: str, ids: Sequence[str], repeats: Sequence[Repeat]) -> pa.Table:
    rows = [
        {
            "story_id": ids[repeat.place],
            "run_id": run_id,
            "reason": "duplicate" if repeat.is_exact else "near_duplicate",
            "other_story_id": ids[repeat.older],
            "similarity": repeat.similarity,
        }
        for repeat in repeats
    ]
    return pa.Table.from_pylist(rows, schema=VERDICTS.schema)
