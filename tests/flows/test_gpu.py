"""A recipe that asks for a GPU: it runs there, or says that there is none."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from datagen.engine_config import EngineConfig
from flows.errors import FlowsError
from flows.numerics import numerics_class
from flows.recipes import identity_of, load_recipe
from tests.flows.smoke import run_night

HAS_GPU = torch.cuda.is_available()


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU that torch sees")
def test_the_smoke_night_runs_on_a_gpu(
    tiny_teacher_folder: Path, served: Mapping[str, str], tmp_path: Path
) -> None:
    night = run_night(tmp_path, tiny_teacher_folder, served, "--set", "teacher.device=cuda")
    assert any("promoted" in line for line in night.outcome.out)


@pytest.mark.skipif(HAS_GPU, reason="says what happens where there is no GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(FlowsError, match=r"teacher\.device = 'cuda': expected a GPU .* found none"):
        numerics_class(load_recipe("production").teacher, EngineConfig())


def test_the_device_is_part_of_no_id() -> None:
    at_cpu, at_gpu = (load_recipe("smoke", [f"teacher.device={name}"]) for name in ("cpu", "cuda"))
    assert identity_of(at_cpu) == identity_of(at_gpu)
