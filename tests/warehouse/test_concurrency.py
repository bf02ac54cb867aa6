"""Several processes write one lake, some of them are killed, and every shard is in it exactly
once.
"""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.warehouse.writer_process import TABLES, write_shards
from warehouse.lake import Lake

_ROOT = Path(__file__).parents[2]


def _start(lake: Path, num_shards: int, seed: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.warehouse.writer_process"]
    return subprocess.Popen(
        [*command, str(lake), str(num_shards), str(seed)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _unbroken_digest(folder: Path, num_shards: int) -> str:
    assert write_shards(folder, num_shards=num_shards, seed=99) == num_shards
    with Lake.open(folder) as lake:
        return lake.digest()


def _assert_whole(root: Path, num_shards: int, digest: str) -> None:
    with Lake.open(root) as lake:
        assert lake.digest() == digest
        assert lake.verify() == []
        for table in TABLES:
            keys = lake.query(f"SELECT count(*) AS n FROM {table}").to_pylist()
            assert keys == [{"n": 5 * num_shards}]


def test_racing_processes_commit_each_shard_once(tmp_path: Path) -> None:
    num_shards = 12
    processes = [_start(tmp_path / "lake", num_shards, seed) for seed in range(3)]
    num_won = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        num_won.append(int(out.split()[-1]))
    assert sum(num_won) == num_shards
    # The losers' measured rows differ, so their files had other names: they are gone.
    assert len(list((tmp_path / "lake").rglob("*.parquet"))) == len(TABLES) * num_shards
    assert not list((tmp_path / "lake").rglob("*.tmp"))
    _assert_whole(tmp_path / "lake", num_shards, _unbroken_digest(tmp_path / "other", num_shards))


def _kill_and_finish(root: Path, *, num_shards: int, num_kills: int, digest: str) -> None:
    chance = random.Random("kills")
    for kill in range(num_kills):
        process = _start(root, num_shards, seed=kill)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.communicate()
    write_shards(root, num_shards=num_shards, seed=0)
    _assert_whole(root, num_shards, digest)


def test_a_killed_writer_leaves_a_lake_that_the_next_one_completes(tmp_path: Path) -> None:
    digest = _unbroken_digest(tmp_path / "unbroken", 30)
    _kill_and_finish(tmp_path / "killed", num_shards=30, num_kills=3, digest=digest)


@pytest.mark.kill
def test_forty_kills_leave_a_lake_that_the_next_one_completes(tmp_path: Path) -> None:
    digest = _unbroken_digest(tmp_path / "unbroken", 200)
    _kill_and_finish(tmp_path / "killed", num_shards=200, num_kills=40, digest=digest)
