"""What a model's folder may hold: safetensors and JSON, and nothing that runs when it is read.

A safetensors file begins with the name, dtype, shape and place of every tensor. The library checks
on opening that these fill the file to its last byte, so what a header says is there; it is compared
with what a config asks for before a byte of a tensor is read or made.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from distill.errors import DistillError

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_CODE = (".py", ".pyc", ".so")
_READ = (".json", ".safetensors", ".jinja", ".model")
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
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
    """Raises DistillError if the folder holds a pickle or code, something to read that is no plain
    file (a pipe would never end), or a JSON file that names code.
    """
    for kind, suffixes in (("a pickle", _PICKLES), ("code", _CODE)):
        found = [file.name for file in _with_suffix(folder, suffixes)]
        if found:
            raise DistillError(
                f"{what}: expected safetensors and JSON alone in {folder}, found {kind} "
                f"({', '.join(found)}), which can run when it is loaded; take a copy of the folder "
                "without it, its weights saved as safetensors"
            )
    strange = [file.name for file in _with_suffix(folder, _READ) if not file.is_file()]
    if strange:
        raise DistillError(
            f"{what}: expected plain files in {folder}, found that {', '.join(strange)} is none; "
            "take a copy of the folder without it"
        )
    for file in sorted(folder.glob("*.json")):
        named = [key for key in _CODE_KEYS if key in _keys(file)]
        if named:
            raise DistillError(
                f"{what}: its {file.name} asks to run code of its own ({', '.join(named)}); only "
                "models that transformers itself knows are loaded"
            )


def weight_files(folder: Path, what: str) -> list[Path]:
    """The files that a library takes the folder's weights from: model.safetensors, else the parts
    that its index names. Raises DistillError if there are none, or the index leads to anything but
    safetensors of this folder.
    """
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    try:
        names = {*json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise DistillError(
            f"{what}: expected {_WEIGHTS}, or {_INDEX} with the parts that it names, in {folder}, "
            f"found neither ({type(exc).__name__}); fetch it again"
        ) from exc
    parts = {file.name: file for file in _with_suffix(folder, (".safetensors",))}
    strange = sorted(map(str, names - parts.keys()))
    if strange or not names:
        raise DistillError(
            f"{what}: expected {_INDEX} to name safetensors of {folder} alone, found "
            f"{', '.join(strange) or 'no name'}; fetch it again"
        )
    return [parts[name] for name in sorted(names)]


def _with_suffix(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in suffixes)


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
            f"{what}: {path} expected, found {type(exc).__name__}: {exc}; make or fetch it again"
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
