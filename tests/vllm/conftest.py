"""The teacher in both engines, loaded once for all tests of a run."""

from dataclasses import replace

import pytest
from transformers import PreTrainedModel

from datagen.engine_config import EngineConfig
from datagen.engines.guiding import Constraint
from datagen.engines.transformers_engine import TransformersEngine
from datagen.engines.vllm_engine import VllmEngine, load_vllm_engine
from datagen.vocabulary import load_vocabulary
from flows.constraints import teacher_constraint
from flows.teachers import Teacher, TeacherTokenizer, find_teacher, load_model, load_tokenizer
from tests.vllm.asking import TEACHER


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was counted, which a passing test alone does not."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.head_line}: {name}: {value}")


@pytest.fixture(scope="session")
def teacher() -> Teacher:
    return find_teacher(TEACHER.model, print)


@pytest.fixture(scope="session")
def reads(teacher: Teacher) -> TeacherTokenizer:
    return load_tokenizer(teacher)


@pytest.fixture(scope="session")
def model(teacher: Teacher) -> PreTrainedModel:
    return load_model(teacher, TEACHER, can_write=True)


@pytest.fixture(scope="session")
def constraint(teacher: Teacher, model: PreTrainedModel) -> Constraint:
    return teacher_constraint(teacher, model, load_vocabulary("age3"))


@pytest.fixture(scope="session")
def ours(
    model: PreTrainedModel, reads: TeacherTokenizer, constraint: Constraint
) -> TransformersEngine:
    return TransformersEngine(
        model=model,
        tokenizer=reads.tokenizer,
        encode=reads.context_ids,
        end_ids=reads.end_ids,
        batch_size=TEACHER.batch_size,
        constraint=constraint,
    )


@pytest.fixture(scope="session")
def theirs(teacher: Teacher, reads: TeacherTokenizer, constraint: Constraint) -> VllmEngine:
    engine = load_vllm_engine(
        teacher.folder,
        EngineConfig(kind="vllm"),
        device="cpu",
        batch_size=TEACHER.batch_size,
        tokenizer=reads.tokenizer,
        encode=reads.context_ids,
        end_ids=reads.end_ids,
    )
    return replace(engine, constraint=constraint)
