"""Draws are an unbiased sample, and rows read back are what was written or are refused."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray

from distill.draws import draw_counts, draw_uniforms
from distill.errors import DistillError
from distill.targets import (
    READ_COLUMNS,
    SHIFT,
    CapturedDocument,
    CaptureFacts,
    check_facts,
    from_table,
    to_table,
)

NUM_DRAWS = 50


def random_probs(num_rows: int, vocab_size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_rows, vocab_size, generator=generator, dtype=torch.float64) * 3
    return logits.softmax(dim=-1)


def make_document(
    doc_id: str, *, vocab_size: int, num_positions: int, seed: int = 0
) -> CapturedDocument:
    probs = random_probs(num_positions, vocab_size, seed)
    draws = draw_counts(probs, draw_uniforms(seed, doc_id, num_positions, NUM_DRAWS))
    rng = np.random.default_rng(seed)
    halves = rng.random((3, num_positions)).astype(np.float16)
    return CapturedDocument(
        doc_id=doc_id,
        story_id=f"story of {doc_id}",
        num_context_tokens=3,
        input_ids=rng.integers(2, vocab_size, num_positions).astype(np.int32),
        n_targets=draws.n_targets,
        target_ids=draws.ids,
        target_counts=draws.counts,
        entropy=halves[0],
        teacher_nll=halves[1],
        word_start_logmass=-halves[2],
    )


def chi_square(counts: NDArray[Any], expected: NDArray[np.float64]) -> float:
    """In standard deviations from its mean; cells that expect fewer than 5 are put together."""
    small = expected < 5
    observed = np.append(counts[~small], counts[small].sum())
    wanted = np.append(expected[~small], expected[small].sum())
    has_any = wanted > 0
    observed, wanted = observed[has_any], wanted[has_any]
    freedom = observed.size - 1
    return float((((observed - wanted) ** 2 / wanted).sum() - freedom) / np.sqrt(2 * freedom))


def test_draws_are_an_unbiased_sample_of_the_distribution() -> None:
    probs = random_probs(1, 300, seed=1).repeat(2000, 1)
    draws = draw_counts(probs.float(), draw_uniforms(7, "doc", 2000, NUM_DRAWS))
    counts = np.bincount(draws.ids, weights=draws.counts, minlength=300)
    assert abs(chi_square(counts, probs[0].numpy() * counts.sum())) < 4


@pytest.mark.parametrize("vocab_size", [1, 15, 16, 17, 1000])
def test_draws_equal_a_plain_search_in_the_whole_cumulative_sum(vocab_size: int) -> None:
    probs = random_probs(64, vocab_size, seed=2)
    uniforms = draw_uniforms(3, "doc", 64, NUM_DRAWS)
    draws = draw_counts(probs, uniforms)
    sums = probs.numpy().cumsum(axis=1)
    rows = [
        np.searchsorted(s, u * s[-1], side="right") for s, u in zip(sums, uniforms, strict=True)
    ]
    ids, counts = zip(*(np.unique(row, return_counts=True) for row in rows), strict=True)
    assert draws.n_targets.tolist() == [row.size for row in ids]
    assert draws.ids.tolist() == np.concatenate(ids).tolist()
    assert draws.counts.tolist() == np.concatenate(counts).tolist()


def test_number_of_unique_ids_is_as_expected() -> None:
    probs = random_probs(1, 500, seed=3)
    draws = draw_counts(probs.repeat(4000, 1), draw_uniforms(5, "doc", 4000, NUM_DRAWS))
    expected = float((1 - (1 - probs[0]) ** NUM_DRAWS).sum())
    spread = float(draws.n_targets.std()) / np.sqrt(4000)
    assert abs(float(draws.n_targets.mean()) - expected) < 4 * spread


def test_impossible_ids_are_never_drawn_and_edges_are() -> None:
    probs = torch.zeros(2, 40)
    probs[0, [5, 38]] = torch.tensor([0.5, 0.4999])
    probs[1, 0] = 1e-30
    edge = np.nextafter(1.0, 0.0)
    uniforms = np.tile(np.array([0.0, 0.25, 0.75, edge]), (2, 1))
    draws = draw_counts(probs, uniforms)
    assert draws.n_targets.tolist() == [2, 1]
    assert draws.ids.tolist() == [5, 38, 0]
    assert draws.counts.tolist() == [2, 2, 4]


def test_a_draw_above_a_blocks_rounded_sum_is_of_its_last_possible_id() -> None:
    probs = random_probs(500, 16, seed=8).float()
    probs[:, 14:] = 0.0
    is_rounded_up = probs.sum(dim=1).double() > probs.double().sum(dim=1)
    assert is_rounded_up.any()
    draws = draw_counts(probs, np.full((500, 1), np.nextafter(1.0, 0.0)))
    assert (draws.ids == 13).all()


def test_uniforms_of_a_position_depend_on_seed_document_and_position_only() -> None:
    long, short = draw_uniforms(1, "a", 100, 50), draw_uniforms(1, "a", 7, 50)
    assert np.array_equal(long[:7], short)
    assert not np.array_equal(short, draw_uniforms(1, "b", 7, 50))
    assert not np.array_equal(short, draw_uniforms(2, "a", 7, 50))
    assert long.min() >= 0.0
    assert long.max() < 1.0
    assert (np.diff(long, axis=1) >= 0).all()


def test_a_table_reads_back_what_was_written() -> None:
    documents = [make_document(f"d{n}", vocab_size=99, num_positions=n, seed=n) for n in (1, 9, 30)]
    table = to_table(documents, run_id="run", teacher_digest="teacher")
    for read in (table, pa.concat_tables([table.slice(0, 1), table.slice(1)])):
        found = from_table(read, num_draws=NUM_DRAWS, vocab_size=99)
        for document, again in zip(documents, found, strict=True):
            for name in CapturedDocument.__slots__:
                before, after = getattr(document, name), getattr(again, name)
                assert np.array_equal(before, after), name
                assert np.asarray(before).dtype == np.asarray(after).dtype, name


def test_an_empty_table_has_no_documents() -> None:
    table = to_table([], run_id="run", teacher_digest="teacher")
    assert from_table(table, num_draws=NUM_DRAWS, vocab_size=99) == []


def _damaged(name: str) -> CapturedDocument:
    good = make_document("bad one", vocab_size=99, num_positions=8)
    counts, ids, n_targets = (
        good.target_counts.copy(),
        good.target_ids.copy(),
        good.n_targets.copy(),
    )
    if name == "sum":
        counts[2] += 1
    elif name == "order":
        ids[:2] = ids[1::-1]
    elif name == "range":
        ids[n_targets[0] - 1] = 99
    elif name == "zero":
        counts[0] = 0
    elif name == "length":
        return replace(good, entropy=good.entropy[:-1])
    elif name == "sizes":
        n_targets[0] += 1
    return replace(good, target_counts=counts, target_ids=ids, n_targets=n_targets)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sum", "counts that sum to R = 50"),
        ("order", "ids that ascend"),
        ("range", r"ids in \[0, 99\), found .* to 99"),
        ("zero", "counts from 1"),
        ("length", "expected 8 values of entropy"),
        ("sizes", "of one length"),
    ],
)
def test_a_damaged_row_is_refused_by_its_document(name: str, message: str) -> None:
    good = make_document("good one", vocab_size=99, num_positions=5)
    table = to_table([good, _damaged(name)], run_id="run", teacher_digest="teacher")
    with pytest.raises(DistillError, match=f"document bad one: .*{message}"):
        from_table(table, num_draws=NUM_DRAWS, vocab_size=99)


def test_facts_that_differ_are_listed() -> None:
    expected = CaptureFacts(50, "teacher", "sha", 99, "prompt")
    check_facts({**expected.to_json(), "something": "else"}, expected, "run r")
    found = replace(expected, num_draws=100, shift="none").to_json()
    with pytest.raises(
        DistillError, match=r"run r: num_draws: expected 50, found 100; shift: .*'none'"
    ):
        check_facts(found, expected, "run r")
    with pytest.raises(DistillError, match="tokenizer_sha256: expected 'sha', found None"):
        check_facts({}, expected, "run r")


@pytest.mark.parametrize(
    ("fact", "other"),
    [
        ("teacher_digest", "another teacher"),
        ("tokenizer_sha256", "another tokenizer"),
        ("vocab_size", 49_280),
        ("shift", "target t predicts input_ids[t + 1]"),
        ("num_draws", 12),
        ("context", "start"),
        ("mode", "dense"),
        ("temperature", 2.0),
    ],
)
def test_targets_of_another_kind_are_refused_naming_both(fact: str, other: str | float) -> None:
    expected = CaptureFacts(50, "teacher", "tokenizer", 49_152, "prompt")
    mine = expected.to_json()[fact]
    assert expected.shift == SHIFT
    said = re.escape(f"{fact}: expected {mine!r}, found {other!r};")
    with pytest.raises(DistillError, match=said):
        check_facts({**expected.to_json(), fact: other}, expected, "run r")


def test_columns_that_no_student_reads_may_stay_on_disk() -> None:
    written = [make_document(f"d{i}", vocab_size=64, num_positions=5, seed=i) for i in range(3)]
    table = to_table(written, run_id="r", teacher_digest="t").select(READ_COLUMNS)
    for found, expected in zip(
        from_table(table, num_draws=NUM_DRAWS, vocab_size=64), written, strict=True
    ):
        assert np.array_equal(found.input_ids, expected.input_ids)
        assert np.array_equal(found.target_counts, expected.target_counts)
        assert found.entropy.size == 0
