"""Two students from the same start on the same tokens: the challenger learns from the teacher's
draws, its control does not.
"""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from distill.prefix import mark_instruct_lines, prefix_ids
from distill.students.presets import build_student, preset_named
from distill.targets import StudentDocument, check_facts, from_table, num_dropped_draws, to_student
from distill.tokens import TokenSpace
from distill.trimming import trim_tokenizer
from flows.capture_targets import capture_facts, capture_run_id
from flows.contexts import instruct_lines, training_contexts
from flows.corpus import training_stories
from flows.defaults import lake_folder
from flows.diversity import expect_diversity
from flows.errors import FlowsError
from flows.measured import measured_stage
from flows.model_card import model_card
from flows.night import Tonight, open_night, shard_key
from flows.progress import track
from flows.recipes import Recipe
from flows.student_cards import card_facts
from flows.students import student_folder
from flows.teachers import load_tokenizer
from warehouse.identity import Json, digest
from warehouse.schemas import CHECKPOINTS, TRAIN_STEPS, TRAINING_DOCUMENTS

if TYPE_CHECKING:
    from distill.train import StepRecord, TrainResult

CHALLENGER = "challenger"
CONTROL = "control"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What both students read: documents in their token space, and what was left out of it.

    instruct_lines: the lines of the instruct form that stand before some document, sorted; None:
    what stands there is the line of its words.
    """

    space: TokenSpace
    documents: tuple[StudentDocument, ...]
    targets_run_ids: dict[str, str]
    num_left_out: int
    dropped_draw_share: float
    instruct_lines: tuple[str, ...] | None

    @property
    def digest(self) -> str:
        """Of the documents' ids and the runs that captured them; in the instruct form, also of what
        is read before them.
        """
        return digest(sorted(self._identity(document) for document in self.documents))

    def _identity(self, document: StudentDocument) -> list[Json]:
        made: list[Json] = [document.doc_id, self.targets_run_ids[document.doc_id]]
        return made if self.instruct_lines is None else [*made, document.prefix_ids.tolist()]


@flow(name="train_student", flow_run_name="students of {recipe.name}, night {night}")
def train_student(recipe: Recipe, night: str, data: Path | None = None) -> dict[str, str]:
    """The ids of the night's challenger and control; a student whose rows are in the lake is not
    trained again.
    """
    with open_night(recipe, night, lake_folder(data), logger.info) as tonight:
        expect_diversity(tonight)
        training_set = build_training_set(tonight)
        if training_set.num_left_out:
            logger.info(
                "students: %d documents left out, which hold an id that the token space lacks or "
                "do not fit the student's positions with their context; %d are read",
                training_set.num_left_out,
                len(training_set.documents),
            )
        students = student_ids(tonight, training_set)
        for student in students.values():
            _sweep(tonight, student)
        missing = [role for role in students if not is_trained(tonight, students[role])]
        if missing:
            with measured_stage(tonight, "train") as stage:
                for role in missing:
                    stage.num_tokens += train_one(tonight, training_set, role, students[role])
        else:
            logger.info("students: both are there")
        return students


@task(name="train one", cache_policy=NO_CACHE, task_run_name="train {role}")
def train_one(tonight: Tonight, training_set: TrainingSet, role: str, student: str) -> int:
    """Train a student, put its model folder in place, commit its rows; the tokens trained on."""
    from distill.students.save import save_student
    from distill.train import train
    from flows.numerics import use_device, use_threads

    use_threads(tonight.recipe.teacher.threads)
    config, space = tonight.recipe.train, training_set.space
    model = build_student(
        config.preset, space.vocab_size, space.start_id, space.end_id, config.seed
    )
    mark_instruct_lines(model.config, training_set.instruct_lines)
    use_device(model, tonight.recipe.teacher)
    work = _work_folder(tonight, student)
    with track(f"{role}", config.num_tokens, "tokens") as bar:
        seen: int | None = None

        def on_step(record: "StepRecord") -> None:
            """Targets that an earlier, killed training saw move the bar, but not its rate."""
            nonlocal seen
            bar.count_tokens(record.num_tokens - seen if seen is not None else 0)
            bar.advance(record.num_tokens - (seen or 0))
            seen = record.num_tokens

        result = train(
            config,
            model,
            training_set.documents,
            work,
            seed=config.seed,
            alpha=_alpha(tonight, role),
            on_step=on_step,
        )
    folder = student_folder(tonight.lake, student)
    facts = card_facts(tonight, training_set, role, student, result.num_tokens)
    save_student(folder, model, space, model_card(facts), facts=facts.to_json())
    tables = _rows(tonight, training_set, role, student, result)
    tonight.lake.commit_shard(student, 0, tables)
    shutil.rmtree(work, ignore_errors=True)
    logger.info(
        "%s: %d steps, last loss %.3f nats per token",
        role,
        len(result.steps),
        result.steps[-1].loss,
    )
    return result.num_tokens


def build_training_set(tonight: Tonight) -> TrainingSet:
    """The night's documents as its students read them.

    Raises DistillError if targets are of another teacher, tokenizer, R or shift than the recipe
    asks for.
    """
    stories = {story.doc_id: story for story in training_stories(tonight)}
    reads = load_tokenizer(tonight.teacher)
    captured, run_ids = [], {}
    facts = capture_facts(tonight, reads.vocab_size)
    for unit in tonight.units:
        run_id = capture_run_id(tonight, unit)
        rows = tonight.lake.read("targets", run_ids=[run_id])
        if rows.num_rows:
            check_facts(tonight.lake.facts("targets", run_id), facts, f"run {run_id}")
        for document in from_table(rows, num_draws=facts.num_draws, vocab_size=facts.vocab_size):
            if document.doc_id in stories and document.doc_id not in run_ids:
                captured.append(document)
                run_ids[document.doc_id] = run_id
    if len(captured) < len(stories) or not stories:
        raise FlowsError(
            f"{tonight.label}: expected targets of {len(stories)} accepted stories to train on, "
            f"found {len(captured)}; "
            "run the stages generate and capture first"
        )
    counts = np.bincount(
        np.concatenate([document.input_ids for document in captured]), minlength=facts.vocab_size
    )
    space = trim_tokenizer(
        (tonight.teacher.folder / "tokenizer.json").read_text(encoding="utf-8"),
        vocab_size=tonight.recipe.token_space.vocab_size,
        id_counts=counts,
        forms=sorted(tonight.vocabulary.forms),
        start_id=reads.start_id,
        end_ids=reads.end_ids,
    )
    context_of = training_contexts(tonight)
    contexts = {document.doc_id: context_of(stories[document.doc_id]) for document in captured}
    read = [to_student(d, space, prefix_ids(space, contexts[d.doc_id]).tolist()) for d in captured]
    limit = preset_named(tonight.recipe.train.preset).max_position_embeddings
    kept = tuple(
        document
        for document in read
        if document is not None and len(document.prefix_ids) + len(document.input_ids) <= limit
    )
    num_draws = facts.num_draws * sum(len(document.input_ids) for document in kept)
    dropped = sum(num_dropped_draws(document, facts.num_draws) for document in kept)
    return TrainingSet(
        space,
        kept,
        run_ids,
        len(read) - len(kept),
        dropped / max(num_draws, 1),
        instruct_lines(tonight, [contexts[document.doc_id] for document in kept]),
    )


def student_ids(tonight: Tonight, training_set: TrainingSet) -> dict[str, str]:
    """By role, the id of all that a student's weights follow from."""
    from distill.train import STAGE_VERSION

    config = tonight.recipe.train.identity()
    del config["alpha"]  # the control's is another
    return {
        role: digest(
            "train",
            STAGE_VERSION,
            config,
            _alpha(tonight, role),
            training_set.digest,
            training_set.space.digest,
            tonight.claim.numerics,
        )
        for role in (CHALLENGER, CONTROL)
    }


def is_trained(tonight: Tonight, student: str) -> bool:
    """Whether the student's rows are in the lake and its model folder is in place."""
    is_known = tonight.lake.is_committed(CHECKPOINTS.name, shard_key(student, 0))
    return is_known and student_folder(tonight.lake, student).is_dir()


def _sweep(tonight: Tonight, student: str) -> None:
    """Remove what a kill left of a student that is in place: its checkpoints, a half-written
    folder.
    """
    folder = student_folder(tonight.lake, student)
    for leftover in folder.parent.glob(f".unfinished-{student}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if is_trained(tonight, student):
        shutil.rmtree(_work_folder(tonight, student), ignore_errors=True)


def _work_folder(tonight: Tonight, student: str) -> Path:
    return tonight.lake.root / "work" / student


def _alpha(tonight: Tonight, role: str) -> float:
    return tonight.recipe.train.alpha if role == CHALLENGER else 0.0


def _rows(
    tonight: Tonight, training_set: TrainingSet, role: str, student: str, result: "TrainResult"
) -> dict[str, pa.Table]:
    config = tonight.recipe.train
    checkpoint = {
        "student_id": student,
        "run_id": student,
        "role": role,
        "preset": config.preset,
        "num_parameters": preset_named(config.preset).num_parameters(training_set.space.vocab_size),
        "token_space_digest": training_set.space.digest,
        "training_set_digest": training_set.digest,
        "teacher_digest": tonight.teacher.digest,
        "alpha": _alpha(tonight, role),
        "num_documents": len(training_set.documents),
        "num_documents_left_out": training_set.num_left_out,
        "dropped_draw_share": training_set.dropped_draw_share,
        "num_steps": len(result.steps),
        "num_tokens": result.num_tokens,
        "weights_digest": result.weights_digest,
    }
    documents = [
        {
            "student_id": student,
            "run_id": student,
            "doc_id": document.doc_id,
            "targets_run_id": training_set.targets_run_ids[document.doc_id],
            "num_tokens": len(document.input_ids),
        }
        for document in training_set.documents
    ]
    steps = [
        {
            "student_id": student,
            "run_id": student,
            "step": record.step,
            "num_tokens": record.num_tokens,
            "loss": record.loss,
            "learning_rate": record.learning_rate,
            "grad_norm": record.grad_norm,
        }
        for record in result.steps
    ]
    return {
        CHECKPOINTS.name: pa.Table.from_pylist([checkpoint], schema=CHECKPOINTS.schema),
        TRAINING_DOCUMENTS.name: pa.Table.from_pylist(documents, schema=TRAINING_DOCUMENTS.schema),
        TRAIN_STEPS.name: pa.Table.from_pylist(steps, schema=TRAIN_STEPS.schema),
    }
