"""Where a training stands, on disk: written whole or not at all, never taken for another's.

A checkpoint is a folder `step-00000120` with the tensors (safetensors) and a JSON file that holds
the place, the records so far, what was asked for and every file's sha256. It is written beside its
place, synced and renamed, so a kill at any moment leaves either the old or the new one. The newest
two are kept: one that no longer has its digest is dropped with a log line and the one before it is
taken; without any, training starts again and ends with the same bytes. No random state is stored
because training uses none: batches follow from (seed, epoch), and students have no dropout.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from distill.batches import Cursor
from distill.errors import DistillError
from distill.safe_files import tensor_facts
from warehouse.identity import Json, canonical_json, digest, sha256_file

_FORMAT_VERSION = 1
_NUM_KEPT = 2
_READABLE = 0o644
_STATE, _TENSORS = "state.json", "tensors.safetensors"
_PREFIX, _UNFINISHED = "step-", ".unfinished-"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimizer step, 1 for the first.

    `num_tokens`: targets seen so far; `loss`: nats per target of this step; `grad_norm`: L2, before
    clipping.
    """

    step: int
    num_tokens: int
    loss: float
    learning_rate: float
    grad_norm: float


@dataclass(frozen=True, slots=True)
class Progress:
    """What was done, and the next step to do; `tensors`: weights and optimizer state by name."""

    cursor: Cursor
    records: tuple[StepRecord, ...]
    tensors: Mapping[str, torch.Tensor]

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return len(self.records)

    @property
    def num_tokens(self) -> int:
        """Targets seen so far."""
        return self.records[-1].num_tokens if self.records else 0


def save_checkpoint(folder: Path, progress: Progress, identity: Mapping[str, Json]) -> None:
    """Put the progress into `folder` durably, then drop what is older than the newest two."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{_PREFIX}{progress.step:08d}"
    unfinished = folder / f"{_UNFINISHED}{place.name}"
    unfinished.mkdir()
    try:
        write_tensors(unfinished / _TENSORS, progress.tensors)
        (unfinished / _STATE).write_bytes(_state_bytes(progress, identity, unfinished))
        for path in (unfinished / _TENSORS, unfinished / _STATE, unfinished):
            sync(path)
        if place.exists():
            shutil.rmtree(place)
        unfinished.rename(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    sync(folder)
    for old in _places(folder)[_NUM_KEPT:]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path, identity: Mapping[str, Json]) -> Progress | None:
    """The newest whole progress of this training, or None.

    Damaged ones are dropped with a log line. DistillError, with the keys that differ, if a whole
    one belongs to a training with another identity.
    """
    for unfinished in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(unfinished)
    for place in _places(folder):
        state = _whole_state(place)
        if state is None:
            logger.warning("checkpoint %s is damaged: dropped, an earlier one is taken", place)
            shutil.rmtree(place)
            continue
        _refuse_other_training(place, state["identity"], identity)
        tensor_facts(place / _TENSORS, f"checkpoint {place}")
        return Progress(
            Cursor(**state["cursor"]),
            tuple(StepRecord(*row) for row in state["records"]),
            load_file(place / _TENSORS),
        )
    return None


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file; DistillError if the disk does not take it."""
    try:
        save_file(dict(tensors), path, metadata=metadata)
        path.chmod(_READABLE)  # safetensors writes for its owner alone
    except SafetensorError as exc:
        raise DistillError(
            f"cannot write {path}: {exc}; free space and run the same command again: it goes on "
            "where it was"
        ) from exc


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a training whose student was saved; no folder is fine too."""
    if folder.exists():
        shutil.rmtree(folder)


def sync(path: Path) -> None:
    """Make a file's bytes, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _places(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*"), reverse=True)


def _state_bytes(progress: Progress, identity: Mapping[str, Json], folder: Path) -> bytes:
    state: dict[str, Json] = {
        "format_version": _FORMAT_VERSION,
        "identity": dict(identity),
        "cursor": asdict(progress.cursor),
        "records": [
            [r.step, r.num_tokens, r.loss, r.learning_rate, r.grad_norm] for r in progress.records
        ],
        "sha256": {_TENSORS: sha256_file(folder / _TENSORS)},
    }
    return canonical_json({"digest": digest(state), "state": state})


def _whole_state(place: Path) -> Any:
    """The state of a checkpoint whose every byte is as it was written, else None."""
    try:
        wrapped = json.loads((place / _STATE).read_bytes())
        state = wrapped["state"]
        if wrapped["digest"] != digest(state) or state["format_version"] != _FORMAT_VERSION:
            return None
        return state if sha256_file(place / _TENSORS) == state["sha256"][_TENSORS] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refuse_other_training(
    place: Path, found: Mapping[str, Json], expected: Mapping[str, Json]
) -> None:
    keys = [key for key in sorted({*found, *expected}) if found.get(key) != expected.get(key)]
    if keys:
        differences = "; ".join(
            f"{key}: expected {expected.get(key)!r}, found {found.get(key)!r}" for key in keys
        )
        raise DistillError(
            f"checkpoint {place} belongs to another training ({differences}): ask for the same, or "
            "give this one another folder"
        )
