"""Students in place: where a student's folder is, and loading it only if it is what was trained."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from distill.students.presets import PRESETS, Preset, dimensions_of
from flows.errors import FlowsError
from warehouse.lake import Lake
from warehouse.schemas import CHECKPOINTS

# What a student's row says of its folder.
_TOLD = {
    "weights_digest": "weights of digest",
    "token_space_digest": "a token space of digest",
    "preset": "the dimensions of preset",
}

_NIGHTS = """
    SELECT line, night FROM evaluations
    WHERE subject_id = ? AND role IN ('challenger', 'control') ORDER BY line, night LIMIT 1
"""

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

    from distill.tokens import TokenSpace


def student_folder(lake: Lake, student: str) -> Path:
    """Where the student's model is, as transformers loads it."""
    return lake.root / "models" / student


def load_checked_student(lake: Lake, student: str) -> "tuple[LlamaForCausalLM, TokenSpace]":
    """The student and its token space; FlowsError if they are not those of its row."""
    from distill.students.save import load_student
    from distill.students.weights import weights_digest

    folder = student_folder(lake, student)
    if not folder.is_dir():
        raise FlowsError(
            f"student {folder}: expected its folder, found none; run {_its_night(lake, student)} "
            "again"
        )
    model, space = load_student(folder)
    rows = lake.read(CHECKPOINTS.name, run_ids=[student], columns=list(_TOLD)).to_pylist()
    told = rows[0] if rows else dict.fromkeys(_TOLD, "no row")
    named = (name for name in PRESETS if _dimensions(name) == dimensions_of(model.config))
    there = (weights_digest(model), space.digest, next(named, "none"))
    for (column, what), found in zip(_TOLD.items(), there, strict=True):
        if found != told[column]:
            raise FlowsError(
                f"student {folder}: expected {what} {told[column]}, found {found}; "
                f"remove the folder and run {_its_night(lake, student)} again"
            )
    return model, space


def _its_night(lake: Lake, student: str) -> str:
    nights = lake.query(_NIGHTS, [student]).to_pylist()
    return f"night {nights[0]['night']} of {nights[0]['line']}" if nights else "its night"


def _dimensions(preset: str) -> Preset:
    return replace(PRESETS[preset], name="", reference_vocab_size=0)
