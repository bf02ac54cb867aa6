"""The stories that a night may use, read from the lake: what was accepted, who ordered it, on which
side of the split it is.
"""

from dataclasses import dataclass
from typing import Any

from flows.night import Tonight, duplicates_run_id
from warehouse.split import is_held_out


@dataclass(frozen=True, slots=True)
class CorpusStory:
    """One accepted story. `words` are the required lemmas: verb, noun, adjective; `prompt` is what
    the teacher was told.
    """

    story_id: str
    doc_id: str
    text: str
    prompt: str
    words: tuple[str, str, str]
    num_bytes: int
    is_held_out: bool


def accepted_stories(tonight: Tonight, unit: str) -> list[CorpusStory]:
    """The unit's accepted stories in plan order, less those that a later pass spoke against.

    Another night's unit is read as it stood when this night began.
    """
    snapshot = None if unit == tonight.unit else tonight.claim.parent_snapshot

    def rows_of(table: str, run_id: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = tonight.lake.read(
            table, run_ids=[run_id], snapshot=snapshot
        ).to_pylist()
        return rows

    units = tonight.units
    judged = duplicates_run_id(units[: units.index(unit) + 1])
    refused = {row["story_id"] for row in rows_of("verdicts", judged)}
    prompts = {row["prompt_id"]: row for row in rows_of("prompts", unit)}
    accepted = [
        row
        for row in rows_of("stories", unit)
        if row["accepted"] and row["story_id"] not in refused
    ]
    accepted.sort(key=lambda row: int(row["plan_index"]))
    share = tonight.recipe.night.held_out_share
    return [_story(row, prompts[row["prompt_id"]], share) for row in accepted]


def training_stories(tonight: Tonight) -> list[CorpusStory]:
    """What students are trained on: all units' accepted stories that are not held out, oldest unit
    first.
    """
    return [
        story
        for unit in tonight.units
        for story in accepted_stories(tonight, unit)
        if not story.is_held_out
    ]


def held_out_stories(tonight: Tonight, unit: str) -> list[CorpusStory]:
    """The unit's stories that no student is trained on."""
    return [story for story in accepted_stories(tonight, unit) if story.is_held_out]


def _story(row: dict[str, Any], prompt: dict[str, Any], held_out_share: float) -> CorpusStory:
    return CorpusStory(
        story_id=row["story_id"],
        doc_id=row["doc_id"],
        text=row["text"],
        prompt=prompt["text"],
        words=(prompt["verb"], prompt["noun"], prompt["adjective"]),
        num_bytes=row["num_bytes"],
        is_held_out=is_held_out(row["split_digest"], held_out_share),
    )
