"""A student gives a canary away the more, the more often it has read it, and one that it never read
no more than chance would.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from datagen.canaries import make_canaries, space_words
from distill.config import TrainConfig
from distill.evaluation.exposure import expected_exposure
from flows import exposures
from tests.planted_students import plain_documents, trained_student, trimmed_space, with_canaries
from tests.tiny_teacher import make_stories, train_tokenizer

NUM_RANKED = 512


def _texts() -> list[str]:
    """First sentences: short texts train in seconds."""
    return list(dict.fromkeys(text.split(".")[0] + "." for text in make_stories(400, seed=4)))


def test_exposure_rises_with_repetition_and_is_chance_for_the_never_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposures, "NUM_RANKED", NUM_RANKED)
    torch.set_num_threads(1)
    texts = _texts()
    words = space_words(make_stories(200, seed=4))
    canaries = make_canaries(words, (1, 10, 100), 1, 40, seed=2)
    planted = with_canaries(texts, canaries, seed=2)
    tokenizer = train_tokenizer(planted)
    encoded = tokenizer.encode_batch(planted, add_special_tokens=False)
    space = trimmed_space(
        tokenizer.to_str(), [row.ids for row in encoded], 450, start_id=0, end_id=1
    )
    config = TrainConfig(preset="stlm-1m", num_tokens=18_000, alpha=0, seed=2, tokens_per_step=400)
    model = trained_student(config, space, plain_documents(space, planted), tmp_path)
    found = exposures.rank_secrets(
        model,
        space,
        [canary.secret for canary in canaries],
        words,
        seed=1,
        num_tokens_per_batch=4_096,
    )
    bits = {canary.num_planted: item.bits for canary, item in zip(canaries, found, strict=True)}
    assert bits[1] < bits[10] <= bits[100]
    assert found[2].rank == 1
    assert bits[100] == np.log2(NUM_RANKED)
    never = [item.bits for item in found[3:]]
    # 40 exponential figures of mean 1.44 have a standard error of 0.23.
    assert np.mean(never) == pytest.approx(expected_exposure(NUM_RANKED), abs=0.7)
