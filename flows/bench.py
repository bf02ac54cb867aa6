"""Tonight's bench: who is measured, and on which held-out stories.

The confirmation suite is tonight's own held-out stories; the selection suite is those of all
earlier nights.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from flows.errors import FlowsError
from flows.night import Tonight, Unit
from flows.subjects import Subject, students_of, teachers_of, unigram_of
from flows.train_student import is_trained, student_ids
from flows.training_set import TrainingSet, build_training_set

if TYPE_CHECKING:
    from distill.evaluation.metrics import Metric

SELECTION, CONFIRMATION = "selection", "confirmation"


@dataclass(frozen=True, slots=True)
class Bench:
    """Tonight's subjects and the units of each suite."""

    training_set: TrainingSet
    subjects: tuple[Subject, ...]
    suites: dict[str, tuple[Unit, ...]]

    def subject(self, role: str) -> Subject | None:
        """The subject of that role, if tonight has one."""
        return next((subject for subject in self.subjects if subject.role == role), None)


def set_up_bench(tonight: Tonight) -> Bench:
    """Who is measured tonight, and on what; the students must have been trained."""
    training_set = build_training_set(tonight)
    students = student_ids(tonight, training_set)
    absent = [role for role, student in students.items() if not is_trained(tonight, student)]
    if absent:
        raise FlowsError(
            f"{tonight.label}: expected a trained {' and '.join(absent)}, found none; "
            "run the stage train first"
        )
    subjects = (
        *students_of(tonight, students),
        unigram_of(tonight, training_set),
        *teachers_of(tonight),
    )
    suites = {SELECTION: tonight.units[:-1], CONFIRMATION: tonight.units[-1:]}
    return Bench(training_set, subjects, suites)


def figure_row(subject: Subject, suite: str, suite_digest: str, metric: "Metric") -> dict[str, Any]:
    """A row of evaluations, without the run, line and night that its caller knows."""
    return {
        "subject_id": subject.subject_id,
        "role": subject.role,
        "suite": suite,
        "suite_digest": suite_digest,
        **asdict(metric),
    }
