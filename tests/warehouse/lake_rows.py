"""Rows and lakes for the warehouse's tests: every table filled, its ids pointing at each other."""

import random
from pathlib import Path

import pyarrow as pa

from warehouse.identity import Json, canonical_json, digest
from warehouse.lake import Lake
from warehouse.nights import NightRequest
from warehouse.schemas import TABLES

_WORDS = ("boat", "jump", "happy", "little", "tree", "saw", "ran", "red", "moon", "friend")


def some_rows(table: str, run_id: str, *, num_rows: int = 5, seed: int = 0) -> pa.Table:
    """Rows that fit the table; equal arguments, equal rows. Keys are unique, nullable columns
    hold nulls.
    """
    chance = random.Random(digest(table, run_id, num_rows, seed))
    columns = {
        field.name: pa.array(
            [_value(field, run_id, i, chance) for i in range(num_rows)],
            pa.float64() if pa.types.is_float16(field.type) else _writable(field.type),
        ).cast(field.type)
        for field in TABLES[table].schema
    }
    return pa.table(columns)


def filled_lake(root: Path, *, num_rows: int = 40) -> Lake:
    """An open lake whose every table has two shards, with one claimed night and a champion."""
    lake = Lake.open(root, create=True)
    lake.manifest.claim_night(NightRequest("line", "1", 100, "cpu", '{"a":1}'))
    for shard in range(2):
        tables = {name: some_rows(name, "run", num_rows=num_rows, seed=shard) for name in TABLES}
        lake.commit_shard("run", shard, tables, facts={"draws": 50})
    lake.manifest.swap_champion("line", expected=None, new="student", night="1")
    return lake


def linked_lake(root: Path) -> Lake:
    """An open lake in which `boat` stands in one story that one student was trained on, and
    `tree` in another that nobody saw.
    """
    lake = Lake.open(root, create=True)
    stories = []
    for number, word in enumerate(("boat", "tree")):
        stories.append(
            {"story_id": f"story-{word}", "prompt_id": f"prompt-{word}", "doc_id": f"doc-{word}"}
        )
        commit_row(lake, f"write-{word}", "words", word=word, story_ids=[f"story-{word}"])
        commit_row(lake, f"write-{word}", "prompts", prompt_id=f"prompt-{word}", noun=word)
        commit_row(lake, f"write-{word}", "stories", **stories[number], accepted=True, reason=None)
    commit_row(lake, "capture", "targets", doc_id="doc-boat", story_id="story-boat")
    commit_row(
        lake,
        "train",
        "training_documents",
        student_id="s1",
        doc_id="doc-boat",
        targets_run_id="capture",
    )
    commit_row(lake, "train-1", "checkpoints", student_id="s1", preset="stlm-1m", num_parameters=7)
    commit_row(lake, "train-2", "checkpoints", student_id="s2", preset="stlm-1m", num_parameters=7)
    for number, (student, role) in enumerate((("s1", "challenger"), ("s2", "control"))):
        commit_row(
            lake,
            f"evaluate-{number}",
            "evaluations",
            subject_id=student,
            role=role,
            line="line",
            night="1",
            suite="confirmation",
            metric="bits_per_byte",
            value=1.5 + number,
        )
    commit_row(
        lake, "promote", "promotions", line="line", night="1", challenger_id="s1", promoted=True
    )
    return lake


def commit_row(lake: Lake, run_id: str, table: str, **values: Json) -> None:
    """Commit one row with these values as shard 0 of a run of its own."""
    row = some_rows(table, run_id, num_rows=1).to_pylist()[0] | values
    schema = TABLES[table].schema
    columns = {name: pa.array([row[name]], schema.field(name).type) for name in schema.names}
    lake.commit_shard(run_id, 0, {table: pa.table(columns)})


def _writable(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind) and pa.types.is_float16(kind.value_type):
        return pa.list_(pa.float64())
    return kind


def _value(field: pa.Field, run_id: str, i: int, chance: random.Random) -> object:
    if field.name == "run_id":
        return run_id
    if field.nullable and chance.random() < 0.4:
        return None
    if pa.types.is_list(field.type):
        item = field.type.value_field
        return [_scalar(item, i, chance) for _ in range(chance.randrange(6))]
    return _scalar(field, i, chance)


def _scalar(field: pa.Field, i: int, chance: random.Random) -> object:
    kind = field.type
    if field.name == "slots":
        return canonical_json({"noun": chance.choices(_WORDS), "features": []}).decode()
    if pa.types.is_string(kind):
        return " ".join([f"{field.name}-{i}", *chance.choices(_WORDS, k=chance.randrange(8))])
    if pa.types.is_boolean(kind):
        return chance.random() < 0.5
    if pa.types.is_floating(kind):
        return round(chance.uniform(0, 4), 3)
    if pa.types.is_timestamp(kind):
        return 1_700_000_000_000_000 + i
    return chance.randrange(100)
