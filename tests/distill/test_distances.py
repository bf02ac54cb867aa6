"""Distances at single positions against plain float64 loops, closed forms, and what must hold for
any two laws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.errors import DistillError
from distill.evaluation.distances import (
    BAND_EDGES,
    NUM_BANDS,
    PositionDistances,
    document_distance,
    position_distances,
    shared_events,
    teacher_law,
)
from distill.evaluation.metrics import distance_metrics
from distill.evaluation.scoring import IntArray

Floats = npt.NDArray[np.float64]
FIGURES = ("forward_kl", "reverse_kl", "accepted", "kept_mass", "entropy", "confidence")


@dataclass(frozen=True)
class Space:
    """The student's end id, and the teacher's id of each student id."""

    end_id: int
    to_teacher: IntArray


def same_ids(vocab_size: int, end_id: int = 1) -> Space:
    return Space(end_id, np.arange(vocab_size, dtype=np.int32))


def some_space(
    rng: np.random.Generator, num_teacher: int, num_student: int, ends: Sequence[int]
) -> Space:
    """A trimmed space: its first id is the teacher's start symbol, its second one the end."""
    others = np.setdiff1d(np.arange(num_teacher), [0, *ends])
    kept = np.sort(rng.choice(others, num_student - 2, replace=False))
    return Space(1, np.array([0, ends[0], *kept], np.int32))


def compare(
    space: Space,
    teacher_NT: Floats,
    student_NS: Floats,
    ends: Sequence[int],
    labels: Sequence[int] | None = None,
) -> PositionDistances:
    came = np.zeros(len(teacher_NT), np.int64) + 2 if labels is None else np.array(labels, np.int64)
    return position_distances(
        teacher_law(torch.from_numpy(teacher_NT), ends),
        torch.from_numpy(student_NS),
        torch.from_numpy(came),
        shared_events(space, ends),
    )


def law_of(logits: Sequence[float]) -> list[float]:
    most = max(logits)
    weights = [math.exp(z - most) for z in logits]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def slow(
    space: Space, teacher: Sequence[float], student: Sequence[float], ends: Sequence[int], came: int
) -> dict[str, float]:
    """The figures of one position by the definitions, event by event."""
    p_ids, q_ids = law_of(teacher), law_of(student)
    teacher_event = {i: ends[0] if i in ends else i for i in range(len(p_ids))}
    p: dict[int, float] = {}
    for i, mass in enumerate(p_ids):
        p[teacher_event[i]] = p.get(teacher_event[i], 0.0) + mass
    q: dict[int, float] = {}
    for i, mass in enumerate(q_ids):
        event = ends[0] if i == space.end_id else teacher_event[int(space.to_teacher[i])]
        q[event] = q.get(event, 0.0) + mass
    kept = math.fsum(p[event] for event in q)
    likeliest = max(q, key=lambda event: q[event])
    label = ends[0] if came == space.end_id else int(space.to_teacher[came])
    return {
        "forward_kl": math.fsum(p[e] / kept * math.log(p[e] / kept / q[e]) for e in q if p[e]),
        "reverse_kl": math.fsum(q[e] * math.log(q[e] / (p[e] / kept)) for e in q if q[e]),
        "accepted": math.fsum(min(p[e], q[e]) for e in q),
        "kept_mass": kept,
        "entropy": -math.fsum(mass * math.log(mass) for mass in p.values() if mass),
        "confidence": q[likeliest],
        "is_right": likeliest == label,
    }


@pytest.mark.parametrize("ends", [(1,), (3, 1), (5, 0), (4, 2, 0)])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 6.0])
def test_figures_equal_plain_loops_over_the_events(ends: tuple[int, ...], sharpness: float) -> None:
    """Also where the teacher's start symbol (0) ends a story, and so does a student's id."""
    rng = np.random.default_rng(len(ends))
    num_teacher, num_student, num_positions = 40, 17, 12
    space = some_space(rng, num_teacher, num_student, ends)
    teacher = sharpness * rng.normal(size=(num_positions, num_teacher))
    student = sharpness * rng.normal(size=(num_positions, num_student))
    came = rng.integers(1, num_student, num_positions).tolist()
    found = compare(space, teacher, student, ends, came)
    for place in range(num_positions):
        expected = slow(space, teacher[place].tolist(), student[place].tolist(), ends, came[place])
        for name in FIGURES:
            assert getattr(found, name)[place] == pytest.approx(expected[name], rel=1e-11), name
        assert found.is_right[place] == expected["is_right"]


@pytest.mark.parametrize("vocab_size", [512, 49_152])
def test_float32_logits_of_any_width_give_the_float64_figures(vocab_size: int) -> None:
    """The float32 logits are the input; nothing after them is float32."""
    rng = np.random.default_rng(vocab_size)
    teacher = (4 * rng.normal(size=(2, vocab_size))).astype(np.float32)
    student = (4 * rng.normal(size=(2, vocab_size))).astype(np.float32)
    space = same_ids(vocab_size)
    found = position_distances(
        teacher_law(torch.from_numpy(teacher), [1]),
        torch.from_numpy(student),
        torch.zeros(2, dtype=torch.int64),
        shared_events(space, [1]),
    )
    for place in range(2):
        t, s = (z[place].astype(np.float64).tolist() for z in (teacher, student))
        expected = slow(space, t, s, [1], 0)
        for name in FIGURES:
            assert getattr(found, name)[place] == pytest.approx(expected[name], rel=1e-11)


def test_a_student_that_is_its_teacher_is_at_no_distance() -> None:
    logits = 5 * np.random.default_rng(0).normal(size=(30, 64))
    found = compare(same_ids(64), logits, logits, [1])
    assert found.forward_kl == pytest.approx(np.zeros(30), abs=1e-14)
    assert found.reverse_kl == pytest.approx(np.zeros(30), abs=1e-14)
    assert found.accepted == pytest.approx(np.ones(30), abs=1e-14)
    assert found.kept_mass == pytest.approx(np.ones(30), abs=1e-14)


def test_a_teacher_cut_to_the_students_ids_leaves_only_what_it_lacks() -> None:
    """The student is the teacher conditioned on its ids: no divergence, and a draft is kept as
    often as the teacher stays within them.
    """
    rng = np.random.default_rng(1)
    teacher = 2 * rng.normal(size=(20, 50))
    space = some_space(rng, 50, 20, [1])
    found = compare(space, teacher, teacher[:, space.to_teacher], [1])
    assert found.forward_kl == pytest.approx(np.zeros(20), abs=1e-13)
    assert found.reverse_kl == pytest.approx(np.zeros(20), abs=1e-13)
    assert found.accepted == pytest.approx(found.kept_mass)
    assert (found.kept_mass < 0.95).all()


def test_a_uniform_student_is_ln_v_less_the_teachers_entropy_away() -> None:
    teacher = 3 * np.random.default_rng(2).normal(size=(25, 300))
    found = compare(same_ids(300), teacher, np.zeros((25, 300)), [1])
    assert found.forward_kl == pytest.approx(math.log(300) - found.entropy, rel=1e-12)
    uniform = compare(same_ids(300), np.zeros((25, 300)), teacher, [1])
    assert uniform.entropy == pytest.approx(np.full(25, math.log(300)), rel=1e-13)


def test_two_laws_of_two_events_by_hand() -> None:
    p, q = (0.75, 0.25), (0.5, 0.5)
    teacher, student = (np.log(np.array([[*law]])) for law in (p, q))
    found = compare(same_ids(2), teacher, student, [1], [0])
    assert found.forward_kl[0] == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert found.reverse_kl[0] == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert found.accepted[0] == pytest.approx(0.75)


@given(seed=st.integers(0, 2**31), sharpness=st.floats(0.01, 60), is_trimmed=st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_holds_for_any_two_laws(seed: int, sharpness: float, is_trimmed: bool) -> None:
    rng = np.random.default_rng(seed)
    ends, num_teacher = (3, 1), 24
    space = some_space(rng, num_teacher, 9, ends) if is_trimmed else same_ids(num_teacher, 3)
    teacher = sharpness * rng.normal(size=(6, num_teacher))
    student = sharpness * rng.normal(size=(6, len(space.to_teacher)))
    found = compare(space, teacher, student, ends)
    assert (found.forward_kl >= 0).all()
    assert (found.reverse_kl >= 0).all()
    assert (found.accepted <= found.kept_mass + 1e-12).all()
    assert (found.entropy <= math.log(num_teacher - 1) + 1e-12).all()
    if not is_trimmed:
        assert found.kept_mass == pytest.approx(np.ones(6), abs=1e-12)
    assert found.accepted == pytest.approx(1 - _total_variation(space, teacher, student), abs=1e-12)


def _total_variation(space: Space, teacher: Floats, student: Floats) -> Floats:
    """Half the sum of |p - q| over all events of the teacher; 1 and 3 end a story."""
    p, q = np.zeros_like(teacher), np.zeros_like(teacher)
    for row in range(len(teacher)):
        p[row] = law_of(teacher[row].tolist())
        q[row, space.to_teacher] = law_of(student[row].tolist())
    for law in (p, q):
        law[:, 3] += law[:, 1]
        law[:, 1] = 0
    return np.asarray(np.abs(p - q).sum(axis=1) / 2)


def test_logits_that_are_not_finite_are_refused() -> None:
    good = np.zeros((2, 8))
    for bad in (math.nan, math.inf, -math.inf):
        broken = good.copy()
        broken[1, 4] = bad
        with pytest.raises(DistillError, match="expected finite logits"):
            compare(same_ids(8), broken, good, [1])
        with pytest.raises(DistillError, match="expected finite logits"):
            compare(same_ids(8), good, broken, [1])


def test_a_space_with_two_ids_for_one_is_refused() -> None:
    space = Space(1, np.array([0, 1, 2, 2], np.int32))
    with pytest.raises(DistillError, match="expected a token space"):
        shared_events(space, [1])


def said(*entropies: float, confidence: float = 0.5, is_right: bool = True) -> PositionDistances:
    """Positions of those entropies, whose other figures follow from their place."""
    count: Floats = np.arange(1, len(entropies) + 1).astype(np.float64)
    return PositionDistances(
        forward_kl=count,
        reverse_kl=2 * count,
        accepted=count / 10,
        kept_mass=np.ones(len(entropies)),
        entropy=np.array(entropies),
        confidence=np.full(len(entropies), confidence),
        is_right=np.full(len(entropies), is_right),
    )


def test_positions_are_added_up_in_the_band_of_the_teachers_entropy() -> None:
    first, last = BAND_EDGES[0], BAND_EDGES[-1]
    pieces = [said(0.0, last + 1), said(first, np.nextafter(first, 0))]
    found = document_distance("d", pieces)
    assert found.num_positions == 4
    assert [band.num_positions for band in found.bands] == [2, 1, *[0] * (NUM_BANDS - 3), 1]
    assert found.bands[0].forward_kl == 1 + 2
    assert found.bands[1].reverse_kl == 2
    assert found.bands[-1].accepted == pytest.approx(0.2)
    for band in found.bands:
        assert band.kept_mass == band.num_positions
        assert sum(band.reliability.num_tokens) == band.num_positions


def test_a_document_that_is_not_compared_has_empty_bands() -> None:
    found = document_distance("d", [])
    assert found.num_positions == 0
    assert len(found.bands) == NUM_BANDS


def test_metrics_are_sums_over_positions_and_count_compared_documents() -> None:
    documents = [
        document_distance("a", [said(0.0, 0.1, 9.0)]),
        document_distance("b", [said(0.0, confidence=0.9, is_right=False)]),
        document_distance("c", []),
    ]
    found = {metric.metric: metric for metric in distance_metrics(documents, seed=0)}
    assert found["forward_kl"].value == pytest.approx((1 + 2 + 3 + 1) / 4)
    assert found["reverse_kl"].value == pytest.approx(2 * found["forward_kl"].value)
    assert found["accepted_share"].value == pytest.approx(0.7 / 4)
    assert found["kept_mass"].value == found["kept_mass"].high == 1
    assert found["forward_kl"].low <= found["forward_kl"].value <= found["forward_kl"].high
    assert {metric.n for metric in found.values() if metric.metric != f"ece_band_{NUM_BANDS}"} == {
        2
    }
    assert found[f"ece_band_{NUM_BANDS}"].n == 1
    assert found["ece_band_1"].value == pytest.approx((abs(2 - 2 * 0.5) + abs(0 - 0.9)) / 3)
    assert "ece_band_2" not in found
    assert distance_metrics(documents[2:], seed=0) == []


def test_one_document_alone_has_an_interval_that_says_nothing() -> None:
    [one] = [
        metric
        for metric in distance_metrics([document_distance("a", [said(0.0)])], seed=0)
        if metric.metric == "accepted_share"
    ]
    assert (one.low, one.high) == (0.0, 1.0)
