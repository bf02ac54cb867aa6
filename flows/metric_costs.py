"""What each metric of a night took: clocks and CPU seconds as rows of the measured table
`metric_costs`, so that a dear one is seen before it is asked for every night.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from prefect.runtime import flow_run

from flows.measured import Stage, cpu_s
from flows.night import Tonight
from flows.progress import Track
from flows.subjects import Subject
from warehouse.identity import digest
from warehouse.schemas import METRIC_COSTS

_Key = tuple[str, str, str, str]
_ALL = "all"


@dataclass(slots=True)
class Spent:
    """What a metric of a subject took so far."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    num_tokens: int = 0

    def count(self, num_tokens: int, stage: Stage, bar: Track) -> None:
        """So many more symbols are scored, of one more suite."""
        self.num_tokens += num_tokens
        stage.num_tokens += num_tokens
        bar.count_tokens(num_tokens)
        bar.advance()


@dataclass(slots=True)
class MetricCosts:
    """The costs of one execution of a stage; one that fails or is killed leaves no row."""

    _spent: dict[_Key, Spent] = field(default_factory=dict)

    @contextmanager
    def spent_on(self, metric: str, suite: str, subject: Subject | None) -> Iterator[Spent]:
        """Add what the block takes to the metric of that subject, or of all of them at once, on
        that suite.
        """
        who = (subject.role, subject.subject_id) if subject else (_ALL, _ALL)
        key = (metric, suite, *who)
        spent = self._spent.setdefault(key, Spent())
        wall_began_s, cpu_began_s = time.monotonic(), cpu_s()
        yield spent
        spent.wall_s += time.monotonic() - wall_began_s
        spent.cpu_s += cpu_s() - cpu_began_s

    def commit(self, tonight: Tonight) -> None:
        """Write the rows."""
        line, night = tonight.claim.line, tonight.claim.night
        now = datetime.now(UTC).isoformat()
        run_id = digest("metric costs", line, night, str(flow_run.id), now)
        rows = [
            {
                "run_id": run_id,
                "line": line,
                "night": night,
                **dict(zip(("metric", "suite", "role", "subject_id"), key, strict=True)),
                "wall_s": spent.wall_s,
                "cpu_s": spent.cpu_s,
                "num_tokens": spent.num_tokens,
            }
            for key, spent in self._spent.items()
        ]
        table = pa.Table.from_pylist(rows, schema=METRIC_COSTS.schema)
        tonight.lake.commit_shard(run_id, 0, {METRIC_COSTS.name: table})
