"""The named views say what they promise, through `sql` and through the published catalog alike."""

from pathlib import Path

import duckdb
import pyarrow as pa

from tests.warehouse.lake_rows import commit_row, filled_lake, linked_lake, some_rows
from warehouse.identity import Json
from warehouse.lake import Lake
from warehouse.schemas import TABLES
from warehouse.views import named_views


def test_views_and_empty_tables_are_there_in_an_empty_lake(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        for name in (*TABLES, *named_views(), "nights"):
            assert lake.query(f"SELECT * FROM {name}").num_rows == 0
        assert lake.query("SELECT * FROM columns").num_rows > 100


def test_lineage_walks_from_a_word_to_the_evaluations_of_who_saw_it(tmp_path: Path) -> None:
    sql = "SELECT DISTINCT student_id, suite, metric, value FROM lineage WHERE word = ?"
    with linked_lake(tmp_path) as lake:
        assert lake.query(sql, ["boat"]).to_pylist() == [
            {
                "student_id": "s1",
                "suite": "confirmation",
                "metric": "bits_per_byte",
                "value": 1.5,
            }
        ]
        assert lake.query(sql, ["tree"]).num_rows == 0
        (row,) = lake.query("SELECT * FROM leaderboard").to_pylist()
        assert (row["student_id"], row["bits_per_byte"], row["control"]) == ("s1", 1.5, 2.5)
        funnel = lake.query("SELECT reason, num_stories, share FROM funnel LIMIT 1").to_pylist()
        assert funnel == [{"reason": "accepted", "num_stories": 1, "share": 1.0}]


def test_a_later_verdict_takes_a_story_out_of_the_accepted_ones(tmp_path: Path) -> None:
    with linked_lake(tmp_path) as lake:
        assert lake.query("SELECT * FROM accepted_stories").num_rows == 2
        commit_row(lake, "dedup", "verdicts", story_id="story-boat", reason="duplicate")
        accepted = lake.query("SELECT story_id FROM accepted_stories").to_pylist()
        assert accepted == [{"story_id": "story-tree"}]
        reasons = lake.query("SELECT reason FROM funnel ORDER BY reason").to_pylist()
        assert reasons == [{"reason": "accepted"}, {"reason": "duplicate"}]


def test_accept_rates_by_word_and_by_slot_count_every_attempt(tmp_path: Path) -> None:
    slots = '{"features":[],"noun":["boat"],"tone":["warm"]}'
    old: dict[str, Json] = {"verb": "jump", "noun": "boat", "adjective": "red", "words": None}
    asked: dict[str, Json] = {"words": ["boat"], "slots": slots, "family": "note"}
    attempts = (("a", "no"), ("b", None), ("c", None))
    with Lake.open(tmp_path, create=True) as lake:
        commit_row(lake, "new", "prompts", prompt_id="p", **asked)
        _commit_old(lake, {"slots": None, "family": None, **old})
        for shard, (story, reason) in enumerate(attempts):
            row = some_rows("stories", "new", num_rows=1).to_pylist()[0] | {
                "story_id": story,
                "prompt_id": "p",
                "accepted": reason is None,
                "reason": reason,
                "num_tokens": 10,
            }
            rows = pa.Table.from_pylist([row], schema=TABLES["stories"].schema)
            lake.commit_shard("new", shard + 1, {"stories": rows})
        commit_row(lake, "dedup", "verdicts", story_id="c", reason="duplicate")
        by_word = lake.query("SELECT * FROM accept_by_word").to_pylist()
        by_slot = lake.query("SELECT * FROM accept_by_slot ORDER BY slot").to_pylist()
    figures = {
        "num_prompts": 1,
        "num_attempts": 3,
        "num_accepted": 1,
        "num_tokens": 30,
        "accept_rate": 1 / 3,
        "tokens_per_accepted": 30.0,
    }
    new = {"run_id": "new", "family": "note"}
    assert [row for row in by_word if row["run_id"] == "new"] == [
        {**new, "word": "boat", **figures}
    ]
    of_old = [row for row in by_word if row["run_id"] == "old"]
    assert [(row["word"], row["num_attempts"]) for row in of_old] == [
        ("boat", 1),
        ("jump", 1),
        ("red", 1),
    ]
    # A prompt without slots is in no row of theirs.
    assert by_slot == [
        {**new, "slot": slot, "value": value, **figures}
        for slot, value in (("features", None), ("noun", "boat"), ("tone", "warm"))
    ]


def test_prompts_of_before_there_were_families_have_their_three_words(tmp_path: Path) -> None:
    old: dict[str, Json] = {"verb": "jump", "noun": "boat", "adjective": "red", "words": None}
    with linked_lake(tmp_path) as lake:
        rows = some_rows("prompts", "r", num_rows=1).to_pylist()[0] | old | {"prompt_id": "p"}
        story = some_rows("stories", "r", num_rows=1).to_pylist()[0] | {"prompt_id": "p"}
        for name, row in (("prompts", rows), ("stories", story)):
            made = pa.Table.from_pylist([row], schema=TABLES[name].schema)
            lake.commit_shard("r", 0 if name == "prompts" else 1, {name: made})
        words = lake.query("SELECT word FROM accept_by_word WHERE run_id = 'r' ORDER BY word")
    assert words.column("word").to_pylist() == ["boat", "jump", "red"]


def test_any_duckdb_client_reads_the_published_catalog(tmp_path: Path) -> None:
    with filled_lake(tmp_path / "o'lake [1] *%20#", num_rows=6) as lake:
        path = lake.publish()
        with duckdb.connect(str(path), read_only=True) as client:
            for name in TABLES:
                rows = _rows(client, name).to_pylist()
                assert rows == lake.read(name).to_pylist(), name
            for name in (*named_views(), "columns", "nights"):
                rows = _rows(client, name)
                assert rows.num_rows == lake.query(f"SELECT * FROM {name}").num_rows, name
            # Publishing again puts a new file in place under an open reader.
            lake.publish()
            assert _rows(client, "stories").num_rows == 12
        left = sorted(entry.name for entry in lake.root.iterdir())
        assert left == ["catalog.duckdb", "lake", "manifest.seal", "manifest.sqlite"]


def test_an_empty_lake_can_be_published(tmp_path: Path) -> None:
    with (
        Lake.open(tmp_path, create=True) as lake,
        duckdb.connect(str(lake.publish()), read_only=True) as client,
    ):
        for name in (*TABLES, *named_views(), "nights"):
            assert _rows(client, name).num_rows == 0


def _commit_old(lake: Lake, asked: dict[str, Json]) -> None:
    """A prompt of before there were families, and its one accepted story, in run `old`."""
    values = {
        "prompts": {"prompt_id": "q", **asked},
        "stories": {"story_id": "d", "prompt_id": "q", "accepted": True, "reason": None},
    }
    tables = {}
    for name, given in values.items():
        row = some_rows(name, "old", num_rows=1).to_pylist()[0] | given
        tables[name] = pa.Table.from_pylist([row], schema=TABLES[name].schema)
    lake.commit_shard("old", 0, tables)


def _rows(client: duckdb.DuckDBPyConnection, name: str) -> pa.Table:
    relation = client.sql(f"SELECT * FROM {name}")
    assert relation is not None
    return relation.to_arrow_table()
