"""What a stage cost: clocks and CPU seconds as a row of the measured table `runs`, never part of an
id.
"""

import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
from prefect.runtime import flow_run

from flows.night import Tonight
from warehouse.identity import digest
from warehouse.schemas import RUNS


@dataclass(slots=True)
class Stage:
    """What a stage counts while it runs."""

    num_tokens: int = 0


@contextmanager
def measured_stage(tonight: Tonight, name: str) -> Iterator[Stage]:
    """Run the block as one execution of a stage and commit its cost; a block that fails or is
    killed leaves no row.
    """
    started_at, wall_s, cpu_began_s = datetime.now(UTC), time.monotonic(), cpu_s()
    stage = Stage()
    yield stage
    run_id = digest(
        "measured",
        tonight.claim.line,
        tonight.claim.night,
        name,
        str(flow_run.id),
        started_at.isoformat(),
    )
    row = {
        "run_id": run_id,
        "line": tonight.claim.line,
        "night": tonight.claim.night,
        "stage": name,
        "flow_run_id": str(flow_run.id),
        "started_at": started_at,
        "wall_s": time.monotonic() - wall_s,
        "cpu_s": cpu_s() - cpu_began_s,
        "num_tokens": stage.num_tokens,
        "numerics": tonight.claim.numerics,
        "git_commit": _git_commit(),
    }
    tonight.lake.commit_shard(
        run_id, 0, {RUNS.name: pa.Table.from_pylist([row], schema=RUNS.schema)}
    )


def cpu_s(*, with_children: bool = False) -> float:
    """CPU seconds of this process so far, and if asked for, of those it started that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)[: 1 + with_children]
    usages = [resource.getrusage(one) for one in who]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@lru_cache(maxsize=1)
def _git_commit() -> str:
    """The commit of the code that runs, or `unknown` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return outcome.stdout.strip() if outcome.returncode == 0 else "unknown"
