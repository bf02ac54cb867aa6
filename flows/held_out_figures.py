"""What a subject's scores of held-out stories come to: bits per byte, agreement with the teacher,
calibration.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.bench import Bench, figure_row
from flows.corpus import held_out_stories
from flows.night import Tonight, Unit
from flows.students import student_folder
from flows.subjects import PROMPTED_TEACHER, STUDENT, TEACHER, Subject, suite_scores
from flows.teachers import load_tokenizer
from warehouse.identity import digest

if TYPE_CHECKING:
    from distill.evaluation.metrics import Metric


def suite_figures(tonight: Tonight, bench: Bench, subject: Subject) -> list[dict[str, Any]]:
    """The subject's figures on each suite that has a story."""
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
        figures += [figure_row(subject, suite, suite_digest, metric) for metric in metrics]
    return figures


def reliability_rows(tonight: Tonight, bench: Bench, subject: Subject) -> list[dict[str, Any]]:
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
