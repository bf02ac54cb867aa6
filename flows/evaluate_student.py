"""Tonight's figures: every subject on the same held-out stories, and ten stories that the students
tell.

The confirmation suite is tonight's own held-out stories; the selection suite is those of all
earlier nights.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from datagen.instruct import Ask
from datagen.measures import required_hits, unknown_words, words_of
from flows.contexts import asking
from flows.corpus import held_out_stories
from flows.defaults import lake_folder
from flows.errors import FlowsError
from flows.measured import measured_stage
from flows.night import Tonight, Unit, open_night, shard_key
from flows.numerics import use_threads
from flows.progress import track
from flows.recipes import Recipe
from flows.students import load_checked_student, student_folder
from flows.subjects import (
    PROMPTED_TEACHER,
    STUDENT,
    TEACHER,
    Subject,
    score_run_id,
    score_unit,
    students_of,
    suite_scores,
    teachers_of,
    unigram_of,
)
from flows.teachers import load_tokenizer
from flows.train_student import (
    CHALLENGER,
    CONTROL,
    TrainingSet,
    build_training_set,
    is_trained,
    student_ids,
)
from warehouse.identity import digest
from warehouse.schemas import EVALUATIONS, GENERATIONS, RELIABILITY

if TYPE_CHECKING:
    from distill.evaluation.metrics import Metric

# Raise when the figures that the same scores give change.
STAGE_VERSION = 2
SELECTION, CONFIRMATION, SAMPLES = "selection", "confirmation", "samples"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bench:
    """Tonight's subjects and the units of each suite."""

    training_set: TrainingSet
    subjects: tuple[Subject, ...]
    suites: dict[str, tuple[Unit, ...]]

    def subject(self, role: str) -> Subject | None:
        """The subject of that role, if tonight has one."""
        return next((subject for subject in self.subjects if subject.role == role), None)


@flow(name="evaluate_student", flow_run_name="figures of {recipe.name}, night {night}")
def evaluate_student(recipe: Recipe, night: str, data: Path | None = None) -> str:
    """The run id of the night's figures; what is in the lake is not measured again."""
    with open_night(recipe, night, lake_folder(data), logger.info) as tonight:
        bench = set_up_bench(tonight)
        run_id = evaluation_run_id(tonight, bench)
        if tonight.lake.is_committed(EVALUATIONS.name, shard_key(run_id, 0)):
            logger.info("figures: all are there")
            return run_id
        pairs = [(subject, unit) for subject in bench.subjects for unit in tonight.units]
        with (
            measured_stage(tonight, "evaluate") as stage,
            track("scores", len(pairs), "suites") as bar,
        ):
            for subject, unit in pairs:
                num_tokens = score_unit(tonight, subject, unit)
                stage.num_tokens += num_tokens
                bar.count_tokens(num_tokens)
                bar.advance()
            measure(tonight, bench, run_id)
        return run_id


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


def evaluation_run_id(tonight: Tonight, bench: Bench) -> str:
    """The run that turns tonight's scores into figures."""
    scores = [
        [subject.role, suite, score_run_id(tonight, subject.kind, subject.subject_id, unit)]
        for subject in bench.subjects
        for suite, units in bench.suites.items()
        for unit in units
    ]
    return digest(
        "evaluate",
        STAGE_VERSION,
        [tonight.claim.line, tonight.claim.night],
        scores,
        tonight.recipe.evaluate.model_dump(mode="json"),
    )


@task(name="measure", cache_policy=NO_CACHE)
def measure(tonight: Tonight, bench: Bench, run_id: str) -> None:
    """Commit the night's evaluations, reliability and generations."""
    use_threads(tonight.recipe.teacher.threads)
    generations = [
        row for role in (CHALLENGER, CONTROL) for row in _told_stories(tonight, bench, role, run_id)
    ]
    figures = [row for subject in bench.subjects for row in _suite_figures(tonight, bench, subject)]
    figures += _sample_figures(bench, generations)
    night = {"run_id": run_id, "line": tonight.claim.line, "night": tonight.claim.night}
    evaluations = [{**night, **figure} for figure in figures]
    bins = [
        {**night, **row} for subject in bench.subjects for row in _bins(tonight, bench, subject)
    ]
    tonight.lake.commit_shard(
        run_id,
        0,
        {
            EVALUATIONS.name: pa.Table.from_pylist(evaluations, schema=EVALUATIONS.schema),
            RELIABILITY.name: pa.Table.from_pylist(bins, schema=RELIABILITY.schema),
            GENERATIONS.name: pa.Table.from_pylist(generations, schema=GENERATIONS.schema),
        },
    )


def _suite_figures(tonight: Tonight, bench: Bench, subject: Subject) -> list[dict[str, Any]]:
    from distill.evaluation.metrics import bits_per_byte_metrics, calibration_metric

    config = tonight.recipe.evaluate
    figures = []
    for suite, units in bench.suites.items():
        scores = suite_scores(tonight, subject.kind, subject.subject_id, units)
        if not scores:
            continue
        metrics = bits_per_byte_metrics(
            scores, seed=config.seed, num_resamples=config.num_resamples
        )
        agreement = _agreement(tonight, bench, subject, units) if subject.kind == STUDENT else None
        calibration = calibration_metric(
            scores, seed=config.seed, num_resamples=config.num_resamples
        )
        metrics += [metric for metric in (agreement, calibration) if metric]
        suite_digest = digest([score.doc_id for score in scores])
        figures += [_figure(subject, suite, suite_digest, metric) for metric in metrics]
    return figures


def _bins(tonight: Tonight, bench: Bench, subject: Subject) -> list[dict[str, Any]]:
    """The subject's reliability on each suite; none for the unigram model."""
    from distill.evaluation.reliability import reliability_diagram

    rows = []
    for suite, units in bench.suites.items():
        scores = suite_scores(tonight, subject.kind, subject.subject_id, units)
        documents = [score.reliability for score in scores if score.reliability is not None]
        who = {"role": subject.role, "suite": suite, "subject_id": subject.subject_id}
        if documents:
            rows += [{**who, **asdict(item)} for item in reliability_diagram(documents)]
    return rows


def _agreement(
    tonight: Tonight, bench: Bench, subject: Subject, units: Sequence[Unit]
) -> "Metric | None":
    """How often the student prefers what its teacher, under the story's prompt if it has one,
    prefers.
    """
    from distill import tokens
    from distill.evaluation.agreement import agreement
    from distill.evaluation.metrics import agreement_metric

    reference = bench.subject(PROMPTED_TEACHER) or bench.subject(TEACHER)
    assert reference is not None
    reads = load_tokenizer(tonight.teacher)
    space = tokens.load(student_folder(tonight.lake, subject.subject_id))
    if space.teacher_tokenizer_sha256 != tonight.teacher.tokenizer_sha256:
        return None
    texts = {s.doc_id: s.text for unit in units for s in held_out_stories(tonight, unit)}
    pairs = zip(
        suite_scores(tonight, subject.kind, subject.subject_id, units),
        suite_scores(tonight, reference.kind, reference.subject_id, units),
        strict=True,
    )
    agreements = [
        agreement(
            student,
            np.array(space.encode(texts[student.doc_id]), np.int32),
            teacher,
            np.array(reads.text_ids(texts[student.doc_id]), np.int32),
            space=space,
            teacher_end_ids=reads.end_ids,
        )
        for student, teacher in pairs
    ]
    config = tonight.recipe.evaluate
    return agreement_metric(agreements, seed=config.seed, num_resamples=config.num_resamples)


def _told_stories(tonight: Tonight, bench: Bench, role: str, run_id: str) -> list[dict[str, Any]]:
    """Stories that a student tells when asked for the words of held-out stories, in the form that
    it was trained on, with what they hold.
    """
    from distill.prefix import instruct_lines_of
    from distill.sample import Sampling, sample_stories

    subject = bench.subject(role)
    assert subject is not None
    config = tonight.recipe.evaluate
    stories = held_out_stories(tonight, tonight.unit)[: config.num_samples]
    model, space = load_checked_student(tonight.lake, subject.subject_id)
    lines = instruct_lines_of(model.config)
    samples = sample_stories(
        model,
        space,
        [asking(lines, Ask(story.words)) for story in stories],
        seed=config.seed,
        sampling=Sampling(config.temperature, config.max_new_tokens, config.top_k),
    )
    rows = []
    for place, (story, sample) in enumerate(zip(stories, samples, strict=True)):
        told = words_of(sample.text)
        spec = tonight.plan[story.plan_index]
        rows.append(
            {
                "student_id": subject.subject_id,
                "run_id": run_id,
                "sample": place,
                "words": list(story.words),
                "text": sample.text,
                "num_required_hit": required_hits(told, spec, tonight.vocabulary),
                "num_words": len(told),
                "num_unknown_words": len(unknown_words(told, tonight.vocabulary)),
            }
        )
    return rows


def _sample_figures(bench: Bench, generations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    from distill.evaluation.metrics import share

    figures = []
    for role in (CHALLENGER, CONTROL):
        subject = bench.subject(role)
        assert subject is not None
        rows = [row for row in generations if row["student_id"] == subject.subject_id]
        if not rows:
            continue
        asked = [row for row in rows if row["words"]]
        hits = [row["num_required_hit"] / len(row["words"]) for row in asked]
        known = [1 - row["num_unknown_words"] / max(row["num_words"], 1) for row in rows]
        suite_digest = digest([row["words"] for row in rows])
        words = [share("required_words", hits)] if hits else []
        for metric in (*words, share("adherence", known)):
            figures.append(_figure(subject, SAMPLES, suite_digest, metric))
    return figures


def _figure(subject: Subject, suite: str, suite_digest: str, metric: "Metric") -> dict[str, Any]:
    return {
        "subject_id": subject.subject_id,
        "role": subject.role,
        "suite": suite,
        "suite_digest": suite_digest,
        **asdict(metric),
    }
