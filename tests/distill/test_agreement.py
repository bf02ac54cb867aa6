"""Agreement counts only positions that both models really share."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from distill.errors import DistillError
from distill.evaluation.agreement import Agreement, agreement
from distill.evaluation.scoring import DocumentScore, IntArray

TEACHER_END_IDS = (90, 91)


@dataclass(frozen=True)
class Space:
    """A trimmed space of four ids: start, end, and the teacher's 50 and 60."""

    end_id: int
    to_teacher: IntArray


SPACE = Space(end_id=1, to_teacher=np.array([80, 91, 50, 60], np.int32))


def score(*top1: int) -> DocumentScore:
    return DocumentScore("d", 1.0, 1.0, 3, len(top1), np.array(top1, np.int32))


def count(student: DocumentScore, teacher: DocumentScore, teacher_symbols: list[int]) -> Agreement:
    return agreement(
        student,
        np.array([2, 3, 2], np.int32),
        teacher,
        np.array(teacher_symbols, np.int32),
        space=SPACE,
        teacher_end_ids=TEACHER_END_IDS,
    )


def test_positions_where_both_prefer_the_same_id_are_counted_end_included() -> None:
    found = count(score(2, 3, 3, 1), score(50, 50, 60, 90), [50, 60, 50])
    assert found == Agreement(num_top1_agree=3, num_top1=4)


def test_a_document_that_the_student_segments_otherwise_is_not_compared() -> None:
    assert count(score(2, 3, 3, 1), score(50, 60, 90), [50, 61]) == Agreement(0, 0)
    assert count(score(2, 3, 3, 1), score(50, 60, 60, 90), [50, 60, 70]) == Agreement(0, 0)


def test_scores_that_cannot_be_compared_are_refused() -> None:
    one = score(2, 3, 3, 1)
    with pytest.raises(DistillError, match="found d and e"):
        count(one, replace(one, doc_id="e"), [50, 60, 50])
    with pytest.raises(DistillError, match="want_top1"):
        count(one, replace(one, top1_ids=None), [50, 60, 50])
