"""Draws are an unbiased sample, rows read back are what was written or are refused, and students
get what they can use.
"""

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
    CapturedDocument,
    CaptureFacts,
    check_facts,
    from_table,
    num_dropped_draws,
    to_student,
    to_table,
)
from distill.tokens import TokenSpace
from distill.trimming import trim_tokenizer
from tests.tiny_teacher import make_stories, train_tokenizer

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


@pytest.fixture(scope="module")
def space() -> TokenSpace:
    tokenizer = train_tokenizer(make_stories(200, 0))
    counts = {id_: 1000 - id_ for id_ in range(2, 420)}
    return trim_tokenizer(
        tokenizer.to_str(), vocab_size=400, id_counts=counts, forms=(), start_id=0, end_ids=(1, 300)
    )


def kept_document(space: TokenSpace, doc_id: str, num_positions: int) -> CapturedDocument:
    """A document whose text the space holds; its draws are of all the teacher's 512 ids."""
    document = make_document(doc_id, vocab_size=512, num_positions=num_positions, seed=11)
    rng = np.random.default_rng(0)
    text = rng.choice(space.to_teacher[2:], num_positions)
    return replace(document, input_ids=np.append(text[:-1], 1).astype(np.int32))


def test_a_student_gets_the_kept_draws_in_its_own_ids(space: TokenSpace) -> None:
    captured = kept_document(space, "doc", 20)
    student = to_student(captured, space, [space.start_id])
    assert student is not None
    ends = np.append(0, np.cumsum(captured.n_targets, dtype=np.int64))
    for t in range(20):
        wanted: dict[int, int] = {}
        for i in range(ends[t], ends[t + 1]):
            id_ = int(space.from_teacher[captured.target_ids[i]])
            if id_ >= 0:
                wanted[id_] = wanted.get(id_, 0) + int(captured.target_counts[i])
        part = slice(student.offsets[t], student.offsets[t + 1])
        assert student.target_ids[part].tolist() == sorted(wanted)
        assert (
            dict(zip(student.target_ids[part], student.target_counts[part], strict=True)) == wanted
        )
        assert student.n_draws[t] == sum(wanted.values())
    assert num_dropped_draws(student, NUM_DRAWS) == 20 * NUM_DRAWS - student.target_counts.sum()
    assert num_dropped_draws(student, NUM_DRAWS) > 0
    assert np.array_equal(space.to_teacher[student.input_ids], captured.input_ids)


def test_counts_of_several_end_ids_add_up(space: TokenSpace) -> None:
    captured = replace(
        kept_document(space, "doc", 1),
        n_targets=np.array([3], np.uint8),
        target_ids=np.array([1, 40, 300], np.int32),
        target_counts=np.array([10, 25, 15], np.uint8),
    )
    student = to_student(captured, space, [])
    assert student is not None
    assert student.target_ids.tolist() == [space.end_id, int(space.from_teacher[40])]
    assert student.target_counts.tolist() == [25, 25]
    neighbours = replace(
        captured,
        n_targets=np.array([2], np.uint8),
        target_ids=np.array([1, 300], np.int32),
        target_counts=np.array([20, 30], np.uint8),
    )
    student = to_student(neighbours, space, [])
    assert student is not None
    assert (student.target_ids.tolist(), student.target_counts.tolist()) == ([space.end_id], [50])


def test_a_text_with_a_removed_id_or_an_early_end_is_left_out(space: TokenSpace) -> None:
    captured = kept_document(space, "doc", 4)
    for id_ in (int(np.flatnonzero(space.from_teacher < 0)[0]), 1, 300):
        ids = captured.input_ids.copy()
        ids[1] = id_
        assert to_student(replace(captured, input_ids=ids), space, []) is None


def test_kept_draws_are_an_unbiased_sample_of_the_teacher_given_the_kept_ids(
    space: TokenSpace,
) -> None:
    probs = random_probs(1, 512, seed=13)
    draws = draw_counts(probs.repeat(2000, 1), draw_uniforms(1, "doc", 2000, NUM_DRAWS))
    captured = replace(
        kept_document(space, "doc", 2000),
        n_targets=draws.n_targets,
        target_ids=draws.ids,
        target_counts=draws.counts,
    )
    student = to_student(captured, space, [])
    assert student is not None
    counts = np.bincount(
        student.target_ids, weights=student.target_counts, minlength=space.vocab_size
    )
    mass = np.zeros(space.vocab_size)
    is_kept = space.from_teacher >= 0
    np.add.at(mass, space.from_teacher[is_kept], probs[0].numpy()[is_kept])
    assert 0.05 < mass.sum() < 0.95
    assert abs(chi_square(counts, mass / mass.sum() * counts.sum())) < 4
