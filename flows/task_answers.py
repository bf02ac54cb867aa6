"""Tasks of lm_eval asked of a model that was found by its name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.models_by_name import LoadedModel

if TYPE_CHECKING:
    from distill.evaluation.metrics import Metric


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks that were read, and how many items of each are asked at most (None: all)."""

    read: tuple[Any, ...]
    limit: int | None


@dataclass(frozen=True, slots=True)
class _Space:
    """A loaded model's ids, as the bridge to lm_eval wants them."""

    loaded: LoadedModel

    @property
    def start_id(self) -> int:
        return self.loaded.start_id

    @property
    def end_id(self) -> int:
        return self.loaded.end_ids[0]

    def encode(self, text: str) -> list[int]:
        [ids] = self.loaded.encode([text])
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        return self.loaded.decode(ids)


def is_task(name: str) -> bool:
    """Whether what was asked for by this name is the file of a task, not a suite of the lake."""
    return name.endswith((".yaml", ".yml"))


def open_tasks(files: Sequence[str], limit: int | None) -> Tasks | None:
    """The tasks of these files; None without one. DistillError if lm_eval is not installed or
    cannot read a file.
    """
    if not files:
        return None
    from distill.evaluation.harness import read_tasks

    return Tasks(tuple(read_tasks([Path(file).expanduser() for file in files])), limit)


def task_figures(loaded: LoadedModel, tasks: Tasks) -> "list[Metric]":
    """What the model's answers come to, as lm_eval counts them."""
    from distill.evaluation.harness import answer_tasks, harness_lm

    lm = harness_lm(loaded.model, _Space(loaded), end_ids=loaded.end_ids, max_window=loaded.window)
    return answer_tasks(lm, tasks.read, tasks.limit)
