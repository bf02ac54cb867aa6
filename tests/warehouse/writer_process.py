"""A writer for tests to race and to kill: commits the shards of one run, says `ready` first
and how many it won last.
"""

import random
import sys
from pathlib import Path

from tests.warehouse.lake_rows import some_rows
from warehouse.lake import Lake

TABLES = ("stories", "words", "runs")


def write_shards(root: Path, *, num_shards: int, seed: int) -> int:
    """Commit the run's shards in an order of one's own; the measured table differs with the
    seed.
    """
    order = list(range(num_shards))
    random.Random(seed).shuffle(order)
    num_won = 0
    with Lake.open(root, create=True) as lake:
        print("ready", flush=True)
        for shard in order:
            rows = {name: some_rows(name, "run", seed=shard) for name in ("stories", "words")}
            rows["runs"] = some_rows("runs", "run", seed=1000 * seed + shard)
            num_won += lake.commit_shard("run", shard, rows)
    return num_won


if __name__ == "__main__":
    print(write_shards(Path(sys.argv[1]), num_shards=int(sys.argv[2]), seed=int(sys.argv[3])))
