"""Every save point of a training of 50 steps leads to the same bits, and each part of what is saved
is needed for that.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from distill.batches import Cursor
from distill.checkpoint import Progress, load_checkpoint, save_checkpoint
from distill.config import TrainConfig
from distill.errors import DistillError
from distill.train import StepRecord, TrainResult, train
from tests.student_documents import make_documents, tiny_student, train_config

ROOT = Path(__file__).parents[2]
LENGTHS = [5, 17, 9, 30, 12, 3, 21, 14, 26]  # 137 targets: two steps an epoch
NUM_STEPS = 50
LONG = train_config(num_tokens=25 * 137, max_batch_tokens=512, checkpoint_every_steps=1)
KINDS = {
    "muon-wsd": LONG,
    "adamw-cosine": LONG.model_copy(update={"optimizer": "adamw", "schedule": "cosine"}),
}
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.distill.test_resume import KINDS, run

def kill_after(record):
    if record.step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

run(KINDS[sys.argv[1]], Path(sys.argv[2]), kill_after)
"""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(
    config: TrainConfig, folder: Path, on_step: Callable[[StepRecord], None] = lambda _: None
) -> TrainResult:
    documents = make_documents(LENGTHS)
    return train(config, tiny_student(), documents, folder, seed=3, alpha=0.5, on_step=on_step)


@dataclass(frozen=True)
class Unbroken:
    """A training that nobody stopped, and a copy of its folder after each of its saves."""

    config: TrainConfig
    result: TrainResult
    saves: Path

    def at(self, step: int, folder: Path) -> Path:
        """A folder as a kill right after that step's save leaves it."""
        shutil.copytree(self.saves / str(step), folder)
        return folder


@pytest.fixture(scope="module", params=KINDS)
def unbroken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    folder, saves = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("saves")
    config = KINDS[request.param]

    def keep(record: StepRecord) -> None:
        shutil.copytree(folder, saves / str(record.step))

    return Unbroken(config, run(config, folder, keep), saves)


class Stop(Exception):
    """Raised by on_step, as Ctrl-C would be."""


def stop(_: StepRecord) -> None:
    raise Stop


def contents(folder: Path) -> dict[str, bytes]:
    newest = max(folder.iterdir())
    return {path.name: path.read_bytes() for path in (newest, *newest.iterdir()) if path.is_file()}


def test_every_save_point_leads_to_the_bytes_of_the_next(
    unbroken: Unbroken, tmp_path: Path
) -> None:
    """A checkpoint is all that a training has, so by induction each leads to the same end."""
    assert len(unbroken.result.steps) == NUM_STEPS
    for step in range(1, NUM_STEPS):
        folder = unbroken.at(step, tmp_path / str(step))
        # Whatever draws from torch's own random state between two calls must not be felt.
        torch.manual_seed(step)
        with pytest.raises(Stop):
            run(unbroken.config, folder, stop)
        assert contents(folder) == contents(unbroken.saves / str(step + 1))
    assert run(unbroken.config, unbroken.at(NUM_STEPS, tmp_path / "last")) == unbroken.result


@pytest.mark.kill
def test_continued_from_every_save_point_it_ends_with_the_same_bits(
    unbroken: Unbroken, tmp_path: Path
) -> None:
    for step in range(1, NUM_STEPS + 1):
        heard: list[int] = []
        result = run(
            unbroken.config,
            unbroken.at(step, tmp_path / str(step)),
            lambda record, heard=heard: heard.append(record.step),  # type: ignore[misc]
        )
        assert result == unbroken.result
        assert heard == list(range(step + 1, NUM_STEPS + 1))


@pytest.mark.parametrize("step", [24, 49])
def test_killed_right_after_a_save_another_process_ends_with_the_same_bits(
    unbroken: Unbroken, tmp_path: Path, step: int
) -> None:
    kind = next(name for name, config in KINDS.items() if config is unbroken.config)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, kind, str(tmp_path), str(step)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL
    assert max(path.name for path in tmp_path.iterdir()) == f"step-{step:08d}"
    assert run(unbroken.config, tmp_path) == unbroken.result


Change = Callable[[Progress], Progress]


def changed(folder: Path, change: Change) -> Path:
    """The newest checkpoint replaced by a changed one that is whole."""
    newest = max(folder.iterdir())
    identity = json.loads((newest / "state.json").read_bytes())["state"]["identity"]
    progress = load_checkpoint(folder, identity)
    assert progress is not None
    shutil.rmtree(folder)
    save_checkpoint(folder, change(progress), identity)
    return folder


def tensor_names(unbroken: Unbroken) -> list[str]:
    identity_of = json.loads((unbroken.saves / "45/step-00000045/state.json").read_bytes())
    progress = load_checkpoint(unbroken.saves / "45", identity_of["state"]["identity"])
    assert progress is not None
    return sorted(progress.tensors)


def test_every_tensor_of_a_checkpoint_is_needed(unbroken: Unbroken, tmp_path: Path) -> None:
    names = tensor_names(unbroken)
    kinds = {name.rpartition(".model.")[0] for name in names}
    momenta = {"optimizer.step", "optimizer.exp_avg", "optimizer.exp_avg_sq"}
    if unbroken.config.optimizer == "muon":
        momenta.add("optimizer.momentum_buffer")
    assert kinds == {"weights", *momenta}
    for name in names:

        def zero(progress: Progress, name: str = name) -> Progress:
            tensors = {**progress.tensors, name: torch.zeros_like(progress.tensors[name])}
            return replace(progress, tensors=tensors)

        def drop(progress: Progress, name: str = name) -> Progress:
            tensors = {key: value for key, value in progress.tensors.items() if key != name}
            return replace(progress, tensors=tensors)

        folder = changed(unbroken.at(45, tmp_path / f"zero-{name}"), zero)
        assert run(unbroken.config, folder).weights_digest != unbroken.result.weights_digest, name
        folder = changed(unbroken.at(45, tmp_path / f"drop-{name}"), drop)
        with pytest.raises(DistillError, match=rf"1 missing \({name}\)"):
            run(unbroken.config, folder)


def with_cursor(epoch: int, index: int) -> Change:
    return lambda progress: replace(progress, cursor=Cursor(epoch, index))


def without_records(first: int, last: int) -> Change:
    """Fewer steps done: another rate from here on, and more steps to do."""
    return lambda progress: replace(
        progress, records=(*progress.records[:first], *progress.records[last:])
    )


CHANGES: dict[str, Change] = {
    "the epoch": with_cursor(0, 1),
    "the place in the epoch": with_cursor(22, 0),
    "the cursor": with_cursor(0, 0),
    "one step's record": without_records(10, 11),
    "all records but the last": without_records(0, 44),
}


@pytest.mark.parametrize("part", CHANGES)
def test_place_and_records_are_needed(unbroken: Unbroken, tmp_path: Path, part: str) -> None:
    untouched = changed(unbroken.at(45, tmp_path / "untouched"), with_cursor(22, 1))
    assert run(unbroken.config, untouched) == unbroken.result
    folder = changed(unbroken.at(45, tmp_path / "changed"), CHANGES[part])
    assert run(unbroken.config, folder).weights_digest != unbroken.result.weights_digest


def test_what_the_records_say_is_kept_to_the_bit(unbroken: Unbroken, tmp_path: Path) -> None:
    def nudge(progress: Progress) -> Progress:
        last = progress.records[-1]
        other = replace(last, num_tokens=last.num_tokens + 1)
        return replace(progress, records=(*progress.records[:-1], other))

    folder = changed(unbroken.at(45, tmp_path / "folder"), nudge)
    result = run(unbroken.config, folder)
    assert result.weights_digest == unbroken.result.weights_digest
    assert result.num_tokens == unbroken.result.num_tokens + 1


OTHERS: dict[str, tuple[dict[str, float | str], str]] = {
    "optimizer": ({"optimizer": "adamw"}, r"optimizer: expected 'adamw', found 'muon'"),
    "schedule": ({"schedule": "cosine"}, r"decay_share: expected None, found 0\.3; schedule: "),
    "rate": ({"learning_rate": 1e-3}, r"learning_rate: expected 0\.001, found 0\.002"),
    "compile": ({"compile": True}, r"compile: expected True, found None"),
}


@pytest.mark.parametrize("key", OTHERS)
def test_a_changed_recipe_is_refused_with_the_difference(tmp_path: Path, key: str) -> None:
    with pytest.raises(Stop):
        run(KINDS["muon-wsd"], tmp_path, stop)
    changes, message = OTHERS[key]
    other = TrainConfig.model_validate({**KINDS["muon-wsd"].model_dump(), **changes})
    with pytest.raises(DistillError, match=message):
        run(other, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
