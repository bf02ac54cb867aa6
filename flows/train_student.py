"""Two students from the same start on the same tokens: the challenger learns from the teacher's
draws, its control does not.
"""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from distill.config import TrainConfig
from distill.prefix import mark_instruct_lines
from distill.students.presets import build_student, preset_named
from flows.defaults import lake_folder
from flows.diversity import expect_diversity
from flows.measured import measured_stage
from flows.model_card import model_card
from flows.night import Tonight, open_night, shard_key
from flows.on_policy import text_rows, tonights_phase
from flows.progress import track
from flows.recipes import Recipe
from flows.student_cards import card_facts
from flows.students import student_folder
from flows.token_spaces import check_reading
from flows.training_costs import TrainingMeter
from flows.training_set import TrainingSet, build_training_set
from warehouse.identity import digest
from warehouse.schemas import CHECKPOINTS, TRAIN_STEPS, TRAINING_DOCUMENTS

if TYPE_CHECKING:
    from distill.train import TrainResult

CHALLENGER = "challenger"
CONTROL = "control"
logger = logging.getLogger(__name__)


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
            check_reading(tonight, training_set.space, training_set.documents)
            with measured_stage(tonight, "train") as stage:
                for role in missing:
                    if not is_trained(tonight, students[role]):  # with alpha = 0 both are one
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
    config, space = role_config(tonight, role), training_set.space
    model = build_student(
        config.preset, space.vocab_size, space.start_id, space.end_id, config.seed
    )
    mark_instruct_lines(model.config, training_set.instruct_lines)
    use_device(model, tonight.recipe.teacher)
    work = _work_folder(tonight, student)
    on_policy = tonights_phase(tonight, config, space)
    with track(f"{role}", config.num_tokens, "tokens") as bar:
        meter = TrainingMeter(bar)
        result = train(
            config,
            model,
            training_set.documents,
            work,
            seed=config.seed,
            alpha=config.alpha,
            on_policy=on_policy,
            on_step=meter.on_step,
        )
    meter.commit(tonight, training_set.documents, space.vocab_size, role, student, on_policy)
    folder = student_folder(tonight.lake, student)
    facts = card_facts(tonight, training_set, role, student, result.num_tokens)
    save_student(folder, model, space, model_card(facts), facts=facts.to_json())
    tables = _rows(tonight, training_set, role, student, result)
    tables |= text_rows(config, student, work, len(result.steps))
    tonight.lake.commit_shard(student, 0, tables)
    shutil.rmtree(work, ignore_errors=True)
    logger.info(
        "%s: %d steps, last loss %.3f nats per token",
        role,
        len(result.steps),
        result.steps[-1].loss,
    )
    return result.num_tokens


def student_ids(tonight: Tonight, training_set: TrainingSet) -> dict[str, str]:
    """By role, the id of all that a student's weights follow from."""
    from distill.train import STAGE_VERSION

    configs = {role: role_config(tonight, role) for role in (CHALLENGER, CONTROL)}
    return {
        role: digest(
            "train",
            STAGE_VERSION,
            {key: value for key, value in config.identity().items() if key != "alpha"},
            config.alpha,
            training_set.digest,
            training_set.space.digest,
            tonight.claim.numerics,
        )
        for role, config in configs.items()
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


def role_config(tonight: Tonight, role: str) -> TrainConfig:
    """How tonight's student of that role is trained: a control without anything of the teacher."""
    config = tonight.recipe.train
    without = {"alpha": 0.0, "on_policy": None}
    return config if role == CHALLENGER else config.model_copy(update=without)


def _rows(
    tonight: Tonight, training_set: TrainingSet, role: str, student: str, result: "TrainResult"
) -> dict[str, pa.Table]:
    config, num_documents = tonight.recipe.train, len(training_set.documents)
    checkpoint = {
        "student_id": student,
        "run_id": student,
        "role": role,
        "preset": config.preset,
        "num_parameters": preset_named(config.preset).num_parameters(training_set.space.vocab_size),
        "token_space_digest": training_set.space.digest,
        "training_set_digest": training_set.digest,
        "teacher_digest": tonight.teacher.digest,
        "alpha": role_config(tonight, role).alpha,
        "num_documents": num_documents,
        "num_documents_left_out": training_set.num_left_out,
        "dropped_draw_share": training_set.dropped_draw_share,
        "num_steps": len(result.steps),
        "num_tokens": result.num_tokens,
        "weights_digest": result.weights_digest,
    }
    documents = {
        "student_id": [student] * num_documents,
        "run_id": [student] * num_documents,
        "doc_id": list(training_set.documents.doc_ids),
        "targets_run_id": list(training_set.targets_run_ids),
        "num_tokens": training_set.documents.num_targets_D,
    }
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
        TRAINING_DOCUMENTS.name: pa.Table.from_pydict(documents, schema=TRAINING_DOCUMENTS.schema),
        TRAIN_STEPS.name: pa.Table.from_pylist(steps, schema=TRAIN_STEPS.schema),
    }
