"""The smoke night as the tests run it: its command, how long each stage took, and what it left."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.stages import STAGES
from tests.flows.command import Outcome, stillhouse
from warehouse.lake import Lake

# Stories of the tiny teacher have some 30 to 100 words: some of them must be rejected.
MAX_WORDS = 50


@dataclass(frozen=True, slots=True)
class Night:
    """A night that was run: its lake, its teacher, and how the command ended."""

    data: Path
    teacher: Path
    outcome: Outcome

    def stage_seconds(self) -> dict[str, float]:
        """How long each stage took, from its own line to the next one's or the summary's."""
        starts: dict[str, float] = {}
        for line in self.outcome.lines:
            name = stage_of(line.text) or ("end" if line.text.startswith("Stories ") else None)
            if name is not None:
                starts.setdefault(name, line.at_s)
        ends = [*STAGES[1:], "end"]
        return {stage: starts[end] - starts[stage] for stage, end in zip(STAGES, ends, strict=True)}


def night_arguments(data: Path, teacher: Path, *more: str) -> list[str]:
    """The command of the smoke night, with more options behind it."""
    settings = [f"teacher.model={teacher}", f"verdicts.max_words={MAX_WORDS}"]
    options = [part for setting in settings for part in ("--set", setting)]
    return ["run", "smoke", *options, "--data", str(data), *more]


def run_night(data: Path, teacher: Path, environment: Mapping[str, str], *more: str) -> Night:
    """The night, which must end well."""
    outcome = stillhouse(night_arguments(data, teacher, *more), environment)
    assert outcome.code == 0, outcome.errors
    return Night(data, teacher, outcome)


def second_line(
    night: Night, data: Path, settings: Sequence[str], environment: Mapping[str, str]
) -> Path:
    """A copy of the night's lake at `data`, with a night of another line on the same stories."""
    shutil.copytree(night.data, data, symlinks=True)
    run_night(data, night.teacher, environment, *(part for s in settings for part in ("--set", s)))
    return data


def stage_of(line: str) -> str | None:
    """The stage that a log line says is beginning, as "smoke, night 1: capture"."""
    begin, _, stage = line.strip().rpartition(": ")
    return stage if begin.startswith("smoke, night ") and stage in STAGES else None


def lake_digest(data: Path) -> str:
    with Lake.open(data) as lake:
        return lake.digest()


def weights_digests(data: Path) -> dict[str, str]:
    """Of every student: what its row says of its weights."""
    with Lake.open(data) as lake:
        rows = lake.read("checkpoints").to_pylist()
    return {row["student_id"]: row["weights_digest"] for row in rows}


def files_of(folder: Path) -> dict[str, str]:
    """Every file below the folder and the sha256 of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
