"""Students in place: where a student's folder is, and loading it only if it is what was trained."""

from pathlib import Path
from typing import TYPE_CHECKING

from flows.errors import FlowsError
from warehouse.lake import Lake
from warehouse.schemas import CHECKPOINTS

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

    from distill.tokens import TokenSpace


def student_folder(lake: Lake, student: str) -> Path:
    """Where the student's model is, as transformers loads it."""
    return lake.root / "models" / student


def load_checked_student(lake: Lake, student: str) -> "tuple[LlamaForCausalLM, TokenSpace]":
    """The student and its token space; FlowsError if its weights are not those of its row."""
    from distill.students.save import load_student
    from distill.students.weights import weights_digest

    folder = student_folder(lake, student)
    model, space = load_student(folder)
    rows = lake.read(CHECKPOINTS.name, run_ids=[student], columns=["weights_digest"]).to_pylist()
    found, expected = weights_digest(model), rows[0]["weights_digest"] if rows else "no row"
    if found != expected:
        raise FlowsError(
            f"student {folder}: expected weights of digest {expected}, found {found}; "
            "remove the folder and run its night again"
        )
    return model, space
