"""Small real things that the tests of distill share: a teacher trained on the spot and the ids that
capture asks for.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from distill.positions import TeacherIds
from distill.tokens import word_start_mask
from tests.tiny_teacher import VOCAB_SIZE


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small only lose by threads, and lose minutes where cores are shared."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="session")
def tiny_teacher(tiny_teacher_folder: Path) -> PreTrainedModel:
    """In float64, so that what a test compares does not hang on last bits."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        tiny_teacher_folder, dtype=torch.float64
    )
    model.eval()
    return model


@pytest.fixture(scope="session")
def tiny_tokenizer_json(tiny_teacher_folder: Path) -> str:
    return (tiny_teacher_folder / "tokenizer.json").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def tiny_ids(tiny_tokenizer_json: str) -> TeacherIds:
    mask = word_start_mask(tiny_tokenizer_json, vocab_size=VOCAB_SIZE, end_ids=(1,))
    return TeacherIds(end_ids=(1,), word_start_mask=mask)
