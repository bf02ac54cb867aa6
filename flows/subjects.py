"""Who is measured on held-out stories, and how each of them reads a story.

A subject's scores of a unit of stories follow from the subject and the stories alone, so they are
stored once: tonight's champion and teacher were scored on an earlier night's stories that night.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.capture_targets import context_ids
from flows.corpus import CorpusStory, held_out_stories, refused_documents
from flows.night import Tonight, Unit, shard_key
from flows.numerics import use_threads
from flows.students import load_checked_student
from flows.teachers import load_tokenizer
from flows.train_student import CHALLENGER, CONTROL
from flows.training_set import TrainingSet
from warehouse.identity import digest
from warehouse.schemas import SCORES

if TYPE_CHECKING:
    from distill.evaluation.scoring import DocumentScore, ScoreRequest
    from distill.tokens import TokenSpace

# Raise when the scores of the same subject on the same stories change.
SCORE_VERSION = 2
CHAMPION, UNIGRAM, TEACHER, PROMPTED_TEACHER = "champion", "unigram", "teacher", "prompted_teacher"
STUDENT = "student"


@dataclass(frozen=True, slots=True)
class Subject:
    """One who is measured. `role` is its part tonight; `kind` is how it reads, the same every
    night.
    """

    role: str
    kind: str
    subject_id: str
    score: Callable[[Sequence[CorpusStory]], "list[DocumentScore]"]


def students_of(tonight: Tonight, students: dict[str, str]) -> list[Subject]:
    """The challenger, its control, and the champion that the night met, if any."""
    roles = {CHALLENGER: students[CHALLENGER], CONTROL: students[CONTROL]}
    if tonight.claim.champion_id is not None:
        roles[CHAMPION] = tonight.claim.champion_id
    return [_student(tonight, role, student) for role, student in roles.items()]


def unigram_of(tonight: Tonight, training_set: TrainingSet) -> Subject:
    """The unigram model of what the students were trained on, in their token space."""
    from distill.evaluation.unigram import fit_unigram, score_unigram

    space = training_set.space
    documents = training_set.documents
    model = fit_unigram(lambda: (d.input_ids for d in documents), space.vocab_size)

    def score(stories: Sequence[CorpusStory]) -> "list[DocumentScore]":
        return score_unigram(model, student_requests(space, stories), end_id=space.end_id)

    return Subject(UNIGRAM, UNIGRAM, digest(model.digest, space.digest), score)


def teachers_of(tonight: Tonight) -> list[Subject]:
    """The teacher without a prompt and, if it can be told what to write, under each story's own
    prompt.
    """
    subjects = [_teacher(tonight, TEACHER)]
    if tonight.teacher.allows_instructions:
        subjects.append(_teacher(tonight, PROMPTED_TEACHER))
    return subjects


@task(name="score unit", cache_policy=NO_CACHE, task_run_name="score {subject.role}")
def score_unit(tonight: Tonight, subject: Subject, unit: Unit) -> int:
    """Score the unit's held-out stories and commit them, if they are not in the lake; the symbols
    scored now.
    """
    run_id = score_run_id(tonight, subject.kind, subject.subject_id, unit)
    return score_once(
        tonight, subject, run_id, unit.run_id, lambda: held_out_stories(tonight, unit)
    )


def score_once(
    tonight: Tonight,
    subject: Subject,
    run_id: str,
    unit: str,
    documents: Callable[[], Sequence[CorpusStory]],
) -> int:
    """Score the documents of a unit, by its run, and commit the scores, if they are not in the
    lake; the symbols scored now.
    """
    if tonight.lake.is_committed(SCORES.name, shard_key(run_id, 0)):
        return 0
    use_threads(tonight.recipe.teacher.threads)
    scores = subject.score(documents())
    made = {
        "run_id": run_id,
        "subject_id": subject.subject_id,
        "subject": subject.kind,
        "unit": unit,
    }
    rows = [{**made, **_score_row(score)} for score in scores]
    tonight.lake.commit_shard(
        run_id, 0, {SCORES.name: pa.Table.from_pylist(rows, schema=SCORES.schema)}
    )
    return sum(score.num_tokens for score in scores)


def score_run_id(tonight: Tonight, kind: str, subject_id: str, unit: Unit) -> str:
    """The run in which a subject scores a unit's held-out stories."""
    return digest(
        "score",
        SCORE_VERSION,
        kind,
        subject_id,
        unit.pass_id,
        tonight.claim.numerics,
        tonight.recipe.night.held_out_share,
        tonight.recipe.evaluate.num_tokens_per_batch,
    )


def suite_scores(
    tonight: Tonight, kind: str, subject_id: str, units: Sequence[Unit]
) -> "list[DocumentScore]":
    """A subject's scores of all the units' held-out stories, each text once, in one order for
    every subject; without those that nearly repeat an older text which students are trained on.
    """
    runs = [score_run_id(tonight, kind, subject_id, unit) for unit in units]
    rows = tonight.lake.read(SCORES.name, run_ids=runs).to_pylist()
    left_out = refused_documents(tonight)
    by_document = {row["doc_id"]: row for row in rows if row["doc_id"] not in left_out}
    return [score_of(row) for _, row in sorted(by_document.items())]


def _score_row(score: "DocumentScore") -> dict[str, Any]:
    """What a row of scores says of a document."""
    bins = score.reliability
    return {
        "doc_id": score.doc_id,
        "nats": score.nats,
        "nats_without_end": score.nats_without_end,
        "num_bytes": score.num_bytes,
        "num_tokens": score.num_tokens,
        "top1_ids": None if score.top1_ids is None else score.top1_ids.tolist(),
        "bin_num_tokens": None if bins is None else list(bins.num_tokens),
        "bin_num_right": None if bins is None else list(bins.num_right),
        "bin_confidence_sum": None if bins is None else list(bins.confidence_sum),
    }


def score_of(row: dict[str, Any]) -> "DocumentScore":
    """The score that the row was made of."""
    from distill.evaluation.reliability import Reliability
    from distill.evaluation.scoring import DocumentScore

    bins = [row[name] for name in ("bin_num_tokens", "bin_num_right", "bin_confidence_sum")]
    return DocumentScore(
        doc_id=row["doc_id"],
        nats=row["nats"],
        nats_without_end=row["nats_without_end"],
        num_bytes=row["num_bytes"],
        num_tokens=row["num_tokens"],
        top1_ids=None if row["top1_ids"] is None else np.array(row["top1_ids"], np.int32),
        reliability=None if bins[0] is None else Reliability(*(tuple(item) for item in bins)),
    )


def _student(tonight: Tonight, role: str, student: str) -> Subject:
    from distill.evaluation.scoring import score_documents

    def score(stories: Sequence[CorpusStory]) -> "list[DocumentScore]":
        model, space = load_checked_student(tonight.lake, student)
        return score_documents(
            model,
            student_requests(space, stories),
            end_ids=[space.end_id],
            num_tokens_per_batch=tonight.recipe.evaluate.num_tokens_per_batch,
            want_top1=True,
        )

    return Subject(role, STUDENT, student, score)


def student_requests(space: "TokenSpace", stories: Sequence[CorpusStory]) -> "list[ScoreRequest]":
    """The stories as a student reads them: after its start symbol, without a line of words."""
    from distill.evaluation.scoring import ScoreRequest
    from distill.prefix import prefix_ids

    return [
        ScoreRequest(
            doc_id=story.doc_id,
            start_ids=prefix_ids(space, None),
            symbol_ids=np.array(space.encode(story.text), np.int32),
            num_bytes=story.num_bytes,
        )
        for story in stories
    ]


def reference_kind(tonight: Tonight) -> str:
    """How the teacher reads what students are compared with: under the story's prompt if it can be
    told what to write, else after its start symbol.
    """
    return PROMPTED_TEACHER if tonight.teacher.allows_instructions else TEACHER


def teacher_requests(
    tonight: Tonight, kind: str, stories: Sequence[CorpusStory]
) -> "list[ScoreRequest]":
    """The stories as the teacher reads them: after its start symbol, or under their prompts."""
    from distill.evaluation.scoring import ScoreRequest

    reads = load_tokenizer(tonight.teacher)
    is_prompted = kind == PROMPTED_TEACHER
    return [
        ScoreRequest(
            doc_id=story.doc_id,
            start_ids=np.array(
                context_ids(tonight, reads, story.prompt) if is_prompted else [reads.start_id],
                np.int32,
            ),
            symbol_ids=np.array(reads.text_ids(story.text), np.int32),
            num_bytes=story.num_bytes,
        )
        for story in stories
    ]


def _teacher(tonight: Tonight, kind: str) -> Subject:
    from distill.evaluation.scoring import score_documents

    def score(stories: Sequence[CorpusStory]) -> "list[DocumentScore]":
        return score_documents(
            tonight.teacher_model(),
            teacher_requests(tonight, kind, stories),
            end_ids=load_tokenizer(tonight.teacher).end_ids,
            num_tokens_per_batch=tonight.recipe.evaluate.num_tokens_per_batch,
            want_top1=True,
        )

    return Subject(kind, kind, tonight.teacher.digest, score)
