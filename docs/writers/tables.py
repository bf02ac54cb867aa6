"""docs/reference/tables.md: every table and view of the lake, from the schemas and from an empty
lake that is asked to describe them.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.writers.markdown import code, table
from warehouse.lake import Lake
from warehouse.schemas import TABLES, Table
from warehouse.views import named_views

_BEGINNING = """\
# Tables and views

What `stillhouse sql`, `catalog.duckdb` and `Lake.query` show. `stillhouse sql "show tables"` lists
the names, `stillhouse sql "describe stories"` the columns of one, and the table `columns` holds
the meanings that stand here. Types are DuckDB's.

A **content** table's rows follow from what was asked: a night that was killed and taken up again
has the same ones, and the lake's digest is made of them. A **measured** table's rows hold clocks
and rates. Every row names the run that made it (`run_id`, a digest of what was asked for).

"""
_SMALL = {
    "nights": (
        "One row is one night, as it claimed its work at its start. It comes from the manifest, "
        "not from a shard.",
        {
            "line": "the recipe's name",
            "night": "the night's label",
            "ordinal": "counts the line's nights from 1",
            "first_index": "where the night's block of the plan begins",
            "num_indices": "how many prompts of the plan the night took",
            "parent_snapshot": "the snapshot of the lake that the night may read",
            "champion_id": "the student that its challenger meets; null for an empty place",
            "numerics": "engine, versions, dtype, device class, threads that all its shards share",
            "asked": "canonical JSON of all that a rerun must ask for again",
        },
    ),
    "columns": (
        "One row is one column of a table of the lake.",
        {
            "table_name": "the table",
            "column_name": "the column",
            "type": "its type in Parquet",
            "meaning": "its unit and meaning",
        },
    ),
}

Describe = Callable[[str], dict[str, str]]


def tables_page() -> str:
    """The page's text."""
    with tempfile.TemporaryDirectory() as folder, Lake.open(Path(folder), create=True) as lake:

        def describe(name: str) -> dict[str, str]:
            rows = lake.query(f'describe "{name}"').to_pylist()
            return {row["column_name"]: row["column_type"] for row in rows}

        return _BEGINNING + "\n".join([_overview(), *_tables(describe), *_views(describe)])


def _overview() -> str:
    rows = [
        *((_link(spec.name), spec.row, _kind(spec)) for spec in TABLES.values()),
        *((_link(name), _row_of(about), "small") for name, (about, _) in _SMALL.items()),
        *((_link(name), _about(sql), "view") for name, sql in named_views().items()),
    ]
    return table(["name", "one row, or what the view shows", "kind"], rows)


def _tables(describe: Describe) -> Iterator[str]:
    yield "## Tables\n"
    for spec in TABLES.values():
        types = describe(spec.name)
        rows = [
            (code(field.name), types[field.name], field.metadata[b"meaning"].decode())
            for field in spec.schema
        ]
        key = ", ".join(map(code, spec.sorted_by))
        about = (
            f"One row is {spec.row}. {_kind(spec).capitalize()} table, version {spec.version}, "
            f"sorted by {key}."
        )
        yield f"### {spec.name}\n\n{about}\n\n{table(['column', 'type', 'meaning'], rows)}"
    for name, (about, meanings) in _SMALL.items():
        rows = [(code(key), kind, meanings[key]) for key, kind in describe(name).items()]
        yield f"### {name}\n\n{about}\n\n{table(['column', 'type', 'meaning'], rows)}"


def _views(describe: Describe) -> Iterator[str]:
    yield "## Views\n"
    for name, sql in named_views().items():
        columns = table(
            ["column", "type"], ((code(key), kind) for key, kind in describe(name).items())
        )
        statement = sql.rstrip()[len(_comment(sql)) :].lstrip("\n")
        yield f"### {name}\n\n{_about(sql)}\n\n{columns}\n```sql\n{statement}\n```\n"


def _comment(sql: str) -> str:
    """The lines at the top of a view's file that say what it shows."""
    lines = sql.splitlines()
    first = next(place for place, line in enumerate(lines) if not line.startswith("--"))
    return "\n".join(lines[:first])


def _about(sql: str) -> str:
    return " ".join(line.removeprefix("--").strip() for line in _comment(sql).splitlines())


def _row_of(about: str) -> str:
    return about.partition(".")[0].removeprefix("One row is ")


def _kind(spec: Table) -> str:
    return "content" if spec.is_content else "measured"


def _link(name: str) -> str:
    return f"[`{name}`](#{name})"
