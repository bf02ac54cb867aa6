"""Killed before every step of a promotion or rollback, `champion/<line>` names a whole student, and
the same again ends it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.champion_kills import CHANGES
from tests.flows.champion_lake import make_lake
from tests.flows.command import ROOT

MIN_STEPS = 15


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kills") / "lake"
    make_lake(root)
    return root


def _steps(lake: Path, work: Path, change: str, every: int) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.champion_kills", lake, work, change, str(every)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_rollback_killed_at_some_steps_leaves_a_whole_champion(
    lake: Path, tmp_path: Path
) -> None:
    assert _steps(lake, tmp_path, "rollback", 5) >= MIN_STEPS


@pytest.mark.kill
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_killed_at_every_step_leaves_a_whole_champion(
    change: str, lake: Path, tmp_path: Path
) -> None:
    assert _steps(lake, tmp_path, change, 1) >= MIN_STEPS
