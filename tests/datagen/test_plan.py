"""The plan: item i depends on vocabulary, seed and i, and on nothing else."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.errors import VocabularyError
from datagen.plan import FEATURES, plan_item
from datagen.vocabulary import PartOfSpeech, load_vocabulary, parse_vocabulary

AGE3 = load_vocabulary("age3")
AGE3_AGAIN = load_vocabulary("age3")
HEADER = b"lemma\tpart_of_speech\tforms\n"
seeds = st.integers(0, 2**63 - 1)
indices = st.integers(0, 2**40)


@given(seed=seeds, order=st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_items_do_not_depend_on_the_order_they_are_asked_in(seed: int, order: list[int]) -> None:
    asked = {index: plan_item(AGE3, seed, index) for index in order}
    again = {index: plan_item(AGE3_AGAIN, seed, index) for index in sorted(order)}
    assert asked == again


@given(seed=seeds, index=indices)
def test_words_are_of_their_part_and_share_no_form(seed: int, index: int) -> None:
    spec = plan_item(AGE3, seed, index)
    verb = AGE3.forms_of(spec.verb, PartOfSpeech.VERB)
    noun = AGE3.forms_of(spec.noun, PartOfSpeech.NOUN)
    adjective = AGE3.forms_of(spec.adjective, PartOfSpeech.ADJECTIVE)
    assert len(verb | noun | adjective) == len(verb) + len(noun) + len(adjective)
    assert spec.words == (spec.verb, spec.noun, spec.adjective)
    assert spec.plan_index == index


@given(seed=seeds, index=indices)
def test_features_are_known_and_sorted(seed: int, index: int) -> None:
    features = plan_item(AGE3, seed, index).features
    assert set(features) <= set(FEATURES)
    assert list(features) == sorted(features)


def test_a_known_plan_stays_as_it_is() -> None:
    lines = [f"{part}{i}\t{part}\t{part}{i}" for part in ("verb", "noun") for i in "abcdefgh"]
    lines += [f"adj{i}\tadjective\tadj{i}" for i in "abcdefgh"]
    vocabulary = parse_vocabulary("known", "k.tsv", HEADER + "\n".join(lines).encode())
    spec = plan_item(vocabulary, 1, 0)
    assert spec.words == ("verba", "nound", "adjc")
    assert spec.features == ("conflict", "moral")


def test_features_come_one_and_a_half_at_a_time_and_often_not_at_all() -> None:
    counts = Counter(len(plan_item(AGE3, 7, index).features) for index in range(1000))
    assert sum(n * times for n, times in counts.items()) / 1000 == pytest.approx(1.5, abs=0.15)
    assert counts[0] / 1000 == pytest.approx(0.18, abs=0.05)


def test_another_seed_and_another_index_ask_for_other_words() -> None:
    words = {plan_item(AGE3, seed, index).words for seed in range(10) for index in range(10)}
    assert len(words) == 100


def test_every_verb_is_drawn_sooner_or_later() -> None:
    drawn = {plan_item(AGE3, 3, index).verb for index in range(2500)}
    assert drawn == set(AGE3.lemmas(PartOfSpeech.VERB))


def test_a_vocabulary_with_nothing_to_draw_is_refused() -> None:
    small = parse_vocabulary("small", "s.tsv", HEADER + b"play\tverb\tplay\nplay\tnoun\tplay\n")
    with pytest.raises(VocabularyError, match=r"small: expected at least one noun that shares no"):
        plan_item(small, 0, 0)


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(ValueError, match=r"plan index: expected 0 or more, found -1"):
        plan_item(AGE3, 0, -1)
