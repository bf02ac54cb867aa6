"""Students get what they can use of what was captured, together as one by one."""

from dataclasses import fields, replace

import numpy as np
import pytest

from distill.draws import draw_counts, draw_uniforms
from distill.reading import to_students
from distill.targets import CapturedDocument, StudentDocument, num_dropped_draws
from distill.tokens import TokenSpace
from distill.trimming import trim_tokenizer
from tests.distill.test_targets import NUM_DRAWS, chi_square, make_document, random_probs
from tests.tiny_teacher import make_stories, train_tokenizer


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


def read_one(
    captured: CapturedDocument, space: TokenSpace, prefix: list[int]
) -> StudentDocument | None:
    (student,) = to_students([captured], space, [prefix])
    return student


def test_documents_are_read_together_as_one_by_one(space: TokenSpace) -> None:
    captured = [kept_document(space, f"doc-{i}", 1 + i % 17) for i in range(150)]
    for i in (0, 70, 149):
        ids = captured[i].input_ids.copy()
        ids[0] = np.flatnonzero(space.from_teacher < 0)[0]
        captured[i] = replace(captured[i], input_ids=ids)
    prefixes = [[space.start_id] * (1 + i % 3) for i in range(150)]
    together = to_students(captured, space, prefixes)
    assert [i for i, document in enumerate(together) if document is None] == [0, 70, 149]
    for document, alone, prefix in zip(together, captured, prefixes, strict=True):
        expected = read_one(alone, space, prefix)
        if document is not None and expected is not None:
            for field in fields(StudentDocument):
                mine, wanted = getattr(document, field.name), getattr(expected, field.name)
                assert np.array_equal(mine, wanted)
                assert field.name == "doc_id" or mine.dtype == wanted.dtype


def test_a_student_gets_the_kept_draws_in_its_own_ids(space: TokenSpace) -> None:
    captured = kept_document(space, "doc", 20)
    student = read_one(captured, space, [space.start_id])
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
    student = read_one(captured, space, [])
    assert student is not None
    assert student.target_ids.tolist() == [space.end_id, int(space.from_teacher[40])]
    assert student.target_counts.tolist() == [25, 25]
    neighbours = replace(
        captured,
        n_targets=np.array([2], np.uint8),
        target_ids=np.array([1, 300], np.int32),
        target_counts=np.array([20, 30], np.uint8),
    )
    student = read_one(neighbours, space, [])
    assert student is not None
    assert (student.target_ids.tolist(), student.target_counts.tolist()) == ([space.end_id], [50])


def test_a_text_with_a_removed_id_or_an_early_end_is_left_out(space: TokenSpace) -> None:
    captured = kept_document(space, "doc", 4)
    for id_ in (int(np.flatnonzero(space.from_teacher < 0)[0]), 1, 300):
        ids = captured.input_ids.copy()
        ids[1] = id_
        assert read_one(replace(captured, input_ids=ids), space, []) is None


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
    student = read_one(captured, space, [])
    assert student is not None
    counts = np.bincount(
        student.target_ids, weights=student.target_counts, minlength=space.vocab_size
    )
    mass = np.zeros(space.vocab_size)
    is_kept = space.from_teacher >= 0
    np.add.at(mass, space.from_teacher[is_kept], probs[0].numpy()[is_kept])
    assert 0.05 < mass.sum() < 0.95
    assert abs(chi_square(counts, mass / mass.sum() * counts.sum())) < 4
