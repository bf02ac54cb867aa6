"""Two processes train as one does: gloo over loopback, started by us and by torchrun."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distill.batch_losses import batch_nats
from distill.batches import make_batches, split_step
from distill.config import TrainConfig
from distill.errors import DistillError
from distill.ranks import joined_by_torchrun
from distill.targets import StudentDocument
from distill.train import StepRecord, TrainResult, train
from distill.training_file import write_documents
from tests.distill.rank_script import LENGTHS
from tests.student_documents import make_documents, tiny_student, train_config

ROOT = Path(__file__).parents[2]
# Sums of some hundred float32 numbers in another order; eight steps of Adam on top of that.
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-5, 1e-4


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(config: TrainConfig, folder: Path, **changes: object) -> TrainResult:
    documents = write_documents(make_documents(LENGTHS), folder)
    return train(config, tiny_student(), documents, folder, seed=3, alpha=0.5, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Path]:
    folder = tmp_path_factory.mktemp("alone")
    return run(train_config(), folder), folder


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Path, list[int]]:
    folder, heard = tmp_path_factory.mktemp("together"), list[int]()
    result = run(
        train_config(num_processes=2), folder, on_step=lambda record: heard.append(record.step)
    )
    return result, folder, heard


def newest_weights(folder: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(max(folder.iterdir()) / "tensors.safetensors")
    return {name: t for name, t in tensors.items() if name.startswith("weights.")}


def assert_same_but_for_rounding(
    found: TrainResult, folder: Path, expected: TrainResult, expected_folder: Path
) -> None:
    assert found.num_tokens == expected.num_tokens
    for record, other in zip(found.steps, expected.steps, strict=True):
        assert (record.num_tokens, record.learning_rate) == (other.num_tokens, other.learning_rate)
        assert record.loss == pytest.approx(other.loss, rel=LOSS_TOLERANCE)
        assert record.grad_norm == pytest.approx(other.grad_norm, rel=1e-4)
    weights, others = newest_weights(folder), newest_weights(expected_folder)
    assert weights.keys() == others.keys()
    for name, tensor in weights.items():
        assert (tensor - others[name]).abs().max() < WEIGHT_TOLERANCE, name


def test_two_processes_train_as_one_does_but_for_rounding(
    alone: tuple[TrainResult, Path], together: tuple[TrainResult, Path, list[int]]
) -> None:
    result, folder, heard = together
    assert_same_but_for_rounding(result, folder, *alone)
    assert result.weights_digest != alone[0].weights_digest  # so they were added up from two
    assert heard == [record.step for record in result.steps]


def test_a_finished_training_of_two_processes_gives_the_same_bits_again(
    together: tuple[TrainResult, Path, list[int]],
) -> None:
    result, folder, _ = together
    assert run(train_config(num_processes=2), folder) == result


@pytest.mark.kill
def test_stopped_in_the_middle_two_processes_go_on_to_the_same_bits(
    tmp_path: Path, together: tuple[TrainResult, Path, list[int]]
) -> None:
    class Stop(Exception):
        pass

    def stop(record: StepRecord) -> None:
        if record.step == 3:
            raise Stop

    with pytest.raises(Stop):
        run(train_config(num_processes=2), tmp_path, on_step=stop)
    assert run(train_config(num_processes=2), tmp_path) == together[0]


@pytest.mark.kill
def test_torchrun_starts_the_same_training(
    tmp_path: Path, together: tuple[TrainResult, Path, list[int]]
) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    where = ["--standalone", "--local-addr", "127.0.0.1", "tests/distill/rank_script.py"]
    done = subprocess.run(
        [*command, *where, str(tmp_path / "folder")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert [one["rank"] for one in said] == [0, 1]
    for one in said:
        assert one["weights"] == together[0].weights_digest
        assert one["losses"] == [record.loss for record in together[0].steps]


@pytest.mark.kill
def test_a_fault_in_one_process_is_told_by_all(tmp_path: Path) -> None:
    documents = make_documents(LENGTHS)
    model = tiny_student()
    with torch.no_grad():
        model.get_parameter("model.embed_tokens.weight")[5] = float("inf")
    with pytest.raises(DistillError, match=r"step 1: finite loss .* document doc-0-\d, target "):
        train(
            train_config(num_processes=2), model, documents, tmp_path, seed=3, alpha=0.5
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.kill
def test_a_process_that_is_killed_takes_the_others_with_it(tmp_path: Path) -> None:
    def kill_one(_: StepRecord) -> None:
        last = multiprocessing.active_children()[-1]
        assert last.pid is not None
        os.kill(last.pid, signal.SIGKILL)

    with pytest.raises(DistillError, match=r"process \d of 2 .* ended early: .*run the same"):
        run(train_config(num_processes=2, num_tokens=100_000), tmp_path, on_step=kill_one)
    assert not multiprocessing.active_children()


def test_a_number_of_processes_that_torchrun_did_not_start_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    with (
        pytest.raises(DistillError, match=r"expected torchrun's variables, found no RANK"),
        joined_by_torchrun("cpu"),
    ):
        raise AssertionError("joined nobody")
    for name, value in {**names, "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    with joined_by_torchrun("cpu") as world:
        assert (world.rank, world.size) == (0, 1)
        assert run(train_config(), tmp_path).num_tokens


def gradients(shares: list[list[StudentDocument]], max_batch_tokens: int) -> list[torch.Tensor]:
    """What a step's shares add up to, divided once by the step's targets."""
    model = tiny_student()
    num_targets = sum(len(document.input_ids) for share in shares for document in share)
    for share in shares:
        for batch in make_batches(share, max_batch_tokens):
            torch.autograd.backward(batch_nats(model, batch, 0.5) / num_targets)
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("world_size", [1, 2, 3, 8, 11])
def test_one_batch_is_eight_and_one_rank_is_many(world_size: int) -> None:
    """Micro-batches of unequal lengths, ranks of unequal loads, ranks without any document."""
    documents = make_documents([5, 17, 9, 30, 12, 3, 21, 14])
    num_targets_D = np.array([len(document.input_ids) for document in documents])
    places = split_step(num_targets_D, np.arange(8), world_size)
    shares = [[documents[i] for i in share] for share in places]
    whole = gradients([documents], 100_000)
    for size in (1, 40, 100_000):
        for found, expected in zip(gradients(shares, size), whole, strict=True):
            assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
