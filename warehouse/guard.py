"""Decides from its parse tree whether a piece of SQL only reads this lake's tables and views.

The settings of catalog.py already take every file, extension and setting away from DuckDB; this is
the second lock, and it gives the refusal a sentence. DuckDB calls `WITH a AS (COPY ... TO ...)
SELECT` a SELECT, so the statement's type alone says nothing: the whole tree is walked, and what is
not on the lists below is refused.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warehouse.errors import QueryError, QueryRefused

if TYPE_CHECKING:
    import duckdb

_QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLE_FUNCTIONS = {"unnest", "range", "generate_series", "json_each", "json_tree"}
_REFUSED_FUNCTIONS = {
    "currval",
    "current_setting",
    "getenv",
    "getvariable",
    "json_execute_serialized_sql",
    "nextval",
    "pg_conf_load_time",
    "setseed",
    "setval",
    "write_log",
}
_SHOWN = {'"tables"', "__show_tables_expanded"}
_ALLOWED = "allowed is one SELECT over this lake's tables and views (see SHOW TABLES)"


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A single harmless SELECT and the tables and views that it names, in lower case."""

    sql: str
    names: frozenset[str]


def check_query(
    connection: "duckdb.DuckDBPyConnection", sql: str, known: Collection[str]
) -> CheckedQuery:
    """The query, once it is one SELECT that names only `known` tables and views and harmless
    functions.

    Raises QueryRefused with one line that says what was found and what is allowed, QueryError for
    a syntax error.
    """
    statement = _parsed(connection, sql)
    objects = list(_objects(statement))
    own_names = {key.lower() for item in objects for key in _cte_names(item)}
    names = {name for item in objects for name in _checked(item)}
    for name in sorted(names - own_names - set(known)):
        raise QueryRefused(
            f"no table or view {name!r} in this lake; there are: {', '.join(sorted(known))}"
        )
    return CheckedQuery(sql, frozenset(names & set(known)))


def _parsed(connection: "duckdb.DuckDBPyConnection", sql: str) -> object:
    import duckdb

    try:
        rows = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    except duckdb.Error as exc:
        raise QueryError(f"DuckDB cannot read the query: {_one_line(exc)}") from exc
    answer = json.loads(rows[0][0])
    if answer.get("error"):
        message = str(answer.get("error_message", "unknown error"))
        if answer.get("error_type") == "not implemented":
            raise QueryRefused(f"this statement is not a SELECT; {_ALLOWED}")
        raise QueryError(f"DuckDB cannot read the query: {' '.join(message.split())}")
    statements = answer.get("statements", [])
    if len(statements) != 1:
        raise QueryRefused(f"found {len(statements)} statements; {_ALLOWED}")
    return statements[0]


def _objects(value: object) -> Iterator[dict[str, object]]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _cte_names(item: dict[str, object]) -> Iterator[str]:
    ctes = item.get("cte_map")
    entries = ctes.get("map", []) if isinstance(ctes, dict) else []
    yield from (entry["key"] for entry in entries)


def _checked(item: dict[str, object]) -> Iterator[str]:
    """The table that this node of the tree names, if it names one; raises QueryRefused for what is
    not allowed.
    """
    kind = str(item.get("type", ""))
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        verb = kind.removesuffix("_NODE").removesuffix("_QUERY")
        raise QueryRefused(f"{verb} inside a query is not allowed; {_ALLOWED}")
    if kind == "BASE_TABLE":
        yield _table_name(item)
    if (
        kind == "SHOW_REF"
        and item.get("show_type") == "SHOW_SPECIAL"
        and item.get("table_name") not in _SHOWN
    ):
        raise QueryRefused(f"SHOW {item.get('table_name')} is not allowed; {_ALLOWED}")
    if kind == "TABLE_FUNCTION":
        function = item.get("function")
        name = _function_name(function) if isinstance(function, dict) else ""
        if name not in _TABLE_FUNCTIONS:
            raise QueryRefused(f"the table function {name or '?'} is not allowed; {_ALLOWED}")
    elif "function_name" in item and _function_name(item) in _REFUSED_FUNCTIONS:
        raise QueryRefused(f"the function {_function_name(item)} is not allowed; {_ALLOWED}")


def _function_name(item: dict[str, object]) -> str:
    return str(item.get("function_name", "")).lower()


def _table_name(item: dict[str, object]) -> str:
    if item.get("catalog_name") or str(item.get("schema_name") or "main").lower() != "main":
        qualified = [item.get("catalog_name"), item.get("schema_name"), item.get("table_name")]
        shown = ".".join(str(part) for part in qualified if part)
        raise QueryRefused(f"{shown} is not part of this lake; {_ALLOWED}")
    return str(item.get("table_name", "")).lower()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
