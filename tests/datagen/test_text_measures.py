"""What text_measures says of texts that a person can count; corpus and samples go through it
alike.
"""

import pytest

from datagen.config import DiversityConfig
from datagen.measures import words_of
from datagen.memorisation import Copied, find_copies
from datagen.quality import reading_grade
from datagen.text_measures import TextMeasure, measure_copies, measure_texts
from datagen.vocabulary import load_vocabulary
from tests.datagen.specs import story_spec
from tests.tiny_teacher import make_stories

AGE3 = load_vocabulary("age3")
CONFIG = DiversityConfig(min_stories=1, num_words=1000, num_sampled=50)
SPEC = story_spec("run", "mouse", "good")
TEXTS = ["The mouse runs.", "A good mouse ran and quantified.", ""]


def _found(texts: list[str], config: DiversityConfig = CONFIG) -> dict[str, TextMeasure]:
    measures = measure_texts(texts, [SPEC] * len(texts), AGE3, config)
    return {measure.name: measure for measure in measures}


def test_adherence_is_counted_by_listed_form_and_strictly() -> None:
    found = _found(TEXTS)
    assert found["adherence"].tops == (1.0, pytest.approx(5 / 6), 1.0)
    assert found["adherence_strict"].tops == (pytest.approx(2 / 3), pytest.approx(4 / 6), 1.0)
    assert found["inside_vocabulary"].value == pytest.approx(2 / 3)
    assert found["required_words"].tops == (pytest.approx(2 / 3), 1.0, 0.0)
    assert {found[name].n for name in ("adherence", "required_words")} == {3}


def test_texts_without_words_have_no_grade_and_no_likeness() -> None:
    found = _found(TEXTS)
    assert found["reading_grade"].n == 2
    assert found["reading_grade"].value == pytest.approx(
        (reading_grade(TEXTS[0]) + reading_grade(TEXTS[1])) / 2
    )
    assert found["opening_3"].n == 2
    assert _found([""]).keys() == {
        "adherence", "adherence_strict", "inside_vocabulary", "required_words"
    }  # fmt: skip
    assert measure_texts([], [], AGE3, CONFIG) == []


def test_shares_of_texts_are_one_or_nothing_of_each_text() -> None:
    texts = ["One day Tom ran.", "One day Tom sat.", "Now it ran.", "Here it sat."]
    found = _found(texts)
    assert sorted(found["opening_3"].tops) == [0.0, 0.0, 1.0, 1.0]
    assert found["opening_3"].value == 0.5
    for name in ("distinct_2", "self_bleu", "compression"):
        assert (found[name].tops, found[name].bottoms) == ((), ())


def test_a_value_is_what_its_parts_say() -> None:
    for measure in _found(make_stories(30, seed=1)).values():
        if measure.bottoms:
            assert measure.value == pytest.approx(sum(measure.tops) / sum(measure.bottoms))
        elif measure.tops:
            assert measure.value == pytest.approx(sum(measure.tops) / len(measure.tops))
            assert 0 <= min(measure.tops) <= max(measure.tops) <= 1


def test_copies_are_summed_over_texts() -> None:
    stories = make_stories(40, seed=2)
    training = [(str(place), text) for place, text in enumerate(stories[:30])]
    copies = find_copies([stories[0], "Hi there."], [training])
    found = {measure.name: measure for measure in measure_copies(copies)}
    num_words = len(words_of(stories[0]))
    assert found["copied_8"] == TextMeasure("copied_8", 1.0, 1, (1.0,))
    assert found["copied_run"].tops == (float(num_words), 0.0)
    assert found["longest_copied_run"] == TextMeasure("longest_copied_run", float(num_words), 2)


def test_texts_too_short_for_an_n_gram_have_no_share() -> None:
    copies = [Copied((0, 0, 0), (0, 0, 0), 0, 0, None)]
    assert [measure.name for measure in measure_copies(copies)] == [
        "copied_run", "longest_copied_run"
    ]  # fmt: skip
    assert measure_copies([]) == []
