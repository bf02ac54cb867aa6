"""Rows go in once and come out the same, whatever their order, chunking or number of commits."""

import json
import sqlite3
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.warehouse.lake_rows import filled_lake, some_rows
from warehouse.canonical import canonical_rows, content_digest
from warehouse.errors import (
    CommitConflictError,
    FileDamagedError,
    LakeFormatError,
    LakeNotFoundError,
    RowsError,
    StorageError,
    WarehouseError,
)
from warehouse.identity import Json
from warehouse.lake import Lake
from warehouse.schemas import PROMOTIONS, TABLES, TARGETS
from warehouse.shards import read_footer


@pytest.mark.parametrize("table", TABLES)
def test_rows_come_back_equal_and_sorted(table: str, tmp_path: Path) -> None:
    rows = some_rows(table, "run", num_rows=30)
    with Lake.open(tmp_path, create=True) as lake:
        assert lake.commit_shard("run", 0, {table: rows})
        back = lake.read(table)
    assert back.schema.equals(TABLES[table].schema)
    assert back.equals(canonical_rows(rows, TABLES[table], "test").cast(TABLES[table].schema))


@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 39), max_size=4, unique=True))
def test_content_digest_ignores_order_chunks_and_slices(seed: int, cuts: list[int]) -> None:
    for table in (TARGETS, PROMOTIONS):
        rows = some_rows(table.name, "run", num_rows=40)
        order = np.random.default_rng(seed).permutation(40)
        shuffled = pa.concat_tables([rows.slice(0, 7), rows.take(order), rows.slice(3, 9)])
        shuffled = shuffled.slice(7, 40)
        edges = [0, *sorted(cuts), 40]
        pieces = [shuffled.slice(a, b - a) for a, b in pairwise(edges)]
        chunked = pa.concat_tables(pieces)
        digests = {
            content_digest(canonical_rows(given, table, "test"), table)
            for given in (rows, shuffled, chunked)
        }
        assert len(digests) == 1


@pytest.mark.parametrize("table", TABLES)
def test_content_digest_sees_a_change_in_any_column(table: str) -> None:
    spec = TABLES[table]
    rows = canonical_rows(some_rows(table, "run", num_rows=20), spec, "test")
    other = canonical_rows(some_rows(table, "run", num_rows=20, seed=1), spec, "test")
    before = content_digest(rows, spec)
    for number, field in enumerate(spec.schema):
        if not rows.column(number).equals(other.column(number)):
            changed = rows.set_column(number, field.name, other.column(number))
            assert content_digest(changed, spec) != before, field.name


def test_content_digest_tells_where_a_list_or_a_text_ends() -> None:
    def of(words: list[list[str]]) -> str:
        rows = some_rows("prompts", "run", num_rows=2)
        at = rows.column_names.index("features")
        rows = rows.set_column(at, "features", pa.array(words, pa.list_(pa.string())))
        return content_digest(canonical_rows(rows, TABLES["prompts"], "test"), TABLES["prompts"])

    words = [[["ab"], ["c"]], [["a"], ["bc"]], [["a", "b"], ["c"]], [["ab", "c"], []]]
    assert len({of(word) for word in words}) == len(words)


def test_lake_digest_ignores_the_order_of_commits_and_measured_tables(tmp_path: Path) -> None:
    digests = []
    for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        with Lake.open(tmp_path / name, create=True) as lake:
            for shard in order:
                rows = {"stories": some_rows("stories", "run", seed=shard)}
                lake.commit_shard("run", shard, rows)
            lake.commit_shard(f"measured-{name}", 0, {"runs": some_rows("runs", f"m-{name}")})
            digests.append(lake.digest())
            lake.commit_shard("run", 3, {"stories": some_rows("stories", "run", seed=3)})
            assert lake.digest() != digests[-1]
    assert digests[0] == digests[1]


def test_a_shard_is_committed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = some_rows("stories", "run", seed=1)
    with Lake.open(tmp_path, create=True) as lake:
        assert not lake.is_committed("stories", "run/00004")
        assert lake.commit_shard("run", 4, {"stories": first})
        assert lake.is_committed("stories", "run/00004")
        before = lake.digest(), lake.manifest.snapshot()
        assert not lake.commit_shard("run", 4, {"stories": first})
        assert not caplog.records
        assert not lake.commit_shard("run", 4, {"stories": some_rows("stories", "run", seed=2)})
        assert "other rows were committed first" in caplog.text
        assert (lake.digest(), lake.manifest.snapshot()) == before
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_tables_of_a_shard_go_in_together_or_not_at_all(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        lake.commit_shard("run", 0, {"stories": some_rows("stories", "run")})
        both = {name: some_rows(name, "run") for name in ("stories", "words")}
        with pytest.raises(CommitConflictError, match=r"with stories but without words"):
            lake.commit_shard("run", 0, both)
        assert lake.read("words").num_rows == 0


def test_read_selects_runs_columns_and_snapshots(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        lake.commit_shard("a", 1, {"words": some_rows("words", "a", seed=1)})
        lake.commit_shard("a", 0, {"words": some_rows("words", "a", seed=0)})
        early = lake.manifest.snapshot()
        lake.commit_shard("b", 0, {"words": some_rows("words", "b")})
        assert lake.read("words", run_ids=["b"]).column("run_id").to_pylist() == ["b"] * 5
        assert lake.read("words", columns=["shard", "word"]).column_names == ["shard", "word"]
        assert lake.read("words").num_rows == 15
        assert lake.read("words", snapshot=early).num_rows == 10
        assert lake.query("SELECT * FROM words", snapshot=early).num_rows == 10
        expected = [some_rows("words", "a", seed=seed).column("shard") for seed in (0, 1)]
        assert lake.read("words", run_ids={"a"}).column("shard").to_pylist() == [
            value for column in expected for value in column.to_pylist()
        ]
        assert lake.is_committed("words", "a/00000", snapshot=early)
        assert not lake.is_committed("words", "b/00000", snapshot=early)
        sizes = [path.stat().st_size for path in (tmp_path / "lake/words/a").iterdir()]
        assert lake.size_bytes("words", "a") == sum(sizes)
        with pytest.raises(RowsError, match="has no column nonsense"):
            lake.read("words", columns=["nonsense"])
        with pytest.raises(WarehouseError, match="no table 'word'"):
            lake.read("word")


def test_facts_come_back_from_manifest_and_footer(tmp_path: Path) -> None:
    facts: dict[str, Json] = {"draws": 50, "space": {"digest": "ab", "size": 4096}}
    with Lake.open(tmp_path, create=True) as lake:
        lake.commit_shard("run", 0, {"targets": some_rows("targets", "run")}, facts=facts)
        assert lake.facts("targets", "run") == facts
        assert lake.facts("targets", "another") == {}
        lake.commit_shard("run", 1, {"targets": some_rows("targets", "run")}, facts={"draws": 51})
        with pytest.raises(WarehouseError, match="differ in the fact draws"):
            lake.facts("targets", "run")
    (first, _) = sorted((tmp_path / "lake/targets/run").iterdir())
    assert read_footer(first)["facts"] == facts


def test_footer_holds_what_the_manifest_says_of_the_shard(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        lake.commit_shard("run", 3, {name: some_rows(name, "run") for name in ("words", "stories")})
        shards = lake.manifest.ledger().shards
    (path,) = (tmp_path / "lake/words/run").iterdir()
    footer = read_footer(path)
    assert (footer["table"], footer["shard_key"], footer["run_id"]) == ("words", "run/00003", "run")
    assert footer["schema_version"] == TABLES["words"].version
    assert footer["tables"] == [
        {
            "table": name,
            "schema_version": TABLES[name].version,
            "num_rows": 5,
            "content_digest": shards[name, "run/00003"].content_digest,
        }
        for name in ("stories", "words")
    ]


def test_rows_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    good = some_rows("words", "run")
    null = good.set_column(0, "word", pa.array([None] * 5, pa.string()))
    holed = good.set_column(5, "story_ids", pa.array([[None]] * 5, pa.list_(pa.string())))
    wide = good.set_column(2, "shard", pa.array([2**40] * 5))
    with Lake.open(tmp_path, create=True) as lake:
        for rows, message in (
            (good.drop_columns(["word"]), "missing: word; unknown: none"),
            (good.append_column("extra", good.column("word")), "missing: none; unknown: extra"),
            (null, "column word of words must not be null; 5 of 5"),
            (holed, "a list in column story_ids of words holds a null"),
            (wide, "do not fit the types of words"),
            (some_rows("words", "another"), "has rows of another run: another"),
        ):
            with pytest.raises(RowsError, match=message):
                lake.commit_shard("run", 0, {"words": rows})
        for run_id, shard in (("../up", 0), ("", 0), ("run", -1), ("run", 100_000)):
            with pytest.raises(WarehouseError, match="expected"):
                lake.commit_shard(run_id, shard, {"words": good})
        assert lake.manifest.snapshot() == 0
    assert not (tmp_path / "lake").exists()


def test_empty_tables_can_be_read_and_committed(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        assert lake.read("verdicts").schema.equals(TABLES["verdicts"].schema)
        assert lake.commit_shard("run", 0, {"verdicts": TABLES["verdicts"].schema.empty_table()})
        assert lake.read("verdicts").num_rows == 0
        assert lake.verify() == []


def test_a_folder_without_a_lake_is_left_as_it_is(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(
        LakeNotFoundError, match=r"no lake at .*absent.*stillhouse run quickstart.*--data"
    ):
        Lake.open(absent)
    assert not absent.exists()
    with pytest.raises(LakeNotFoundError):
        Lake.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    Lake.open(tmp_path, create=True).close()
    with sqlite3.connect(tmp_path / "manifest.sqlite") as connection:
        connection.execute("UPDATE lake_format SET format = 2")
    connection.close()
    with pytest.raises(LakeFormatError, match=r"has format 2.*up to 1; use a newer stillhouse"):
        Lake.open(tmp_path)


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"cannot make a lake in .*file/lake"):
        Lake.open(tmp_path / "file" / "lake", create=True)
    with Lake.open(tmp_path / "lake", create=True) as lake:
        (tmp_path / "lake" / "lake").write_text("in the way")
        with pytest.raises(StorageError, match=r"cannot write .*stories.*--data"):
            lake.commit_shard("run", 0, {"stories": some_rows("stories", "run")})
        assert not lake.is_committed("stories", "run/00000")
    names = sorted(path.name for path in (tmp_path / "lake").iterdir())
    assert names == ["lake", "manifest.sqlite"]


def test_threads_may_share_a_lake(tmp_path: Path) -> None:
    wins: list[bool] = []
    with Lake.open(tmp_path, create=True) as lake:

        def work() -> None:
            for shard in range(4):
                rows = {"words": some_rows("words", "run", seed=shard)}
                wins.append(lake.commit_shard("run", shard, rows))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(wins) == [False] * 12 + [True] * 4
        assert lake.read("words").num_rows == 20
        assert lake.verify() == []


def test_verify_names_missing_cut_and_changed_files(tmp_path: Path) -> None:
    with filled_lake(tmp_path, num_rows=5) as lake:
        assert lake.verify() == []
        gone, cut, changed = sorted((tmp_path / "lake").rglob("*.parquet"))[:6:2]
        gone.unlink()
        cut.write_bytes(cut.read_bytes()[:-9])
        pq.write_table(pq.read_table(changed), changed)
        found = {defect.path: defect for defect in lake.verify()}
        assert set(found) == {gone, cut, changed}
        assert "missing" in found[gone].what
        assert found[changed].table == changed.parent.parent.name
        for path in (gone, cut, changed):
            with pytest.raises(FileDamagedError, match=path.name):
                lake.read(path.parent.parent.name)
            with pytest.raises(FileDamagedError, match=path.name):
                lake.query(f"SELECT * FROM {path.parent.parent.name}")


def test_parquet_is_plain_and_carries_page_checksums(tmp_path: Path) -> None:
    with filled_lake(tmp_path, num_rows=5) as lake:
        (path, _) = sorted((tmp_path / "lake/stories/run").iterdir())
        metadata = pq.read_metadata(path)
        assert metadata.row_group(0).column(0).compression == "ZSTD"
        assert json.loads(metadata.metadata[b"stillhouse"])["table"] == "stories"
        assert lake.facts("stories", "run") == {"draws": 50}
