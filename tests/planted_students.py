"""Students trained on texts with canaries in them, without a night: what the test of exposure and
its benchmark share.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import LlamaForCausalLM

from datagen.canaries import Canary, planted
from distill.config import TrainConfig
from distill.prefix import prefix_ids
from distill.students.presets import build_student
from distill.targets import StudentDocument
from distill.tokens import TokenSpace
from distill.train import train
from distill.trimming import trim_tokenizer
from tests.student_documents import make_document
from warehouse.identity import digest


def with_canaries(texts: Sequence[str], canaries: Sequence[Canary], seed: int) -> list[str]:
    """The texts in a random order, each canary in as many of them as it says, one in each."""
    order = random.Random(seed).sample(texts, len(texts))
    wanted = [canary for canary in canaries for _ in range(canary.num_planted)]
    head = [planted(text, canary) for text, canary in zip(order, wanted, strict=False)]
    assert len(head) == len(wanted), "more canaries than texts"
    return [*head, *order[len(head) :]]


def trimmed_space(
    tokenizer_json: str,
    ids: Sequence[Sequence[int]],
    vocab_size: int,
    *,
    start_id: int,
    end_id: int,
) -> TokenSpace:
    """The tokenizer trimmed to the texts of these ids."""
    counts = np.bincount(np.concatenate([np.array(row) for row in ids]))
    return trim_tokenizer(
        tokenizer_json,
        vocab_size=vocab_size,
        id_counts=counts,
        forms=(),
        start_id=start_id,
        end_ids=(end_id,),
    )


def plain_documents(space: TokenSpace, texts: Sequence[str]) -> list[StudentDocument]:
    """The texts as a control reads them: hard labels, no draws."""
    start = prefix_ids(space, None).tolist()
    rows = [[*space.encode(text), space.end_id] for text in texts]
    return [
        make_document(digest(text), start, row, [[] for _ in row])
        for text, row in zip(texts, rows, strict=True)
    ]


def trained_student(
    config: TrainConfig,
    space: TokenSpace,
    documents: Sequence[StudentDocument],
    folder: Path,
    *,
    alpha: float = 0.0,
) -> LlamaForCausalLM:
    """A student of the config's preset and seed, trained on the documents."""
    model = build_student(
        config.preset, space.vocab_size, space.start_id, space.end_id, config.seed
    )
    train(config, model, documents, folder, seed=config.seed, alpha=alpha)
    return model
