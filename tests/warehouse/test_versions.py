"""Lakes of other versions of this program: a newer one's is refused whole, an older one's is read,
with null where a column was added since.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from tests.warehouse.lake_rows import some_rows
from warehouse.errors import LakeFormatError
from warehouse.lake import Lake
from warehouse.schemas import TABLES, Table
from warehouse.verification import verify_lake

TABLE = "scores"
NOW = TABLES[TABLE]
LAST = NOW.schema.names[-1]


@contextmanager
def _program_with(table: Table) -> Iterator[None]:
    """The program of another version, which knows the table otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TABLES, TABLE, table)
        yield


def _write(root: Path, run_id: str) -> None:
    with Lake.open(root, create=True) as lake:
        rows = some_rows(TABLE, run_id)
        lake.commit_shard(run_id, 0, {TABLE: rows.select(TABLES[TABLE].schema.names)})


def _older() -> Table:
    schema = pa.schema([field for field in NOW.schema if field.name != LAST])
    return dataclasses.replace(NOW, version=NOW.version - 1, schema=schema)


def test_a_lake_that_a_newer_program_wrote_is_refused_before_anything_is_read_or_written(
    tmp_path: Path,
) -> None:
    _write(tmp_path, "before")
    with _program_with(dataclasses.replace(NOW, version=NOW.version + 1)):
        _write(tmp_path, "newer")
    said = rf"lake {tmp_path}: .* holds {TABLE} version {NOW.version + 1}, written by a newer .*"
    with pytest.raises(LakeFormatError, match=f"{said}knows version {NOW.version}; use a newer"):
        Lake.open(tmp_path)
    with pytest.raises(LakeFormatError, match="written by a newer stillhouse"):
        verify_lake(tmp_path)


def test_a_table_that_only_a_newer_program_has_is_refused(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TABLES, "secrets", dataclasses.replace(NOW, name="secrets"))
        with Lake.open(tmp_path, create=True) as lake:
            lake.commit_shard("run", 0, {"secrets": some_rows(TABLE, "run")})
    with pytest.raises(LakeFormatError, match="knows no such table; use a newer stillhouse"):
        Lake.open(tmp_path)


def test_rows_of_an_older_program_are_read_with_null_where_a_column_was_added(
    tmp_path: Path,
) -> None:
    import duckdb

    assert NOW.schema.field(LAST).nullable
    with _program_with(_older()):
        _write(tmp_path, "older")
    _write(tmp_path, "now")
    query = f"select run_id, count(*) as n, count({LAST}) as known from {TABLE} group by all"
    with Lake.open(tmp_path) as lake:
        rows = lake.read(TABLE)
        answer = lake.query(f"{query} order by run_id").to_pylist()
        catalog = lake.publish()
        assert lake.verify() == []
    by_run = {row["run_id"]: row for row in answer}
    assert rows.schema == NOW.schema.remove_metadata()
    assert rows.filter(pa.compute.field("run_id") == "older").column(LAST).null_count == 5
    assert (by_run["older"]["n"], by_run["older"]["known"]) == (5, 0)
    assert by_run["now"]["known"] > 0
    with duckdb.connect(str(catalog), read_only=True) as connection:
        assert connection.sql(f"{query} order by run_id").to_arrow_table().to_pylist() == answer
    with Lake.open(tmp_path) as lake:
        assert lake.read(TABLE, run_ids=["older"], columns=[LAST]).column(LAST).null_count == 5


def test_a_column_that_may_be_null_since_is_read_from_older_and_newer_files(tmp_path: Path) -> None:
    fields = [field.with_nullable(False) if field.name == LAST else field for field in NOW.schema]
    strict = dataclasses.replace(NOW, version=NOW.version - 1, schema=pa.schema(fields))
    with _program_with(strict):
        _write(tmp_path, "older")
    _write(tmp_path, "now")
    with Lake.open(tmp_path) as lake:
        rows = lake.read(TABLE)
        assert lake.verify() == []
        query = f"select count({LAST}) as known from {TABLE} where run_id = 'older'"
        assert lake.query(query).to_pylist() == [{"known": 5}]
    assert rows.schema == NOW.schema.remove_metadata()
    assert rows.filter(pa.compute.field("run_id") == "older").column(LAST).null_count == 0


def test_an_older_file_without_a_column_that_is_never_null_is_refused(tmp_path: Path) -> None:
    needed = next(
        field.name
        for field in NOW.schema
        if not field.nullable and field.name != "run_id" and field.name not in NOW.sorted_by
    )
    schema = pa.schema([field for field in NOW.schema if field.name != needed])
    with _program_with(dataclasses.replace(NOW, version=NOW.version - 1, schema=schema)):
        _write(tmp_path, "older")
    with (
        Lake.open(tmp_path) as lake,
        pytest.raises(LakeFormatError, match=f"written by an older .* the column {needed};"),
    ):
        lake.read(TABLE)
