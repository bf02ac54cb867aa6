"""How fast a training is: shown while it runs, and kept as a row of the measured table
`train_costs`. Clocks are read between steps, and nothing is written before the last one.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from prefect.runtime import flow_run

from distill.speed import flops_per_token, mean_positions, peak_flops
from distill.students.presets import preset_named
from distill.training_file import TrainingDocuments
from flows.measured import cpu_s
from flows.night import Tonight
from flows.progress import Track
from warehouse.identity import digest
from warehouse.schemas import TRAIN_COSTS

if TYPE_CHECKING:
    from distill.on_policy import OnPolicy
    from distill.train import StepRecord


@dataclass(slots=True)
class TrainingMeter:
    """The steps of one execution, their clocks, and the bar that shows them."""

    _bar: Track
    _began_s: float = field(default_factory=time.monotonic)
    _cpu_began_s: float = field(default_factory=lambda: cpu_s(with_children=True))
    _num_steps: int = 0
    _first: "tuple[StepRecord, float] | None" = None
    _last: "tuple[StepRecord, float] | None" = None

    def on_step(self, record: "StepRecord") -> None:
        """Targets that an earlier, killed training saw move the bar, but not its rate."""
        seen = self._last[0].num_tokens if self._last else None
        self._num_steps += 1
        self._last = (record, time.monotonic())
        self._first = self._first or self._last
        self._bar.note(f"loss {record.loss:.3f}")
        self._bar.count_tokens(record.num_tokens - seen if seen is not None else 0)
        self._bar.advance(record.num_tokens - (seen or 0))

    def commit(
        self,
        tonight: Tonight,
        documents: TrainingDocuments,
        vocab_size: int,
        role: str,
        student: str,
        on_policy: "OnPolicy | None",
    ) -> None:
        """Write the row; none if there was no step left to do."""
        if self._first is None or self._last is None:
            return
        (first, first_s), (last, last_s) = self._first, self._last
        config = tonight.recipe.train
        per_s = (last.num_tokens - first.num_tokens) / (last_s - first_s) if last != first else None
        device = _device_name(tonight)
        positions = mean_positions(documents.num_targets_D, documents.num_prefix_D)
        flops = flops_per_token(preset_named(config.preset), vocab_size, positions)
        peak = peak_flops(device, config.precision, config.peak_tflops)
        peak = peak and peak * config.num_processes
        line, night = tonight.claim.line, tonight.claim.night
        began = datetime.now(UTC).isoformat()
        run_id = digest("train costs", line, night, student, str(flow_run.id), began)
        row = {
            "run_id": run_id,
            "line": line,
            "night": night,
            "role": role,
            "student_id": student,
            "device": device,
            "precision": config.precision,
            "num_processes": config.num_processes,
            "num_steps": self._num_steps,
            "num_tokens": last.num_tokens - first.num_tokens,
            "wall_s": time.monotonic() - self._began_s,
            "cpu_s": cpu_s(with_children=True) - self._cpu_began_s,
            "tokens_per_s": per_s,
            "flops_per_token": flops,
            "peak_flops": peak,
            "mfu": flops * per_s / peak if per_s and peak else None,
            "writing_cpu_s": on_policy and on_policy.writing_cpu_s,
            "scoring_cpu_s": on_policy and on_policy.scoring_cpu_s,
        }
        table = pa.Table.from_pylist([row], schema=TRAIN_COSTS.schema)
        tonight.lake.commit_shard(run_id, 0, {TRAIN_COSTS.name: table})


def _device_name(tonight: Tonight) -> str:
    if tonight.recipe.teacher.device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name()
