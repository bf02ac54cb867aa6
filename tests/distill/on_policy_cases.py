"""Small students, a teacher, documents and trainings of the on-policy phase, as its tests share
them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM

from distill.config import TrainConfig
from distill.on_policy import LiveTeacher, OnPolicy
from distill.students import presets
from distill.targets import StudentDocument
from distill.tokens import TokenSpace
from distill.train import StepRecord, TrainResult, train
from distill.trimming import trim_tokenizer
from tests.student_documents import make_document, train_config
from tests.tiny_teacher import make_stories, train_tokenizer

NUM_TEACHER, NUM_STUDENT = 512, 400
# The second end id stands for the end alone, or is the start symbol too.
SPACES = {"plain": (0, (1, 300)), "start ends too": (300, (1, 300))}
LENGTHS = [5, 17, 9, 30, 12, 3, 21, 14, 26]
NUM_STEPS = 7


@cache
def trimmed(kind: str) -> TokenSpace:
    tokenizer = train_tokenizer(make_stories(200, 0))
    start_id, end_ids = SPACES[kind]
    return trim_tokenizer(
        tokenizer.to_str(),
        vocab_size=NUM_STUDENT,
        id_counts={id_: 1000 - id_ for id_ in range(2, 420)},
        forms=(),
        start_id=start_id,
        end_ids=end_ids,
    )


def some_model(vocab_size: int, seed: int, scale: float = 4.0) -> LlamaForCausalLM:
    """First weights hardly attend and say the same everywhere: these are larger."""
    shape = presets.Preset("tiny", 16, 1, 2, 2, 24, 64, vocab_size)
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(presets._llama_config(shape, vocab_size, 0, 1))
    presets._fill(model, torch.Generator().manual_seed(seed), shape.num_layers)
    for parameter in model.parameters():
        parameter.data *= scale if parameter.ndim >= 2 else 1
    model.eval()
    return model


def context_of(doc_id: str) -> list[int]:
    """Of another length than the student's prefix."""
    return [0, *(2 + (int(doc_id) * 7 + place) % 250 for place in range(int(doc_id) % 5))]


def live_teacher(
    kind: str = "plain", model: LlamaForCausalLM | None = None, digest: str = "teacher"
) -> LiveTeacher:
    model = some_model(NUM_TEACHER, seed=1) if model is None else model
    return LiveTeacher(model, trimmed(kind), SPACES[kind][1], context_of, digest)


def phase_config(phase: Mapping[str, float] | None = None, **changes: float | str) -> TrainConfig:
    """A short training with half its documents replaced in the last half of its steps, but for
    these keys of the section and of `train`.
    """
    section = {"steps_share": 0.5, "share": 0.5, **(phase or {})}
    return TrainConfig.model_validate(
        {**train_config(**changes).model_dump(), "on_policy": section}
    )


def documents(lengths: Sequence[int] = LENGTHS, kind: str = "plain") -> list[StudentDocument]:
    """One for each number of targets, every other one after a longer prefix."""
    rng, space = np.random.default_rng(0), trimmed(kind)
    made = []
    for index, length in enumerate(lengths):
        others = np.setdiff1d(np.arange(NUM_STUDENT), [space.start_id, space.end_id])
        prefix = [space.start_id, *rng.choice(others, size=3 * (index % 2)).tolist()]
        ids = [*rng.choice(others, size=length - 1).tolist(), space.end_id]
        draws = [rng.choice(others, 8).tolist() for _ in range(length)]
        made.append(make_document(str(index), prefix, ids, draws))
    return made


def all_written(
    on_policy: OnPolicy, model: LlamaForCausalLM, given: Sequence[StudentDocument]
) -> list[StudentDocument]:
    return on_policy.parted(model, given, seed=3, step=8, num_steps=8)[1]


def run(
    config: TrainConfig,
    folder: Path,
    on_step: Callable[[StepRecord], None] = lambda _: None,
    *,
    digest: str = "teacher",
    given: Sequence[StudentDocument] | None = None,
) -> TrainResult:
    on_policy = OnPolicy(config, live_teacher(digest=digest)) if config.on_policy else None
    return train(
        config,
        some_model(NUM_STUDENT, 0, scale=1.0),
        documents() if given is None else given,
        folder,
        seed=3,
        alpha=0.5,
        on_policy=on_policy,
        on_step=on_step,
    )
