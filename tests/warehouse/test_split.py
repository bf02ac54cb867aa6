"""The held-out split: decided by words, uniform, and nested in the share."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.split import is_held_out, split_digest, text_split_digest


def test_order_and_case_of_the_words_do_not_matter() -> None:
    digests = {split_digest(words) for words in permutations(["jump", "Boat", "HAPPY"])}
    assert digests == {split_digest(("happy", "jump", "boat"))}


def test_other_words_have_another_digest() -> None:
    assert split_digest(["jump", "boat", "happy"]) != split_digest(["jump", "boat", "sad"])
    assert split_digest(["ab", "c"]) != split_digest(["a", "bc"])


def test_the_salt_never_changes() -> None:
    assert split_digest(["jump", "boat", "happy"]) == "b814acffae8fe8e2b5502cf03eb60dcb"
    assert text_split_digest("A boat.") == "5bbc25ca507811983fa8160b960a023e"


def test_no_words_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected at least one word, found none"):
        split_digest([])


def test_a_text_is_known_by_its_words_alone() -> None:
    assert text_split_digest(" The boat,\n\nTHE sea! ") == text_split_digest("the boat the sea")
    assert text_split_digest("the boat the sea") != text_split_digest("the sea the boat")
    assert text_split_digest("boat sea") != split_digest(["boat", "sea"])


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_what_a_small_share_holds_out_a_larger_one_does_too(text: str, a: float, b: float) -> None:
    digest = text_split_digest(text)
    assert is_held_out(digest, min(a, b)) <= is_held_out(digest, max(a, b))
    assert not is_held_out(digest, 0.0)
    assert is_held_out(digest, 1.0)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
def test_the_share_held_out_is_the_share_asked_for(share: float) -> None:
    digests = [split_digest([str(number), "boat", "happy"]) for number in range(5000)]
    held_out = sum(is_held_out(digest, share) for digest in digests) / len(digests)
    assert held_out == pytest.approx(share, abs=4 * (share * (1 - share) / 5000) ** 0.5)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"share of held-out texts: expected 0 to 1, found"):
        is_held_out(split_digest(["a"]), share)
