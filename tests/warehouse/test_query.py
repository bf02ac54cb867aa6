"""`sql` reads this lake's tables and views, and nothing that anyone writes makes it do more."""

import hashlib
import logging
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tests.warehouse.lake_rows import filled_lake
from tests.warehouse.sql_attacks import ATTACKS
from warehouse.catalog import locked_connection
from warehouse.errors import QueryError, QueryRefused
from warehouse.lake import Lake
from warehouse.schemas import TABLES
from warehouse.views import named_views


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return filled_lake(tmp_path_factory.mktemp("query") / "lake", num_rows=8)


def _tree(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused_in_one_line_and_no_file_changes(
    attack: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    monkeypatch.chdir(tmp_path)
    before = _tree(lake.root.parent), _tree(tmp_path)
    with pytest.raises(QueryRefused) as caught:
        lake.query(attack.format(dir=tmp_path, lake=lake.root))
    assert "\n" not in str(caught.value)
    assert (_tree(lake.root.parent), _tree(tmp_path)) == before


def test_python_variables_are_not_tables(lake: Lake) -> None:
    secret = pa.table({"answer": [42]})
    with pytest.raises(
        QueryRefused, match="no table or view 'secret' in this lake; there are: acc"
    ):
        lake.query("SELECT * FROM secret")
    assert secret.num_rows == 1


def test_settings_alone_stop_files_and_changes(lake: Lake, tmp_path: Path) -> None:
    """The second lock holds without the first: the same attacks against the bare connection."""
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    before = _tree(lake.root.parent), _tree(tmp_path)
    succeeded = []
    with locked_connection() as connection:
        for attack in ATTACKS:
            if "{dir}" in attack or "{lake}" in attack:
                try:
                    connection.execute(attack.format(dir=tmp_path, lake=lake.root)).fetchall()
                    succeeded.append(attack)
                except duckdb.Error as exc:
                    logging.getLogger(__name__).debug("%s: %s", attack, exc)
    assert succeeded == []
    assert (_tree(lake.root.parent), _tree(tmp_path)) == before


@pytest.mark.parametrize(
    ("sql", "num_rows"),
    [
        ("SELECT 1", 1),
        ("SELECT 1;", 1),
        ("FROM stories", 16),
        ("FROM main.Stories SELECT text LIMIT 3", 3),
        ("VALUES (1), (2)", 2),
        ("SELECT * FROM range(4)", 4),
        ("SELECT unnest(target_ids) FROM targets LIMIT 2", 2),
        ("WITH s AS (SELECT * FROM stories) SELECT * FROM s JOIN words USING (run_id) LIMIT 5", 5),
        ("WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x < 4) FROM t", 4),
        ("SELECT accepted, count(*) OVER () FROM stories ORDER BY ALL LIMIT 1", 1),
        ("FROM (PIVOT stories ON accepted IN (true, false) USING count(*) GROUP BY run_id)", 1),
        ("DESCRIBE stories", len(TABLES["stories"].schema)),
        ("SUMMARIZE train_steps", len(TABLES["train_steps"].schema)),
        ("SHOW TABLES", len(TABLES) + len(named_views()) + 2),
        ("SELECT entropy[1] + 1 FROM targets", 16),
        ("SELECT strftime(started_at, '%Y') FROM runs", 16),
        ("SELECT champion_id FROM nights", 1),
        ("SELECT meaning FROM columns WHERE table_name = 'stories' AND column_name = 'reason'", 1),
    ],
)
def test_ordinary_queries_are_answered(sql: str, num_rows: int, lake: Lake) -> None:
    assert lake.query(sql).num_rows == num_rows


def test_sql_gives_the_rows_that_read_gives(lake: Lake) -> None:
    for table in TABLES:
        rows = lake.read(table)
        answer = lake.query(f"SELECT * FROM {table}")
        assert answer.column_names == rows.column_names
        assert answer.to_pylist() == rows.to_pylist(), table


def test_parameters_are_values_not_sql(lake: Lake) -> None:
    text = "'; COPY (SELECT 1) TO 'f'; --"
    assert lake.query("SELECT ? AS t, $2 + 1 AS n", [text, 2]).to_pylist() == [{"t": text, "n": 3}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nonsense FROM stories", "nonsense"),
        ("SELECT FROM WHERE", "syntax error"),
        ("SELECT 'a'::INTEGER", "Could not convert"),
        ("SELECT ?", "parameter"),
    ],
)
def test_a_query_that_cannot_run_says_why_in_one_line(sql: str, message: str, lake: Lake) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        lake.query(sql)
    assert "\n" not in str(caught.value)
