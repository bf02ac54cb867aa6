"""A night on a real disk that fills up, at seven moments: each stops in one clear line, and the
same command goes on once there is space.

The disk is a small tmpfs. When the log line of a stage comes, a ballast file takes all but a few
bytes; afterwards it is removed. One night goes through all the moments.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows.command import Command, Outcome
from tests.flows.smoke import (
    Night,
    files_of,
    lake_digest,
    night_arguments,
    run_night,
    stage_of,
    weights_digests,
)
from warehouse.lake import Lake

DISK_BYTES = 64 << 20
KILOBYTE, MEGABYTE = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class Moment:
    """The stage at whose beginning the disk fills, what is left then, and what cannot be written.

    What students read takes some 400 KB, a checkpoint some 6 MB (weights and two moments), a
    student's folder a third of that.
    """

    stage: str
    left_bytes: int
    unwritten: str


MOMENTS = (
    Moment("generate", 8 * KILOBYTE, ""),
    Moment("capture", 8 * KILOBYTE, ""),
    Moment("train", 64 * KILOBYTE, "training documents"),
    Moment("train", 2 * MEGABYTE, "tensors.safetensors"),
    Moment("train", 7 * MEGABYTE, "/models/"),
    Moment("evaluate", 8 * KILOBYTE, ""),
    Moment("promote", 8 * KILOBYTE, ""),
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "stillhouse-test", str(folder)]
    if not sys.platform.startswith("linux"):
        pytest.skip("needs a tmpfs, which Linux has")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(disk: Path, left_bytes: int) -> Path:
    """A file that leaves so many bytes of the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as sink:
        try:
            while sink.write(bytes(MEGABYTE)):
                pass
        except OSError:
            sink.truncate(sink.tell() - left_bytes)
    return ballast


def _stopped(disk: Path, teacher: Path, environment: Mapping[str, str], moment: Moment) -> Outcome:
    """How the night ended on the disk that filled up; afterwards there is space again."""
    arguments = night_arguments(
        disk / "lake", teacher, "--set", "train.checkpoint_every_steps=1000000"
    )
    with Command(arguments, environment) as command:
        assert command.wait_for(lambda line: stage_of(line) == moment.stage)
        ballast = _fill(disk, moment.left_bytes)
        outcome = command.wait()
    ballast.unlink()
    return outcome


@pytest.mark.kill
def test_a_night_on_a_disk_that_fills_up_goes_on_once_there_is_space(
    smoke_night: Night, served: Mapping[str, str], disk: Path
) -> None:
    data = disk / "lake"
    for moment in MOMENTS:
        outcome = _stopped(disk, smoke_night.teacher, served, moment)
        print(moment, *outcome.errors, sep="\n  ")
        assert outcome.code == 2, (moment, outcome)
        said = [line for line in outcome.errors if line.startswith("stillhouse: ")]
        assert said == [outcome.errors[-1]]
        assert "free space" in said[0]
        assert moment.unwritten in said[0]
        assert not any("Traceback" in line for line in outcome.errors)
        assert not [path for path in data.rglob("*") if path.suffix == ".tmp"]
        assert not list(data.rglob(".unfinished-*"))
        with Lake.open(data) as lake:
            assert lake.verify() == []
    run_night(data, smoke_night.teacher, served)
    assert lake_digest(data) == lake_digest(smoke_night.data)
    assert weights_digests(data) == weights_digests(smoke_night.data)
    assert files_of(data / "models") == files_of(smoke_night.data / "models")
