"""A night beside those of report_lake whose stories are too much alike, with an import to read and
prices to pay, hostile to a web page where a person or a model wrote something.
"""

import json
from pathlib import Path
from typing import Any

from flows.night import BREAKS, Unit, units_until
from tests.flows.report_lake import FIRST, LINE, MARKUP, commit_rows, rows_of
from warehouse.identity import canonical_json
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.nights import NightRequest

STOPPED, IMPORT, IMPORT_RUN = "4", "mine", "run-of-the-import"
PRICE, NUM_IMPORTED = 0.125, 3
_CHANGED: dict[str, dict[str, Any]] = {
    "opening_5": {"value": 0.9, "bound": 0.5, "is_within": False, "evidence": MARKUP},
    "distinct_2": {"value": 0.625, "bound": 0.2},
    "compression": {"value": 8.5, "bound": 8.0, "is_within": False},
}


def add_stopped_night(data: Path) -> None:
    """Add the night to a lake that has the line's first one."""
    with Lake.open(data) as lake:
        first = next(night for night in lake.manifest.nights(LINE) if night.night == FIRST)
        asked = json.loads(first.asked)
        asked["imports"] = {IMPORT: IMPORT_RUN}
        asked["recipe"]["diversity"] |= {
            "max_opening_5": 0.5,
            "min_distinct_2": 0.2,
            "max_compression": 8.0,
        }
        text = canonical_json(asked).decode()
        claim = lake.manifest.claim_night(
            NightRequest(LINE, STOPPED, first.num_indices, first.numerics, text)
        )
        *_, own = units_until(lake, claim)
        _import(lake)
        _write(lake, own, claim)
        _measure(lake, own)


def _import(lake: Lake) -> None:
    rows = [
        {
            "doc_id": f"imported-{place}",
            "name": IMPORT,
            "origin": f"a letter of {MARKUP}",
            "licence": "CC-BY-4.0",
            "source_file": "stories.txt",
            "source_row": place,
            "text": "A cat sat.",
            "num_words": 3,
            "num_bytes": 10,
            "split_digest": "0" * 8,
            "accepted": place < NUM_IMPORTED,
            "reason": None if place < NUM_IMPORTED else "too_long",
        }
        for place in range(NUM_IMPORTED + 1)
    ]
    commit_rows(lake, IMPORT_RUN, imports=rows)


def _write(lake: Lake, own: Unit, claim: Night) -> None:
    """One shard at a price, and one that a budget closed."""
    costs = rows_of(lake, "costs", line=LINE, night=FIRST)
    first = min(costs, key=lambda row: int(row["shard"]))
    run_id = first["run_id"]
    written = {**first, "night": STOPPED, "price": PRICE, "currency": "EUR", "shard": 0}
    nothing = dict.fromkeys(("num_attempts", "num_accepted", "num_prompt_tokens", "num_tokens"), 0)
    no_time = dict.fromkeys(("wall_s", "cpu_s", "accelerator_s"), 0.0)
    closed = {**written, **nothing, **no_time, "shard": 1, "price": None, "reached": "max_price"}
    closed["num_prompts"] = claim.num_indices - written["num_prompts"]
    stories: list[dict[str, Any]] = [
        {**row, "doc_id": f"{row['doc_id']}-again", "story_id": f"{row['story_id']}-alike"}
        for row in rows_of(lake, "stories", run_id=run_id)
        if row["plan_index"] < written["num_prompts"]
    ]
    asked = {row["prompt_id"] for row in stories}
    commit_rows(
        lake,
        own.run_id,
        costs=[written, closed],
        stories=stories,
        prompts=[r for r in rows_of(lake, "prompts", run_id=run_id) if r["prompt_id"] in asked],
    )


def _measure(lake: Lake, own: Unit) -> None:
    measures = [
        {**row, **_CHANGED.get(row["measure"], {}), "stories_run_id": own.run_id}
        for row in rows_of(lake, "corpus_measures")
    ]
    broken = [row["measure"] for row in measures if not row["is_within"]]
    commit_rows(lake, own.pass_id, {BREAKS: broken}, corpus_measures=measures, verdicts=[])
