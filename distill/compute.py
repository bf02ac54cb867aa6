"""How a student is computed: bfloat16 where the hardware has it, compiled layers on request."""

import platform
from contextlib import AbstractContextManager, nullcontext

import torch
from transformers import LlamaForCausalLM

from distill.config import TrainConfig
from distill.errors import DistillError

_BF16_CAPABILITY = (8, 0)  # NVIDIA Ampere
_BF16_CPU = ("avx512_bf16", "amx_bf16", "sve_bf16")


def check_precision(config: TrainConfig, device: torch.device) -> None:
    """Raises DistillError, with what was found, if the recipe asks for bfloat16 and the device only
    imitates it, which is several times slower than float32.
    """
    if config.precision == "bf16" and not has_bf16(device):
        raise DistillError(
            "precision = 'bf16': expected a device that computes in bfloat16 (an NVIDIA GPU of "
            "compute capability 8.0 or later, or a CPU with avx512_bf16 or amx_bf16), found "
            f"{_name(device)} without it; set train.precision=float32"
        )


def computing(config: TrainConfig, device: torch.device) -> AbstractContextManager[object]:
    """Where a forward pass runs: matrix products in the recipe's precision."""
    if config.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def compile_layers(model: LlamaForCausalLM) -> None:
    """Have torch compile the layers, in place, at their first use and for any shape. The loss stays
    as it is: its sums are in a fixed order.
    """
    model.model.compile(dynamic=True)


def has_bf16(device: torch.device) -> bool:
    """Whether it computes in bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _BF16_CAPABILITY
    found = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(found.get(name) for name in _BF16_CPU)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)} (compute capability {major}.{minor})"
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    return f"the {device.type} {name}"
