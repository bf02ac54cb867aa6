"""What happened to a line's champion, oldest first: each night's decision and each change by hand.

Who made a change is not known. When is: the moment at which its row was committed, which stands in
the manifest beside it and is no part of the row.
"""

from datetime import datetime

import pyarrow as pa

from flows.night import shard_key
from warehouse.lake import Lake
from warehouse.schemas import PROMOTIONS

_SCHEMA = pa.schema(
    [
        ("at", pa.string()),
        ("night", pa.string()),
        ("reason", pa.string()),
        ("promoted", pa.bool_()),
        ("student", pa.string()),
        ("champion_before", pa.string()),
        ("explanation", pa.string()),
    ]
)


def champion_history(lake: Lake, line: str) -> pa.Table:
    """One row for each decision and each change of the line's champion, in their order."""
    ledger = lake.manifest.ledger()
    rows = []
    for row in lake.read(PROMOTIONS.name).to_pylist():
        key = (PROMOTIONS.name, shard_key(row["run_id"], 0))
        if row["line"] == line and key in ledger.shards:
            told = {name: row[name] for name in ("night", "reason", "promoted", "explanation")}
            who = {"student": row["challenger_id"], "champion_before": row["champion_id"]}
            at = _minute(ledger.shards[key].committed_at)
            rows.append((ledger.since[key], {"at": at, **told, **who}))
    rows.sort(key=lambda item: item[0])
    return pa.Table.from_pylist([row for _, row in rows], schema=_SCHEMA)


def _minute(committed_at: str) -> str:
    return f"{datetime.fromisoformat(committed_at):%Y-%m-%d %H:%M:%S} UTC"
