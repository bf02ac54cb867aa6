"""What Prefect adds to a night: its flow run from Running to Completed, against plain functions.

Usage: python tests/bench/overhead.py [REPEATS]     (recipe smoke, a tiny teacher of its own)

Baseline: the same night in the same kind of fresh process, with every flow and task replaced by the
function inside it, and no artifact. Both pay the libraries' first import inside the night. One real
server runs beside; the two kinds take turns.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from flows.recipes import Recipe, load_recipe
from flows.serverless import set_prefect_defaults, some_server
from flows.stages import STAGES
from tests.tiny_teacher import make_tiny_teacher

ALLOWED_S, ALLOWED_SHARE = 30.0, 0.02
_THREAD = ThreadPoolExecutor(1)


def flow_seconds(recipe: Recipe, data: Path) -> dict[str, float]:
    """Seconds from Running to Completed of the night's flow run and of each stage's, as the server
    has them.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    from flows.nightly import nightly

    state = nightly(recipe, "1", data, return_state=True)
    state.result()
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    with get_client(sync_client=True) as client:
        night = client.read_flow_run(run_id)
        inside = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run_id]}})
        stages = client.read_flow_runs(flow_run_filter=inside)
        names = {client.read_flow(run.flow_id).name: run for run in stages}
    seconds = {name.partition("_")[0]: _length_s(run) for name, run in names.items()}
    return {**seconds, "total": _length_s(night)}


def _length_s(run: Any) -> float:
    return float((run.end_time - run.start_time).total_seconds())


def plain_seconds(recipe: Recipe, data: Path) -> dict[str, float]:
    """Seconds of the same functions without Prefect around them."""
    from flows import nightly

    modules = [module for name, module in sys.modules.items() if name.startswith("flows.")]
    for module in modules:
        _take_prefect_out(module)
    seconds: dict[str, float] = {}
    for stage, run in nightly._FLOWS.items():
        nightly._FLOWS[stage] = _timed(getattr(run, "fn", run), stage, seconds)
    setattr(nightly, "show_night", lambda _: None)  # noqa: B010  (the module does not export it)
    began_s = time.monotonic()
    nightly.nightly(recipe, "1", data)
    return {**seconds, "total": time.monotonic() - began_s}


def _take_prefect_out(module: ModuleType) -> None:
    from prefect import Flow, Task

    for name, value in vars(module).items():
        if isinstance(value, (Flow, Task)):
            setattr(module, name, value.fn)
        if isinstance(value, Task):
            value.fn.__dict__["submit"] = partial(_submit, value.fn)


def _submit(run: Callable[..., object], *arguments: object) -> Future[object]:
    """In a thread that has the caller's context, as Prefect's task runner does it."""
    return _THREAD.submit(copy_context().run, run, *arguments)


def _timed(run: Any, name: str, seconds: dict[str, float]) -> Any:
    def timed(*arguments: object) -> object:
        began_s = time.monotonic()
        try:
            return run(*arguments)
        finally:
            seconds[name] = time.monotonic() - began_s

    return timed


def _in_fresh_process(kind: str, teacher: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "seconds.json"
        command = [sys.executable, __file__, kind, str(teacher), str(answer), f"{scratch}/lake"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds: dict[str, float] = json.loads(answer.read_text())
    return seconds


def main(num_repeats: int) -> None:
    """Print the table: medians, and the range of the total."""
    import os

    set_prefect_defaults()
    found: dict[str, list[dict[str, float]]] = {"flow": [], "plain": []}
    with tempfile.TemporaryDirectory() as scratch, some_server() as url:
        os.environ["PREFECT_API_URL"] = url
        teacher = Path(scratch) / "teacher"
        make_tiny_teacher(teacher)
        for repeat in range(num_repeats + 1):
            for kind, rows in found.items():
                seconds = _in_fresh_process(kind, teacher)
                if repeat:  # the first of each warms the disk's cache and the server
                    rows.append(seconds)
    for row in (*found["flow"], *found["plain"]):
        row["rest"] = row["total"] - sum(row[stage] for stage in STAGES)
    print("| part | plain s | flow run s | added s |\n|---|---|---|---|")
    for part in (*STAGES, "rest", "total"):
        plain, flow = (
            statistics.median(row[part] for row in found[kind]) for kind in ("plain", "flow")
        )
        print(f"| {part} | {plain:.2f} | {flow:.2f} | {flow - plain:.2f} |")
    added = [
        flow["total"] - plain["total"]
        for flow, plain in zip(found["flow"], found["plain"], strict=True)
    ]
    allowed = ALLOWED_S + ALLOWED_SHARE * plain
    print(f"\nadded in all: {min(added):.2f} to {max(added):.2f} s, n = {num_repeats}")
    print(f"allowed: {allowed:.1f} s ({ALLOWED_S:.0f} s + {ALLOWED_SHARE:.0%})")


if __name__ == "__main__":
    if sys.argv[1:2] in (["flow"], ["plain"]):
        measure = flow_seconds if sys.argv[1] == "flow" else plain_seconds
        smoke = load_recipe("smoke", [f"teacher.model={sys.argv[2]}"])
        Path(sys.argv[3]).write_text(json.dumps(measure(smoke, Path(sys.argv[4]))))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 5)
