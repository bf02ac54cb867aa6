"""How often a student prefers the id that its teacher prefers.

Two models can be compared position by position only where both read the same segmentation. A
trimmed student segments a text as its teacher does unless the text holds an id that was removed;
such documents are not counted, and `num_top1` (the positions that were) says how much was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from distill.errors import DistillError
from distill.evaluation.scoring import DocumentScore, IntArray


class TeacherMap(Protocol):
    """What agreement needs of a token space."""

    @property
    def end_id(self) -> int:
        """The student's end id."""

    @property
    def to_teacher(self) -> IntArray:
        """int32[V]: the teacher's id of each student id."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Positions of one document where both prefer the same id, of `num_top1` compared (0: other
    segmentation).
    """

    num_top1_agree: int
    num_top1: int


def agreement(
    student: DocumentScore,
    student_symbols: IntArray,
    teacher: DocumentScore,
    teacher_symbols: IntArray,
    *,
    space: TeacherMap,
    teacher_end_ids: Sequence[int],
) -> Agreement:
    """The agreement of two scores of one document, both made with want_top1 and the same end ids as
    given here.

    Symbols are the text's ids without the end symbol. The end symbol's position is compared too;
    all end ids of the teacher are one event. Raises DistillError if the scores are of two documents
    or hold no likeliest ids.
    """
    if student.doc_id != teacher.doc_id:
        raise DistillError(
            f"expected two scores of one document, found {student.doc_id} and {teacher.doc_id}"
        )
    if student.top1_ids is None or teacher.top1_ids is None:
        raise DistillError(
            f"document {student.doc_id}: expected the likeliest ids of both, found none; "
            "score with want_top1=True"
        )
    if not is_same_segmentation(space, student_symbols, teacher_symbols):
        return Agreement(0, 0)
    mapped = space.to_teacher[student.top1_ids].copy()
    mapped[student.top1_ids == space.end_id] = teacher_end_ids[0]
    return Agreement(int((mapped == teacher.top1_ids).sum()), len(mapped))


def is_same_segmentation(
    space: TeacherMap, student_symbols: IntArray, teacher_symbols: IntArray
) -> bool:
    """Whether both read a text in the same pieces, so that their positions are the same."""
    return np.array_equal(space.to_teacher[student_symbols], teacher_symbols)
