"""What starting costs: which libraries the command line and a scheduler load, and the CPU time."""

import json
import resource
import subprocess
import sys

import pytest

# The console script's own steps, and then what they left loaded, on standard error.
HELP = """
import json, sys
from flows.cli import main
sys.argv = ["stillhouse", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
SCHEDULER = """
import json, sys
import flows.nightly, datagen, warehouse
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
HEAVY_FOR_HELP = {"torch", "transformers", "prefect", "vllm", "datasets"}
HEAVY_FOR_SCHEDULER = {"torch", "vllm"}
MAX_HELP_CPU_S = 1.0


def _run(code: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def _cpu_s(code: str) -> float:
    """User and system seconds of one child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize(
    ("code", "heavy"),
    [(HELP, HEAVY_FOR_HELP), (SCHEDULER, HEAVY_FOR_SCHEDULER)],
    ids=["help", "scheduler"],
)
def test_start_loads_no_heavy_library(code: str, heavy: set[str]) -> None:
    loaded = set(json.loads(_run(code).stderr.splitlines()[-1]))
    assert {"flows"} <= loaded
    assert not heavy & loaded


def test_help_names_the_program() -> None:
    assert "stillhouse" in _run(HELP).stdout


def test_help_takes_at_most_a_second_of_cpu() -> None:
    assert min(_cpu_s(HELP) for _ in range(3)) <= MAX_HELP_CPU_S
