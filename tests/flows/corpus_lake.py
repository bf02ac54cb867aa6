"""A lake with two finished nights of a line and one that has only begun, made without a teacher."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.night import units_by_night
from warehouse.identity import Json, canonical_json, digest_bytes
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.nights import NightRequest
from warehouse.schemas import TABLES
from warehouse.split import split_digest

LINE, SHARE, PROMPTS_PER_NIGHT, SHARD_SIZE = "fables", 0.5, 30, 12
HOSTILE = (
    "{{ 7*7 }} <script>alert(1)</script> | `x` ``` '; DROP TABLE stories;--\n---\nlicense: evil"
)
URL = "http://10.0.0.7:8000/v1"
_ASKED: Json = {
    "recipe": {
        "name": LINE,
        "night": {"held_out_share": SHARE, "num_prompts": PROMPTS_PER_NIGHT},
        "prompts": {"seed": 1, "note": HOSTILE},
        "engine": {"kind": "openai", "model": "m", "urls": [URL], "api_key_env": "OUR_KEY"},
    },
    "teacher_digest": "teacher",
    "vocabulary_digest": "words",
    "versions": {"generate": 1, "prompt": 1, "duplicates": 1},
}


def corpus_lake(root: Path) -> Lake:
    """An open lake; the second night's first accepted story repeats one of the first's, and a pass
    refused it.
    """
    lake = Lake.open(root, create=True)
    for label in ("1", "2", "3"):
        request = NightRequest(
            LINE, label, PROMPTS_PER_NIGHT, "cpu", canonical_json(_ASKED).decode()
        )
        claim = lake.manifest.claim_night(request)
        if label != "3":
            write_night(lake, claim)
    return lake


def texts_of(lake: Lake, *, held_out: bool) -> list[str]:
    """The accepted texts on that side, by SQL and a view of the lake, in the order of the plan."""
    rows = lake.query(
        "SELECT text, split_digest FROM accepted_stories ORDER BY plan_index, attempt"
    ).to_pylist()
    half = 1 << 31
    return [r["text"] for r in rows if (int(r["split_digest"][:8], 16) < half) is held_out]


def write_night(lake: Lake, claim: Night, **facts: Json) -> None:
    """Commit its prompts and stories, and a pass over them that found these facts."""
    unit = next(units[-1] for night, units in units_by_night(lake, LINE) if night == claim)
    for shard, start in enumerate(range(0, PROMPTS_PER_NIGHT, SHARD_SIZE)):
        indices = range(start, min(start + SHARD_SIZE, PROMPTS_PER_NIGHT))
        prompts, stories = [], []
        for index in (claim.first_index + i for i in indices):
            prompts.append(_prompt(unit.run_id, index))
            stories += [_story(unit.run_id, index, attempt) for attempt in range(2)]
        tables = {"prompts": _table("prompts", prompts), "stories": _table("stories", stories)}
        lake.commit_shard(unit.run_id, shard, tables)
    refused = [
        {
            "story_id": f"s{claim.first_index}-1",
            "run_id": unit.pass_id,
            "reason": "duplicate",
            "other_story_id": "s0-1",
        }
    ]
    verdicts = refused if claim.ordinal == 2 else []
    lake.commit_shard(unit.pass_id, 0, {"verdicts": _table("verdicts", verdicts)}, facts=facts)


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with null in every column that they do not give."""
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)


def _words(index: int) -> list[str]:
    return ["jump", f"boat{index}", HOSTILE if index == 4 else "red"]


def _prompt(run_id: str, index: int) -> dict[str, Any]:
    return {
        "prompt_id": f"p{index}",
        "run_id": run_id,
        "vocabulary": HOSTILE,
        "vocabulary_digest": "words",
        "seed": 1,
        "plan_index": index,
        "features": [],
        "text": f"Write of {', '.join(_words(index))}.",
        "family": "story",
        "words": _words(index),
        "slots": json.dumps({"noun": [f"boat{index}"]}),
    }


def _story(run_id: str, index: int, attempt: int) -> dict[str, Any]:
    """Every prompt's first attempt is rejected."""
    text = f"Boat {index} jumped.\n\nIt was red. {HOSTILE if index == 4 else ''}".strip()
    return {
        "story_id": f"s{index}-{attempt}",
        "run_id": run_id,
        "prompt_id": f"p{index}",
        "attempt": attempt,
        "plan_index": index,
        "teacher_digest": "teacher",
        "numerics": "cpu",
        "text": text,
        "doc_id": digest_bytes(text.encode()),
        "split_digest": split_digest(_words(index)),
        "accepted": attempt == 1,
        "reason": None if attempt == 1 else "missing_words",
        "num_words": len(text.split()),
        "num_unknown_words": 0,
        "num_required_hit": 3,
        "num_tokens": 10,
        "num_bytes": len(text.encode()),
    }
