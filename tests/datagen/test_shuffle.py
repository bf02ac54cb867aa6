"""The shuffle is a permutation, whatever n and the key, and looks like no order at all."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.shuffle import key_from, shuffle

keys = st.binary(min_size=16, max_size=16)


@given(n=st.integers(1, 300), key=keys)
def test_every_number_stands_at_one_place(n: int, key: bytes) -> None:
    assert sorted(shuffle(place, n, key) for place in range(n)) == list(range(n))


@given(n=st.integers(2**100, 2**800), places=st.sets(st.integers(0, 2**90), max_size=5), key=keys)
def test_large_ones_stay_inside_and_apart(n: int, places: set[int], key: bytes) -> None:
    shuffled = {shuffle(place, n, key) for place in places}
    assert len(shuffled) == len(places)
    assert all(0 <= number < n for number in shuffled)


@pytest.mark.parametrize("n", [2, 7, 60])
def test_each_number_comes_first_equally_often(n: int) -> None:
    firsts = [shuffle(0, n, key_from(b"test", number)) for number in range(200 * n)]
    counts = [firsts.count(number) for number in range(n)]
    # Binomial with mean 200: 5 standard deviations are 70.
    assert min(counts) > 130
    assert max(counts) < 270


def test_neighbours_do_not_stay_neighbours() -> None:
    numbers = [shuffle(place, 10_000, key_from(b"test")) for place in range(10_000)]
    steps = [abs(a - b) for a, b in pairwise(numbers)]
    # Of two random numbers below n the mean distance is n / 3.
    assert sum(steps) / len(steps) == pytest.approx(10_000 / 3, rel=0.05)


def test_keys_differ_with_their_parts_and_where_one_ends() -> None:
    parts: list[tuple[bytes | int, ...]] = [
        (b"a", b"b"),
        (b"ab",),
        (b"a", b"c"),
        (b"a", 1),
        (b"a", 11),
        (b"a", 1, 1),
    ]
    assert len({key_from(*part) for part in parts}) == len(parts)
