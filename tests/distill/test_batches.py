"""The order of documents, and what one forward pass is given."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.batches import (
    Batch,
    Cursor,
    check_documents,
    count_steps,
    make_batches,
    plan_epoch,
    plan_steps,
    split_step,
)
from distill.errors import DistillError
from distill.targets import StudentDocument
from tests.student_documents import START, VOCAB_SIZE, make_document, make_documents

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(lengths=LENGTHS, tokens_per_step=st.integers(1, 300), seed=st.integers(0, 2**63 - 1))
def test_an_epoch_reads_every_document_once(
    lengths: list[int], tokens_per_step: int, seed: int
) -> None:
    steps = plan_epoch(np.array(lengths), tokens_per_step, seed, epoch=1)
    assert sorted(np.concatenate(steps).tolist()) == list(range(len(lengths)))
    assert all(len(step) for step in steps)


@given(lengths=LENGTHS, tokens_per_step=st.integers(60, 300))
def test_a_step_is_within_a_document_of_its_share(lengths: list[int], tokens_per_step: int) -> None:
    num_targets_D = np.array(lengths)
    steps = plan_epoch(num_targets_D, tokens_per_step, seed=0, epoch=0)
    share = num_targets_D.sum() / max(1, round(num_targets_D.sum() / tokens_per_step))
    assert all(abs(num_targets_D[step].sum() - share) <= num_targets_D.max() for step in steps)


@given(lengths=LENGTHS, world_size=st.integers(1, 9), seed=st.integers(0, 99))
def test_ranks_share_a_step_evenly_and_lose_no_document(
    lengths: list[int], world_size: int, seed: int
) -> None:
    num_targets_D = np.array(lengths)
    indices = np.random.default_rng(seed).permutation(len(lengths))[: max(1, len(lengths) // 2)]
    parts = split_step(num_targets_D, indices, world_size)
    assert len(parts) == world_size
    assert sorted(np.concatenate(parts).tolist()) == sorted(indices.tolist())
    assert all(np.array_equal(part, indices[np.isin(indices, part)]) for part in parts)
    loads = [int(num_targets_D[part].sum()) for part in parts]
    assert max(loads) - min(loads) <= num_targets_D[indices].max()
    again = split_step(num_targets_D, indices, world_size)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_one_rank_reads_the_step_as_it_is_and_ranks_may_have_nothing() -> None:
    num_targets_D, indices = np.array([5, 9, 2]), np.array([2, 0, 1])
    assert [part.tolist() for part in split_step(num_targets_D, indices, 1)] == [[2, 0, 1]]
    parts = split_step(num_targets_D, indices, 4)
    assert [part.tolist() for part in parts] == [[1], [0], [2], []]


def test_the_order_follows_from_seed_and_epoch() -> None:
    num_targets_D = np.arange(1, 50)

    def order(seed: int, epoch: int) -> list[int]:
        steps = plan_epoch(num_targets_D, 100, seed, epoch)
        return [int(index) for step in steps for index in step]

    assert order(5, 0) == order(5, 0)
    assert len({tuple(order(seed, epoch)) for seed in (5, 6) for epoch in (0, 1)}) == 4


def test_every_cursor_leads_to_the_same_rest() -> None:
    num_targets_D = np.array([7, 30, 12, 5, 22, 9, 18])
    whole = list(itertools.islice(plan_steps(num_targets_D, 25, 1, Cursor(0, 0)), 20))
    for done, (cursor, _) in enumerate(whole[:-1], start=1):
        rest = list(itertools.islice(plan_steps(num_targets_D, 25, 1, cursor), 20 - done))
        assert [c for c, _ in rest] == [c for c, _ in whole[done:]]
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(rest, whole[done:], strict=True))


@given(lengths=LENGTHS, num_tokens=st.integers(1, 3000))
def test_the_budget_is_reached_by_the_last_step_and_not_before(
    lengths: list[int], num_tokens: int
) -> None:
    num_targets_D = np.array(lengths)
    count = count_steps(num_targets_D, 50, 2, num_tokens)
    steps = itertools.islice(plan_steps(num_targets_D, 50, 2, Cursor(0, 0)), count)
    seen = np.cumsum([num_targets_D[indices].sum() for _, indices in steps])
    assert seen[-1] >= num_tokens
    assert count == 1 or seen[-2] < num_tokens


def rows_of(batch: Batch) -> set[tuple[tuple[int, ...], int, tuple[int, ...], tuple[int, ...]]]:
    """What each target is given: ids up to its position, its label, its draws and their counts."""
    width = batch.input_ids_BT.shape[1]
    rows = set()
    for n in range(batch.num_tokens):
        row, column = divmod(int(batch.positions_N[n]), width)
        draws = slice(int(batch.offsets_N1[n]), int(batch.offsets_N1[n + 1]))
        rows.add(
            (
                tuple(batch.input_ids_BT[row, : column + 1].tolist()),
                int(batch.labels_N[n]),
                tuple(batch.target_ids_K[draws].tolist()),
                tuple(batch.target_counts_K[draws].tolist()),
            )
        )
    return rows


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12), size=st.integers(1, 200))
def test_each_target_sees_its_own_document_up_to_it_and_no_other(
    lengths: list[int], size: int
) -> None:
    documents = make_documents(lengths)
    batches = make_batches(documents, size)
    expected = set()
    for d in documents:
        ids = [*d.prefix_ids.tolist(), *d.input_ids.tolist()]
        for t in range(len(d.input_ids)):
            draws = slice(int(d.offsets[t]), int(d.offsets[t + 1]))
            expected.add(
                (
                    tuple(ids[: len(d.prefix_ids) + t]),
                    int(d.input_ids[t]),
                    tuple(d.target_ids[draws].tolist()),
                    tuple(d.target_counts[draws].tolist()),
                )
            )
    assert set().union(*map(rows_of, batches)) == expected
    assert sum(batch.num_tokens for batch in batches) == sum(lengths)
    assert all(b.input_ids_BT.numel() <= size or len(b.input_ids_BT) == 1 for b in batches)


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    size=st.integers(1, 200),
    row_length=st.integers(36, 80),
)
def test_packed_rows_hold_every_document_whole_at_positions_of_its_own(
    lengths: list[int], size: int, row_length: int
) -> None:
    documents = make_documents(lengths)
    batches = make_batches(documents, size, row_length)
    assert len({batch.input_ids_BT.shape[1] for batch in batches}) == 1
    assert all(b.input_ids_BT.numel() <= size or len(b.input_ids_BT) == 1 for b in batches)
    found = set()
    for batch in batches:
        assert batch.position_ids_BT is not None
        ids, places = batch.input_ids_BT.flatten(), batch.position_ids_BT.flatten().tolist()
        for n, position in enumerate(batch.positions_N.tolist()):
            first = position - places[position]
            assert places[first : position + 1] == list(range(position - first + 1))
            draws = slice(int(batch.offsets_N1[n]), int(batch.offsets_N1[n + 1]))
            seen = (tuple(ids[first : position + 1].tolist()), int(batch.labels_N[n]))
            found.add((*seen, tuple(batch.target_ids_K[draws].tolist())))
    apart = set().union(*map(rows_of, make_batches(documents, size)))
    assert found == {row[:3] for row in apart}
    assert sum(batch.num_tokens for batch in batches) == sum(lengths)


def test_short_documents_share_a_row_when_packed() -> None:
    (batch,) = make_batches(make_documents([40, 3, 40, 3, 40, 3]), 256, row_length=64)
    assert batch.input_ids_BT.shape == (3, 64)
    (one,) = make_batches(make_documents([40, 3]), 256, row_length=64)
    assert one.position_ids_BT is not None
    assert one.position_ids_BT[0, 38:50].tolist() == [38, 39, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0]


def test_like_lengths_share_a_batch() -> None:
    batches = make_batches(make_documents([40, 3, 40, 3, 40, 3]), max_batch_tokens=130)
    assert [len(batch.input_ids_BT) for batch in batches] == [3, 3]


GOOD = make_document("good", [START], [4, 5, 1], [[4], [5, 6], [1]])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (make_document("bare", [], [4, 1], [[4], [1]]), "bare: a start symbol and at least one"),
        (make_document("empty", [START], [], []), "empty: a start symbol and at least one target"),
        (make_document("long", [START], [4] * 9, [[4]] * 9), "long: at most 8 tokens.*found 9"),
        (
            make_document("alien", [START], [VOCAB_SIZE], [[4]]),
            r"alien: ids in \[0, 40\).*40 to 40",
        ),
        (make_document("drawn", [START], [4], [[99]]), "drawn: ids in.*another token space"),
        (dataclasses.replace(GOOD, offsets=GOOD.offsets[:-1]), "good: 4 offsets that end at 4"),
    ],
)
def test_an_unfit_document_is_refused_by_name(document: StudentDocument, message: str) -> None:
    with pytest.raises(DistillError, match=message):
        check_documents([GOOD, document], max_position_embeddings=8, vocab_size=VOCAB_SIZE)


def test_a_document_may_fill_the_context_and_no_documents_are_refused() -> None:
    document = make_document("full", [START], [4] * 8, [[4]] * 8)
    check_documents([document], max_position_embeddings=8, vocab_size=VOCAB_SIZE)
    with pytest.raises(DistillError, match="no documents"):
        check_documents([], max_position_embeddings=8, vocab_size=VOCAB_SIZE)
