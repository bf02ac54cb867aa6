"""What a training's arithmetic comes to, and the share of the device's peak that it reaches.

Operations per target token, forward and backward, are 6 N + 12 L H Q T: N parameters (the tied
embedding counts once, as the head: looking an id up costs nothing), L layers of H heads of width Q,
T positions of a token's sequence (PaLM, arXiv 2204.02311, appendix B). Prefixes, padding and the
recomputation of anything are not work that counts, so the MFU is on the low side.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from distill.students.presets import Preset

# 1e12 dense operations per second by precision, from NVIDIA's data sheets, by the name that the
# driver gives: no sparsity, and no TF32, which the loop does not use.
_PEAK_TFLOPS: Mapping[str, Mapping[str, float]] = {
    "NVIDIA H200": {"bf16": 989.5, "float32": 67.0},
    "NVIDIA H100 80GB HBM3": {"bf16": 989.5, "float32": 67.0},
    "NVIDIA H100 PCIe": {"bf16": 756.5, "float32": 51.0},
    "NVIDIA A100-SXM4-80GB": {"bf16": 312.0, "float32": 19.5},
    "NVIDIA A100-SXM4-40GB": {"bf16": 312.0, "float32": 19.5},
    "NVIDIA A100-PCIE-40GB": {"bf16": 312.0, "float32": 19.5},
    "NVIDIA A100 80GB PCIe": {"bf16": 312.0, "float32": 19.5},
}


def mean_positions(num_targets_D: NDArray[np.int64], num_prefix_D: NDArray[np.int64]) -> float:
    """How many positions the sequence of a target has, on average over targets, of documents with
    that many targets and ids before them.
    """
    targets_D, prefix_D = num_targets_D.astype(np.float64), num_prefix_D.astype(np.float64)
    return float((targets_D * (targets_D + prefix_D - 1)).sum() / targets_D.sum())


def flops_per_token(preset: Preset, vocab_size: int, positions: float) -> float:
    """Operations of a training step per target token, as above; `positions` is T."""
    attention = 12 * preset.num_layers * preset.hidden_size * positions
    return 6 * preset.num_parameters(vocab_size) + attention


def peak_flops(device_name: str, precision: str, stated_tflops: float | None) -> float | None:
    """Operations per second of one device at its best: as stated, else as known for that very name,
    else None. A processor's is never known: it follows from clocks and cores in use.
    """
    known = _PEAK_TFLOPS.get(device_name, {}).get(precision)
    tflops = known if stated_tflops is None else stated_tflops
    return None if tflops is None else tflops * 1e12
