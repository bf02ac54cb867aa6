"""A disk that takes no more bytes stops a commit in one clear line, and the same commit works
once it does.

The limit on a process's file size stands in for the full disk: it fails writes at a chosen
byte and needs no mount.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from warehouse.lake import Lake

_ROOT = Path(__file__).parents[2]
_CHILD = """
import resource, sys
from pathlib import Path
from tests.warehouse.lake_rows import some_rows
from warehouse.errors import StorageError
from warehouse.lake import Lake

rows = {name: some_rows(name, "run", num_rows=40) for name in ("stories", "words")}
with Lake.open(Path(sys.argv[1]), create=True) as lake:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
    try:
        lake.commit_shard("run", 0, rows)
    except StorageError as exc:
        print(exc)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert lake.manifest.snapshot() == 0
    assert not list(Path(sys.argv[1]).rglob("*.tmp"))
    assert lake.commit_shard("run", 0, rows)
"""


@pytest.mark.parametrize(
    ("limit_bytes", "message"), [(1_000, "cannot write"), (40_000, "cannot use")]
)
def test_a_full_disk_stops_a_commit_that_can_be_repeated(
    limit_bytes: int, message: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _CHILD, str(tmp_path), str(limit_bytes)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(message)
    assert done.stdout.count("\n") == 1
    with Lake.open(tmp_path) as lake:
        assert lake.read("stories").num_rows == 40
        assert lake.verify() == []
