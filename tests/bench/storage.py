"""What the table `targets` of a lake takes on disk, all columns, in bytes per target token.

    python tests/bench/storage.py LAKE

Each shard is written again as it stands with the writer of today (so a lake of an older version
can be measured) and with pyarrow's defaults as baseline. Then the same rows cut into quarters by
the documents' mean entropy, one file each: how much a surer teacher saves.
"""

import io
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse.lake import Lake
from warehouse.schemas import TARGETS
from warehouse.shards import write_shard

NUM_QUARTERS = 4


def num_tokens(rows: pa.Table) -> int:
    return int(pc.sum(pc.list_value_length(rows.column("input_ids"))).as_py())


def written(rows: pa.Table) -> tuple[int, Counter[str], float]:
    """Bytes of the file and of each column in it, and the CPU-seconds of writing it."""
    with tempfile.TemporaryDirectory() as folder:
        start_s = time.process_time()
        file = write_shard(Path(folder), "targets", "00000", rows, {})
        seconds = time.process_time() - start_s
        group = pq.read_metadata(Path(folder) / file.path).row_group(0)
    columns = Counter(
        {
            group.column(i).path_in_schema.split(".")[0]: group.column(i).total_compressed_size
            for i in range(group.num_columns)
        }
    )
    return file.size_bytes, columns, seconds


def size_by_default(rows: pa.Table) -> int:
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    return len(sink.getvalue())


def report_run(run_id: str, shards: Sequence[pa.Table]) -> None:
    rows = pa.concat_tables(shards)
    tokens = num_tokens(rows)
    parts = [written(shard) for shard in shards]
    size = sum(part[0] for part in parts)
    seconds = sum(part[2] for part in parts)
    entropies = np.array([np.mean(row) for row in rows.column("entropy").to_pylist()])
    print(f"run {run_id[:8]}: {rows.num_rows} documents, {tokens:,} tokens, {len(shards)} shards")
    print(f"  bytes per token: {size / tokens:.2f}", end="")
    print(f"  (pyarrow's defaults: {sum(map(size_by_default, shards)) / tokens:.2f})")
    print(f"  written at {tokens / seconds:,.0f} tokens per CPU-second")
    columns: Counter[str] = sum((part[1] for part in parts), Counter())
    for name, column_bytes in columns.most_common():
        print(f"    {name:20} {column_bytes / tokens:6.2f}")
    print(f"    {'footers':20} {(size - columns.total()) / tokens:6.2f}")
    print("  by mean entropy of the document (nats; unique ids; bytes per token)")
    for quarter in np.array_split(np.argsort(entropies, kind="stable"), NUM_QUARTERS):
        part = rows.take(np.sort(quarter))
        some = num_tokens(part)
        unique = pc.sum(pc.list_value_length(part.column("target_ids"))).as_py() / some
        nats = pc.mean(pc.list_flatten(part.column("entropy")).cast(pa.float64())).as_py()
        print(f"    {nats:5.2f} {unique:6.1f} {written(part)[0] / some:7.2f}")


def main(data: Path) -> None:
    with Lake.open(data) as lake:
        runs = lake.query("SELECT DISTINCT run_id FROM targets ORDER BY ALL")
        for run_id in runs.column("run_id").to_pylist():
            report_run(run_id, list(lake.shards(TARGETS.name, run_ids=[run_id])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
