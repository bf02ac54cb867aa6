"""Whole trainings with an on-policy phase: which steps have it, what a kill leaves, what is
refused.
"""

import dataclasses
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distill.batches import Cursor, plan_steps
from distill.errors import DistillError
from distill.on_policy import OnPolicy
from distill.spaces import own_space
from distill.student_texts import read_texts
from distill.train import StepRecord, train
from tests.distill.on_policy_cases import (
    LENGTHS,
    NUM_STEPS,
    NUM_STUDENT,
    NUM_TEACHER,
    all_written,
    documents,
    live_teacher,
    phase_config,
    run,
    some_model,
)
from tests.scaled_teacher import make_scaled_teacher
from tests.student_documents import train_config
from tests.tiny_teacher import make_stories

ROOT = Path(__file__).parents[2]
PHASE = range(4, NUM_STEPS + 1)


def test_a_share_of_nothing_trains_as_if_there_were_no_phase(tmp_path: Path) -> None:
    usual = run(train_config(), tmp_path / "usual")
    none = run(phase_config(phase={"share": 0.0}), tmp_path / "none")
    late = run(phase_config(phase={"steps_share": 0.01}), tmp_path / "late")
    assert len(usual.steps) == NUM_STEPS
    assert none == late == usual
    assert read_texts(tmp_path / "none", PHASE) == []
    assert text_files(tmp_path / "late") == {}


def test_the_phase_is_the_last_steps_and_leaves_the_plan_alone(tmp_path: Path) -> None:
    usual = run(train_config(), tmp_path / "usual")
    result = run(phase_config(), tmp_path / "phase")
    assert len(result.steps) == len(usual.steps)
    assert result.steps[:3] == usual.steps[:3]
    assert result.weights_digest != usual.weights_digest
    assert {text.step for text in read_texts(tmp_path / "phase", PHASE)} == {*PHASE}
    assert len(text_files(tmp_path / "phase")) == len(PHASE)
    every = run(phase_config(phase={"steps_share": 1.0, "share": 1.0}), tmp_path / "every")
    plan = plan_steps(np.array(LENGTHS), 60, 3, Cursor(0, 0))
    named = [(step, str(i)) for step in range(1, NUM_STEPS + 1) for i in sorted(next(plan)[1])]
    texts = read_texts(tmp_path / "every", range(1, NUM_STEPS + 1))
    assert [(text.step, text.doc_id) for text in texts] == named
    assert every.num_tokens == sum(text.num_tokens for text in texts)


def test_targets_of_a_top_k_capture_stand_beside_written_ones(tmp_path: Path) -> None:
    given = [
        dataclasses.replace(
            document,
            target_counts=np.zeros(0, np.uint8),
            target_logprobs=np.full(len(document.target_ids), math.log(0.1)),
            tail_logmass=np.log(1.0 - 0.1 * np.diff(document.offsets)),
        )
        for document in documents()
    ]
    result = run(phase_config(), tmp_path, given=given)
    assert all(math.isfinite(record.loss) for record in result.steps)
    assert read_texts(tmp_path, PHASE)


KINDS = {
    "adamw-wsd": phase_config(checkpoint_every_steps=3, optimizer="adamw"),
    "muon-cosine": phase_config(checkpoint_every_steps=3, schedule="cosine"),
}
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.distill.test_on_policy_training import KINDS, run

def kill_after(record):
    if record.step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

run(KINDS["adamw-wsd"], Path(sys.argv[1]), kill_after)
"""


class Stop(Exception):
    """Raised by on_step, as Ctrl-C would be."""


def text_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "texts").glob("*.json")}


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_after_each_step_it_ends_with_the_same_weights_and_texts(
    kind: str, tmp_path: Path
) -> None:
    unbroken = run(KINDS[kind], tmp_path / "unbroken")
    expected = text_files(tmp_path / "unbroken")
    assert len(expected) == 4

    def stop_at(step: int) -> Callable[[StepRecord], None]:
        def stop(record: StepRecord) -> None:
            if record.step == step:
                raise Stop

        return stop

    for step in range(1, NUM_STEPS + 1):
        folder = tmp_path / str(step)
        with pytest.raises(Stop):
            run(KINDS[kind], folder, stop_at(step))
        # What a kill in the middle of the next step's file leaves, and one of its own.
        (folder / "texts").mkdir(parents=True, exist_ok=True)
        (folder / "texts" / f".unfinished-{step + 1:08d}").write_bytes(b'{"dig')
        torch.manual_seed(step)
        assert run(KINDS[kind], folder) == unbroken
        assert text_files(folder) == expected


@pytest.mark.kill
def test_killed_another_process_ends_with_the_same_weights_and_texts(tmp_path: Path) -> None:
    """Two steps behind its checkpoint."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed"), "5"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL
    unbroken = run(KINDS["adamw-wsd"], tmp_path / "unbroken")
    assert run(KINDS["adamw-wsd"], tmp_path / "killed") == unbroken
    assert text_files(tmp_path / "killed") == text_files(tmp_path / "unbroken")


def test_a_damaged_or_lost_file_of_texts_is_named(tmp_path: Path) -> None:
    run(phase_config(), tmp_path)
    lost, path = sorted((tmp_path / "texts").glob("*.json"))[-2:]
    path.write_bytes(path.read_bytes().replace(b'"is_finished":false', b'"is_finished":true', 1))
    with pytest.raises(DistillError, match=rf"{path.name}: expected the bytes that it wrote"):
        read_texts(tmp_path, PHASE)
    lost.unlink()
    with pytest.raises(DistillError, match=rf"{lost.name}: expected .* found others or none"):
        read_texts(tmp_path, PHASE)


def test_another_teacher_does_not_go_on_where_one_stopped(tmp_path: Path) -> None:
    run(phase_config(), tmp_path)
    with pytest.raises(DistillError, match=r"another training \(teacher: expected '"):
        run(phase_config(), tmp_path, digest="another")
    shutil.rmtree(tmp_path)
    run(train_config(), tmp_path)
    with pytest.raises(DistillError, match=r"on_policy: expected \{'steps_share': 0\.5"):
        run(phase_config(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 0.0}, r"alpha = 0: not with \[train\.on_policy\], as nothing is asked"),
        ({"num_processes": 2}, r"num_processes = 2: not with .*set it to 1, or leave"),
        ({"compile": True}, r"compile = true: not with .*set it to false, or leave"),
        ({"phase": {"steps_share": 0.0}}, "greater than 0"),
        ({"phase": {"share": 1.1}}, "less than or equal to 1"),
        ({"phase": {"temperature": 0.0}}, r"greater than or equal to 0\.01"),
    ],
)
def test_a_phase_that_cannot_be_had_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        phase_config(**changes)


def test_the_phase_is_no_part_of_an_identity_without_it() -> None:
    assert "on_policy" not in train_config().identity()
    assert phase_config().identity()["on_policy"]["beta"] == 0.5


def test_a_phase_needs_its_teacher_and_a_teacher_its_phase(tmp_path: Path) -> None:
    for config, on_policy in (
        (phase_config(), None),
        (train_config(), OnPolicy(phase_config(), live_teacher())),
    ):
        with pytest.raises(DistillError, match="expected a teacher with the phase and none"):
            train(
                config,
                some_model(NUM_STUDENT, 0),
                documents(),
                tmp_path,
                seed=3,
                alpha=0.5,
                on_policy=on_policy,
            )
    with pytest.raises(DistillError, match="expected a config with on_policy"):
        OnPolicy(train_config(), live_teacher())


def test_what_a_teacher_cannot_score_is_refused() -> None:
    own = own_space(make_stories(50, 0), vocab_size=300)
    with pytest.raises(DistillError, match="found an own one"):
        OnPolicy(phase_config(), dataclasses.replace(live_teacher(), space=own))
    student = some_model(NUM_STUDENT, 0)
    nowhere = dataclasses.replace(live_teacher(), context_of=lambda _: [])
    broken = some_model(NUM_TEACHER, 1)
    with torch.no_grad():
        broken.get_parameter("model.norm.weight").fill_(float("nan"))
    for teacher, message in (
        (nowhere, "before document [0-9], found no id"),
        (live_teacher(model=broken), "step 7: a finite divergence .* document [0-9], found nan"),
    ):
        on_policy = OnPolicy(phase_config(phase={"share": 1.0}), teacher)
        texts = all_written(on_policy, student, documents())
        with pytest.raises(DistillError, match=message):
            list(on_policy.losses(student, texts, step=7))


def test_a_teacher_that_changes_its_logits_in_another_way_is_refused() -> None:
    scaled = dataclasses.replace(live_teacher(), model=make_scaled_teacher(NUM_TEACHER))
    on_policy = OnPolicy(phase_config(phase={"share": 1.0}), scaled)
    student = some_model(NUM_STUDENT, 0)
    with pytest.raises(DistillError, match="HyperCLOVAXForCausalLM, which changes them in another"):
        list(on_policy.losses(student, all_written(on_policy, student, documents()), step=1))
