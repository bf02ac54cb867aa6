"""The stories that a night may use, read from the lake: what was accepted, who ordered it, on which
side of the split it is.
"""

from dataclasses import dataclass
from typing import Any, cast

from flows.night import Tonight, Unit
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


def accepted_stories(tonight: Tonight, unit: Unit) -> list[CorpusStory]:
    """The unit's accepted stories in plan order, less those that its pass spoke against."""
    snapshot = tonight.snapshot_of(unit)

    def rows_of(table: str, run_id: str) -> list[dict[str, Any]]:
        rows = tonight.lake.read(table, run_ids=[run_id], snapshot=snapshot)
        return cast("list[dict[str, Any]]", rows.to_pylist())

    refused = {row["story_id"] for row in rows_of("verdicts", unit.pass_id)}
    prompts = {row["prompt_id"]: row for row in rows_of("prompts", unit.run_id)}
    accepted = [
        row
        for row in rows_of("stories", unit.run_id)
        if row["accepted"] and row["story_id"] not in refused
    ]
    accepted.sort(key=lambda row: int(row["plan_index"]))
    share = tonight.recipe.night.held_out_share
    return [_story(row, prompts[row["prompt_id"]], share) for row in accepted]


def training_stories(tonight: Tonight) -> list[CorpusStory]:
    """What students are trained on: each accepted text of all units once, oldest unit first, less
    every text that is held out (nights that overlapped did not see each other's texts).
    """
    stories = [story for unit in tonight.units for story in accepted_stories(tonight, unit)]
    held_out = {story.doc_id for story in stories if story.is_held_out}
    kept = {story.doc_id: story for story in reversed(stories) if story.doc_id not in held_out}
    return list(reversed(kept.values()))


def held_out_stories(tonight: Tonight, unit: Unit) -> list[CorpusStory]:
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
