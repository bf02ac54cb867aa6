"""What a model's folder may hold: safetensors and JSON, and nothing that runs when it is read.

A safetensors file begins with the name, dtype, shape and place of every tensor. The library checks
on opening that these fill the file to its last byte, so what a header says is there; it is compared
with what a config asks for before a byte of a tensor is read or made.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from distill.errors import DistillError

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_CODE = ("*.py", "*.pyc", "*.so")
# Keys by which a config names code of its own folder.
_CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """A tensor's dtype, as safetensors writes it ("F32"), and its shape."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


def refuse_unsafe(folder: Path, what: str) -> None:
    """Raises DistillError if the folder holds a pickle or code, or a JSON file that names code."""
    for kind, patterns in (("a pickle", PICKLES), ("code", _CODE)):
        found = sorted(file.name for pattern in patterns for file in folder.glob(pattern))
        if found:
            raise DistillError(
                f"{what}: expected safetensors and JSON alone in {folder}, found {kind} "
                f"({', '.join(found)}), which can run when it is loaded; take a copy of the folder "
                "without it"
            )
    for file in sorted(folder.glob("*.json")):
        named = [key for key in _CODE_KEYS if key in _keys(file)]
        if named:
            raise DistillError(
                f"{what}: its {file.name} asks to run code of its own ({', '.join(named)}); only "
                "models that transformers itself knows are loaded"
            )


def tensor_facts(path: Path, what: str) -> dict[str, TensorFacts]:
    """Every tensor of the file by name, from its header alone. Raises DistillError if it is no
    whole safetensors file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: TensorFacts(str(part.get_dtype()), tuple(part.get_shape()))
                for name, part in parts.items()
            }
    except (OSError, SafetensorError) as exc:
        raise DistillError(
            f"{what}: {path.name} expected, found {type(exc).__name__}: {exc}; make or fetch it "
            "again"
        ) from exc


def misfit(found: Mapping[str, TensorFacts], expected: Mapping[str, TensorFacts]) -> str | None:
    """The first tensor that is missing, not asked for, or of another dtype or shape."""
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            wanted, there = expected.get(name, "none"), found.get(name, "none")
            return f"{name}: expected {wanted}, found {there}"
    return None


def _keys(file: Path) -> set[str]:
    """The keys at the top of a JSON file; none for what is no JSON object, which its reader will
    refuse.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    return set(values) if isinstance(values, dict) else set()
