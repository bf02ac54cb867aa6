"""How far tonight's students are from their teacher on held-out stories, from the full logits of
both.

A student's distances on a unit's stories follow from the student, the teacher and the stories, so
they are stored once, as scores are; the logits are not (49,152 numbers a position). Students that
lack theirs on a unit are measured in one pass of the teacher. Every night's new students are
measured on earlier nights' stories too, and each of these costs a teacher's pass again: so a suite
is bounded by evaluate.num_distance_documents, the newest units first.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.bench import Bench, figure_row
from flows.corpus import CorpusStory, held_out_stories, refused_documents
from flows.measured import cpu_s
from flows.night import Tonight, Unit, shard_key
from flows.numerics import use_threads
from flows.students import load_checked_student, student_folder
from flows.subjects import (
    PROMPTED_TEACHER,
    STUDENT,
    Subject,
    reference_kind,
    student_requests,
    teacher_requests,
)
from flows.teachers import load_tokenizer
from warehouse.identity import digest
from warehouse.schemas import DISTANCES

if TYPE_CHECKING:
    from distill.evaluation.distances import DocumentDistance
    from distill.evaluation.side_by_side import StudentReading

# Raise when the distances of the same student and teacher on the same stories change.
DISTANCE_VERSION = 1
_SUMS = ("num_positions", "forward_kl", "reverse_kl", "accepted", "kept_mass")
_BINS = ("num_tokens", "num_right", "confidence_sum")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Who is compared with the teacher tonight, and on which units of each suite."""

    subjects: tuple[Subject, ...]
    suites: dict[str, tuple[Unit, ...]]

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units of all suites."""
        return tuple(unit for units in self.suites.values() for unit in units)


def set_up_comparison(tonight: Tonight, bench: Bench) -> Comparison:
    """Tonight's students whose ids mean something to its teacher, and of each suite the newest
    units that hold num_distance_documents stories together; all of them if they hold fewer.
    """
    from distill import tokens

    def reads_alike(subject: Subject) -> bool:
        space = tokens.load(student_folder(tonight.lake, subject.subject_id))
        return space.teacher_tokenizer_sha256 == tonight.teacher.tokenizer_sha256

    subjects = [item for item in bench.subjects if item.kind == STUDENT and reads_alike(item)]
    suites = {suite: _newest(tonight, units) for suite, units in bench.suites.items()}
    return Comparison(tuple(subjects), suites)


def compared_stories(tonight: Tonight, unit: Unit) -> list[CorpusStory]:
    """The unit's held-out stories, each text once; the ones of the lowest doc_ids, which are
    digests, if there are more than num_distance_documents.
    """
    stories = {story.doc_id: story for story in held_out_stories(tonight, unit)}
    most = tonight.recipe.evaluate.num_distance_documents
    return [story for _, story in sorted(stories.items())[:most]]


def distance_run_id(tonight: Tonight, subject_id: str, unit: Unit) -> str:
    """The run that compares a student with tonight's teacher on a unit's held-out stories."""
    return digest(
        "distances",
        DISTANCE_VERSION,
        subject_id,
        tonight.teacher.digest,
        reference_kind(tonight),
        unit.pass_id,
        tonight.claim.numerics,
        tonight.recipe.night.held_out_share,
        tonight.recipe.evaluate.num_tokens_per_batch,
        tonight.recipe.evaluate.num_distance_documents,
    )


@task(name="compare unit", cache_policy=NO_CACHE, task_run_name="compare with the teacher")
def compare_unit(tonight: Tonight, comparison: Comparison, unit: Unit) -> int:
    """Compare the students whose distances on the unit's stories are not in the lake with the
    teacher, and commit each one's as a run of its own; the positions compared now.
    """
    from distill.evaluation.side_by_side import measure_distances

    missing = {
        run_id: subject.subject_id
        for subject in comparison.subjects
        for run_id in [distance_run_id(tonight, subject.subject_id, unit)]
        if not tonight.lake.is_committed(DISTANCES.name, shard_key(run_id, 0))
    }
    if not missing:
        return 0
    began_s = cpu_s()
    use_threads(tonight.recipe.teacher.threads)
    stories = compared_stories(tonight, unit)
    found = measure_distances(
        tonight.teacher_model(),
        teacher_requests(tonight, reference_kind(tonight), stories),
        [_reading(tonight, student, stories) for student in missing.values()],
        end_ids=load_tokenizer(tonight.teacher).end_ids,
        num_tokens_per_batch=tonight.recipe.evaluate.num_tokens_per_batch,
    )
    for (run_id, student), documents in zip(missing.items(), found, strict=True):
        made = {
            "run_id": run_id,
            "subject_id": student,
            "teacher_digest": tonight.teacher.digest,
            "context": "prompt" if reference_kind(tonight) == PROMPTED_TEACHER else "start",
            "unit": unit.run_id,
        }
        rows = [{**made, **row} for document in documents for row in _rows(document)]
        table = pa.Table.from_pylist(rows, schema=DISTANCES.schema)
        tonight.lake.commit_shard(run_id, 0, {DISTANCES.name: table})
    num_positions = sum(document.num_positions for documents in found for document in documents)
    logger.info(
        "distances: %d positions of %d students on %d stories in %.1f CPU-s",
        num_positions,
        len(missing),
        len(stories),
        cpu_s() - began_s,
    )
    return num_positions


def distance_figures(tonight: Tonight, comparison: Comparison) -> list[dict[str, Any]]:
    """The students' distances from the teacher on each suite that has a story to compare."""
    from distill.evaluation.metrics import distance_metrics

    config = tonight.recipe.evaluate
    figures = []
    for subject, suite, documents in _measured(tonight, comparison):
        suite_digest = digest([document.doc_id for document in documents])
        metrics = distance_metrics(documents, seed=config.seed, num_resamples=config.num_resamples)
        figures += [figure_row(subject, suite, suite_digest, metric) for metric in metrics]
    return figures


def band_reliability_rows(tonight: Tonight, comparison: Comparison) -> list[dict[str, Any]]:
    """The students' reliability on each suite by band of the teacher's entropy."""
    from distill.evaluation.distances import band_bounds
    from distill.evaluation.reliability import reliability_diagram

    rows = []
    for subject, suite, documents in _measured(tonight, comparison):
        for place, (low, high) in enumerate(band_bounds()):
            who = {
                "role": subject.role,
                "suite": suite,
                "subject_id": subject.subject_id,
                "band": place + 1,
                "min_entropy": low,
                "max_entropy": high,
            }
            bins = reliability_diagram([item.bands[place].reliability for item in documents])
            rows += [{**who, **asdict(item)} for item in bins]
    return rows


def _newest(tonight: Tonight, units: Sequence[Unit]) -> tuple[Unit, ...]:
    taken: list[Unit] = []
    num_left = tonight.recipe.evaluate.num_distance_documents
    for unit in reversed(units):
        if num_left <= 0:
            break
        taken.append(unit)
        num_left -= len(compared_stories(tonight, unit))
    return tuple(reversed(taken))


def _measured(
    tonight: Tonight, comparison: Comparison
) -> "Iterator[tuple[Subject, str, list[DocumentDistance]]]":
    """The distances of every student on every suite that has a story, each text once, in one order
    for every student.
    """
    left_out = refused_documents(tonight)
    for subject in comparison.subjects:
        for suite, units in comparison.suites.items():
            runs = [distance_run_id(tonight, subject.subject_id, unit) for unit in units]
            rows = tonight.lake.read(DISTANCES.name, run_ids=runs).to_pylist()
            by_document: dict[str, dict[int, dict[str, Any]]] = {}
            for row in rows:
                if row["doc_id"] not in left_out:
                    by_document.setdefault(row["doc_id"], {})[row["band"]] = row
            if by_document:
                documents = [_distance_of(*item) for item in sorted(by_document.items())]
                yield subject, suite, documents


def _reading(tonight: Tonight, student: str, stories: Sequence[CorpusStory]) -> "StudentReading":
    from distill.evaluation.side_by_side import StudentReading

    model, space = load_checked_student(tonight.lake, student)
    return StudentReading(model, space, student_requests(space, stories))


def _rows(document: "DocumentDistance") -> Iterator[dict[str, Any]]:
    for place, band in enumerate(document.bands):
        yield {
            "doc_id": document.doc_id,
            "band": place + 1,
            **{name: getattr(band, name) for name in _SUMS},
            **{f"bin_{name}": list(getattr(band.reliability, name)) for name in _BINS},
        }


def _distance_of(doc_id: str, rows: dict[int, dict[str, Any]]) -> "DocumentDistance":
    from distill.evaluation.distances import BandDistance, DocumentDistance
    from distill.evaluation.reliability import Reliability

    return DocumentDistance(
        doc_id,
        tuple(
            BandDistance(
                **{name: row[name] for name in _SUMS},
                reliability=Reliability(*(tuple(row[f"bin_{name}"]) for name in _BINS)),
            )
            for _, row in sorted(rows.items())
        ),
    )
