"""Stopped anywhere, a training ends with the same bits; damaged places are not taken."""

import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill.batches import Cursor
from distill.checkpoint import (
    Progress,
    load_checkpoint,
    remove_checkpoints,
    save_checkpoint,
)
from distill.errors import DistillError
from distill.students.presets import build_student
from distill.train import StepRecord, TrainResult, train
from tests.student_documents import END, START, VOCAB_SIZE, make_documents, train_config

ROOT = Path(__file__).parents[2]
LENGTHS = [5, 17, 9, 30, 12, 3, 21, 14, 26]
IDENTITY = {"seed": 3, "alpha": 0.5}

# Trains on one thread, again and again. Each try is a child that dies by SIGKILL: by turns just
# before a random one of its file operations and at a random moment; the last one is left alone.
KILLED_TRAINING = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.distill.test_checkpoint import short_training

FILE_OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
chance, folder, num_killed = random.Random(int(sys.argv[2])), Path(sys.argv[1]), 0

def die_at_file_operation(number):
    seen = []
    def hook(event, args):
        if event in FILE_OPERATIONS and folder.name in str(args[0]):
            seen.append(event)
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def run_child(number, delay_s):
    child = os.fork()
    if child == 0:
        if number is not None:
            die_at_file_operation(number)
        result = short_training(folder, checkpoint_every_steps=1)
        os.write(1, f"{result.weights_digest} {len(result.steps)}{os.linesep}".encode())
        os._exit(0)
    if delay_s is not None:
        time.sleep(delay_s)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]

for trial in range(7):
    for how in ((chance.randint(1, 30), None), (None, chance.uniform(0, 0.05 * (trial + 1)))):
        status = run_child(*how)
        assert status in (0, signal.SIGKILL), status
        num_killed += status == signal.SIGKILL
print("killed", num_killed, flush=True)
status = run_child(None, None)
"""


class Stopped(Exception):
    """Raised in the middle of a training, as Ctrl-C would be."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def short_training(
    folder: Path, on_step: Callable[[StepRecord], None] = lambda _: None, **changes: float
) -> TrainResult:
    model = build_student("stlm-1m", VOCAB_SIZE, START, END, seed=0)
    config, documents = train_config(**changes), make_documents(LENGTHS)
    return train(config, model, documents, folder, seed=3, alpha=0.5, on_step=on_step)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    result = short_training(tmp_path_factory.mktemp("unbroken"))
    torch.set_num_threads(before)
    return result


def stop_after(step: int) -> Callable[[StepRecord], None]:
    def stop(record: StepRecord) -> None:
        if record.step == step:
            raise Stopped

    return stop


def stopped(folder: Path, step: int, **changes: float) -> Path:
    with pytest.raises(Stopped):
        short_training(folder, stop_after(step), **changes)
    return folder


def newest(folder: Path) -> Path:
    return max(folder.iterdir())


@pytest.mark.parametrize("every", [1, 3])
def test_stopped_after_each_step_it_ends_with_the_same_bits(
    tmp_path: Path, unbroken: TrainResult, every: int
) -> None:
    heard: list[int] = []
    for step in range(1, len(unbroken.steps) + 1):
        stopped(tmp_path / "own" / str(step), step, checkpoint_every_steps=every)
        result = short_training(
            tmp_path / "own" / str(step),
            lambda record: heard.append(record.step),
            checkpoint_every_steps=every,
        )
        assert result == unbroken
    assert len(heard) < len(unbroken.steps) ** 2


def test_stopped_again_and_again_it_ends_with_the_same_bits(
    tmp_path: Path, unbroken: TrainResult
) -> None:
    for step in range(1, len(unbroken.steps) + 1):
        stopped(tmp_path, step, checkpoint_every_steps=1)
    assert short_training(tmp_path, checkpoint_every_steps=1) == unbroken


def test_killed_at_random_moments_it_ends_with_the_same_bits(
    tmp_path: Path, unbroken: TrainResult
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_TRAINING, str(tmp_path / "stopped-training"), "11"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *earlier, last = [line for line in done.stdout.splitlines() if not line.startswith("killed")]
    assert {*earlier, last} == {f"{unbroken.weights_digest} {len(unbroken.steps)}"}
    assert num_killed(done.stdout) >= 2
    assert not list(tmp_path.glob("stopped-training/.unfinished-*"))


def num_killed(output: str) -> int:
    (line,) = [line for line in output.splitlines() if line.startswith("killed")]
    return int(line.split()[1])


def rewrite(folder: Path, change: Callable[[Progress], Progress]) -> None:
    """Replace the newest checkpoint by a changed one that is whole."""
    identity = json.loads((newest(folder) / "state.json").read_bytes())["state"]["identity"]
    progress = load_checkpoint(folder, identity)
    assert progress is not None
    save_checkpoint(folder, change(progress), identity)


def without_momentum(progress: Progress) -> Progress:
    zeroed = {
        name: torch.zeros_like(t) if name.startswith("optimizer.exp_avg.") else t
        for name, t in progress.tensors.items()
    }
    return replace(progress, tensors=zeroed)


def without_step_count(progress: Progress) -> Progress:
    zeroed = {
        name: torch.zeros_like(t) if name.startswith("optimizer.step.") else t
        for name, t in progress.tensors.items()
    }
    return replace(progress, tensors=zeroed)


def from_the_first_document(progress: Progress) -> Progress:
    return replace(progress, cursor=Cursor(0, 0))


@pytest.mark.parametrize("change", [without_momentum, without_step_count, from_the_first_document])
def test_each_part_of_a_checkpoint_is_needed(
    tmp_path: Path, unbroken: TrainResult, change: Callable[[Progress], Progress]
) -> None:
    rewrite(stopped(tmp_path, 3, checkpoint_every_steps=3), change)
    assert short_training(tmp_path).weights_digest != unbroken.weights_digest


def test_a_checkpoint_written_again_unchanged_changes_nothing(
    tmp_path: Path, unbroken: TrainResult
) -> None:
    rewrite(stopped(tmp_path, 3, checkpoint_every_steps=3), lambda progress: progress)
    assert short_training(tmp_path) == unbroken


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, unbroken: TrainResult, caplog: pytest.LogCaptureFixture
) -> None:
    stopped(tmp_path, 4, checkpoint_every_steps=2)
    flip_bit(newest(tmp_path) / "tensors.safetensors", 10_000)
    heard: list[int] = []
    with caplog.at_level(logging.WARNING):
        result = short_training(tmp_path, lambda record: heard.append(record.step))
    assert result == unbroken
    assert heard[0] == 3
    assert "step-00000004 is damaged" in caplog.text


def flip_bit(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def small_progress() -> Progress:
    record = StepRecord(step=1, num_tokens=60, loss=3.5, learning_rate=1e-3, grad_norm=0.25)
    return Progress(Cursor(0, 1), (record,), {"weights.a": torch.arange(4.0)})


def is_same(progress: Progress | None, other: Progress) -> bool:
    return (
        progress is not None
        and (progress.cursor, progress.records) == (other.cursor, other.records)
        and progress.tensors.keys() == other.tensors.keys()
        and all(torch.equal(t, other.tensors[name]) for name, t in progress.tensors.items())
    )


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_no_flipped_bit_is_read(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    for trial in range(60):
        folder = tmp_path / str(trial)
        save_checkpoint(folder, small_progress(), IDENTITY)
        path = newest(folder) / name
        flip_bit(path, chance.randrange(8 * path.stat().st_size))
        assert load_checkpoint(folder, IDENTITY) is None
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_a_missing_or_cut_file_is_not_read(tmp_path: Path, name: str) -> None:
    for change in (Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])):
        save_checkpoint(tmp_path, small_progress(), IDENTITY)
        change(newest(tmp_path) / name)
        assert load_checkpoint(tmp_path, IDENTITY) is None


def test_what_was_saved_is_loaded_and_only_two_are_kept(tmp_path: Path) -> None:
    progress = small_progress()
    for step in range(1, 5):
        records = tuple(replace(progress.records[0], step=s + 1) for s in range(step))
        last = replace(progress, records=records)
        save_checkpoint(tmp_path, last, IDENTITY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]
    assert is_same(load_checkpoint(tmp_path, IDENTITY), last)


def test_what_a_kill_left_unfinished_is_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, small_progress(), IDENTITY)
    newest(tmp_path).rename(tmp_path / ".unfinished-step-00000001")
    assert load_checkpoint(tmp_path, IDENTITY) is None
    assert list(tmp_path.iterdir()) == []


def test_no_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none", IDENTITY) is None
    remove_checkpoints(tmp_path / "none")
    save_checkpoint(tmp_path / "some", small_progress(), IDENTITY)
    remove_checkpoints(tmp_path / "some")
    assert list(tmp_path.iterdir()) == []


def test_another_training_is_refused_with_the_keys_that_differ(tmp_path: Path) -> None:
    stopped(tmp_path, 3)
    with pytest.raises(
        DistillError,
        match=r"another training \(learning_rate: expected 0\.001, found 0\.002\)",
    ):
        short_training(tmp_path, learning_rate=1e-3)
    assert newest(tmp_path).name == "step-00000002"
