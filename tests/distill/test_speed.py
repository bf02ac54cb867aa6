"""Operations per token against a count by torch; peaks that are known or stated, never guessed."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from distill.batch_losses import batch_nats
from distill.batches import make_batches
from distill.speed import flops_per_token, mean_positions, peak_flops
from distill.students.presets import PRESETS, build_student
from distill.targets import StudentDocument
from tests.student_documents import END, START, VOCAB_SIZE, make_document, make_documents


def positions_of(*documents: StudentDocument) -> float:
    return mean_positions(
        np.array([len(document.input_ids) for document in documents]),
        np.array([len(document.prefix_ids) for document in documents]),
    )


def test_the_operations_are_those_that_torch_counts() -> None:
    """For sequences of one length: torch counts matrix products, attention over all positions; N
    also holds the norms, a few in a thousand.
    """
    ids = [*[2 + i % 30 for i in range(99)], END]
    document = make_document("a", [START], ids, [[] for _ in ids])
    model = build_student("stlm-1m", VOCAB_SIZE, START, END, 0)
    model.config._attn_implementation = "eager"
    (batch,) = make_batches([document], 10_000)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(batch_nats(model, batch, 0.0))
    positions = positions_of(document)
    assert positions == 100
    expected = 100 * flops_per_token(PRESETS["stlm-1m"], VOCAB_SIZE, positions)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.005)


def test_positions_are_those_of_the_average_target() -> None:
    short, long = make_documents([10, 30])  # the second has a prefix of four
    assert positions_of(short) == 10
    assert positions_of(short, long) == (10 * 10 + 30 * 33) / 40


def test_a_peak_is_known_by_the_very_name_or_stated() -> None:
    assert peak_flops("NVIDIA H200", "bf16", None) == 989.5e12
    assert peak_flops("NVIDIA H200", "float32", None) == 67e12
    assert peak_flops("NVIDIA H200", "bf16", 500) == 500e12
    assert peak_flops("NVIDIA H200 NVL", "bf16", None) is None
    assert peak_flops("cpu", "float32", None) is None
    assert peak_flops("cpu", "float32", 0.1) == 0.1e12
