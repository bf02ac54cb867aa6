"""Documents for a student without a teacher: random ids and draws, of lengths that a test names."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LlamaForCausalLM

from distill.config import TrainConfig
from distill.students import presets
from distill.targets import StudentDocument

VOCAB_SIZE = 40
START, END = 0, 1
NUM_DRAWS = 8


def make_document(
    doc_id: str, prefix: Sequence[int], ids: Sequence[int], draws: Sequence[Sequence[int]]
) -> StudentDocument:
    """The document whose position t has the draws `draws[t]` (ids, repeats are counts)."""
    unique = [np.unique(np.array(row, np.int32), return_counts=True) for row in draws]
    empty = np.zeros(0, np.int32)
    return StudentDocument(
        doc_id=doc_id,
        prefix_ids=np.array(prefix, np.int32),
        input_ids=np.array(ids, np.int32),
        n_draws=np.array([len(row) for row in draws], np.int32),
        offsets=np.cumsum([0, *(len(row) for row, _ in unique)], dtype=np.int64),
        target_ids=np.concatenate([empty, *(row for row, _ in unique)]).astype(np.int32),
        target_counts=np.concatenate([empty, *(counts for _, counts in unique)]).astype(np.uint8),
    )


def make_documents(lengths: Sequence[int], seed: int = 0) -> list[StudentDocument]:
    """One document per length (targets, end symbol included); every other one has a longer prefix.

    A position has NUM_DRAWS draws, every seventh none.
    """
    rng = np.random.default_rng(seed)
    documents = []
    for index, length in enumerate(lengths):
        prefix = [START, *rng.integers(2, VOCAB_SIZE, size=3 * (index % 2)).tolist()]
        ids = [*rng.integers(2, VOCAB_SIZE, size=length - 1).tolist(), END]
        draws = [
            rng.integers(1, VOCAB_SIZE, NUM_DRAWS).tolist() if t % 7 else [] for t in range(length)
        ]
        documents.append(make_document(f"doc-{seed}-{index}", prefix, ids, draws))
    return documents


def train_config(**changes: float | str) -> TrainConfig:
    """A short training: some 8 steps of about 60 targets."""
    settings: dict[str, float | str] = {
        "preset": "stlm-1m",
        "num_tokens": 480,
        "alpha": 0.5,
        "seed": 3,
        "tokens_per_step": 60,
        "max_batch_tokens": 64,
        "learning_rate": 2e-3,
        "checkpoint_every_steps": 2,
        **changes,
    }
    return TrainConfig.model_validate(settings)


def tiny_student(seed: int = 0) -> LlamaForCausalLM:
    """A student of one layer for VOCAB_SIZE ids, whose step takes milliseconds."""
    shape = presets.Preset("tiny", 16, 1, 2, 2, 24, 64, VOCAB_SIZE)
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(presets._llama_config(shape, VOCAB_SIZE, START, END))
    presets._fill(model, torch.Generator().manual_seed(seed), shape.num_layers)
    return model
