"""What diversity's measures say of texts that a person can count, and of templates."""

import math
import random

import pytest

from datagen.config import DiversityConfig
from datagen.diversity import (
    Measure,
    compression_ratio,
    distinct_share,
    measure_diversity,
    names_of,
    overlap,
    self_bleu,
)

CONFIG = DiversityConfig(min_stories=1, num_words=1000, num_sampled=50)
TEMPLATE = [
    f"Once upon a time there was a little girl named Lily who had {n} cats." for n in range(9)
]
VARIED = [
    "A fox ran home when it saw the rain, said Tom.",
    "In the old house by the sea lived two small mice with a drum.",
    "Nobody knew why the moon was green on that night but Ben.",
    "Under her bed, Anna keeps a box of stones from every river.",
]


def _measures(texts: list[str], config: DiversityConfig = CONFIG) -> dict[str, Measure]:
    return {measure.name: measure for measure in measure_diversity(texts, [], config)}


def test_the_most_common_opening_and_name_are_counted() -> None:
    found = _measures([*TEMPLATE, *VARIED])
    assert found["opening_3"].value == found["opening_5"].value == round(9 / 13, 6)
    assert found["opening_3"].evidence.startswith('"once upon a" 9, "')
    assert found["opening_5"].n == 13
    assert found["name_share"].value == round(9 / 13, 6)
    assert found["name_share"].evidence == '"Lily" 9, "Anna" 1, "Ben" 1'


def test_a_name_stands_inside_a_sentence_and_is_not_mostly_lower_case() -> None:
    texts = ["Once, Tom saw Mom. The dog ran.", "So mom and her mom sat. Ben ran."]
    assert names_of(texts) == [{"Tom"}, set()]


def test_distinct_shares_are_of_the_n_grams_inside_texts() -> None:
    texts = ["a b a b".split(), "a b".split()]
    assert distinct_share(texts, 1) == pytest.approx(2 / 6)
    assert distinct_share(texts, 2) == pytest.approx(2 / 4)
    assert distinct_share(texts, 3) == 1.0
    assert distinct_share([], 1) == 1.0


def test_self_bleu_is_sacrebleus() -> None:
    """Against sacrebleu 2.6.0: sentence_score without smoothing, tokenize="none"."""
    texts = [
        "the cat sat on the mat and the cat saw a big dog in the sun",
        "a big dog in the sun saw the cat sat on the red mat",
        "the cat sat on the mat",
        "one day the little bird sat on the mat and the cat saw a big fish",
        "the the the the the the",
    ]
    expected = [0.9480068745915912, 0.55700626230472, 1.0, 0.59687741756345, 0.0]
    assert self_bleu([text.split() for text in texts]) == pytest.approx(expected, abs=1e-12)


def test_self_bleu_of_one_text_or_of_strangers_is_zero() -> None:
    assert self_bleu([]) == []
    assert self_bleu(["a b c d e".split()]) == [0.0]
    assert self_bleu(["a b c d e".split(), "f g h i j".split(), ["a"]]) == [0.0, 0.0, 0.0]


def test_templates_look_narrower_than_varied_texts_by_every_measure() -> None:
    narrow, wide = _measures(TEMPLATE[:4]), _measures(VARIED)
    assert narrow.keys() == wide.keys()
    for name, measure in narrow.items():
        if name.startswith("distinct"):
            assert measure.value < wide[name].value
        else:
            assert measure.value > wide[name].value
    assert compression_ratio(TEMPLATE) > 2 * compression_ratio(VARIED)


def test_the_size_of_a_corpus_does_not_move_what_is_measured_on_so_many_words() -> None:
    rng = random.Random(1)
    words = [f"w{i}" for i in range(200)]
    texts = [" ".join(rng.choices(words, k=40)) for _ in range(400)]
    small, large = _measures(texts[:40]), _measures(texts)
    for name in ("distinct_1", "distinct_2", "distinct_3", "compression"):
        assert small[name].n == large[name].n == 1000
        assert large[name].value == pytest.approx(small[name].value, rel=0.05)


def test_measures_follow_from_the_texts_not_from_their_order() -> None:
    texts = [*TEMPLATE, *VARIED]
    config = CONFIG.model_copy(update={"num_words": 100, "num_sampled": 5})
    assert _measures(texts, config) == _measures(texts[::-1], config)


def test_overlap_is_the_share_of_different_five_grams_seen_before() -> None:
    now = ["one two three four five six", "one two three four five", "Hi there."]
    earlier = [["zero one two three four five"], [], ["nothing here at all to see"]]
    assert overlap(now, earlier) == (pytest.approx(1 / 3), 3)
    assert overlap(now, []) is None
    assert overlap(now, [[]]) is None


def test_limits_bind_from_their_own_side_and_only_where_there_are_enough_texts() -> None:
    config = CONFIG.model_copy(
        update={"max_opening_3": 0.5, "min_distinct_1": 0.9, "max_self_bleu": 1.0}
    )
    found = _measures(TEMPLATE, config)
    broken = {name for name, measure in found.items() if not measure.is_within}
    assert broken == {"opening_3", "distinct_1"}
    assert found["opening_3"].bound == 0.5
    assert found["distinct_1"].bound == 0.9
    assert found["name_share"].bound is None
    few = _measures(TEMPLATE, config.model_copy(update={"min_stories": 10}))
    assert all(measure.is_within and measure.bound is None for measure in few.values())


def test_a_value_at_its_limit_is_within() -> None:
    config = CONFIG.model_copy(update={"max_opening_3": 1.0, "min_distinct_1": 0.0})
    assert all(measure.is_within for measure in _measures(TEMPLATE, config).values())


def test_no_text_has_no_measure_and_short_ones_have_all() -> None:
    assert measure_diversity([], [], CONFIG) == []
    assert measure_diversity(["...", " "], [["a"]], CONFIG) == []
    found = measure_diversity(["Hi.", "Oh no!"], [["a b"]], CONFIG)
    assert all(math.isfinite(measure.value) for measure in found)
    assert [measure.name for measure in found] == [
        "opening_3", "opening_5", "name_share", "distinct_1", "distinct_2", "distinct_3",
        "self_bleu", "compression", "overlap",
    ]  # fmt: skip


def test_every_limit_of_the_recipe_is_of_a_measure() -> None:
    names = {measure.name for measure in measure_diversity(VARIED, [TEMPLATE], CONFIG)}
    limits = {field.partition("_")[2] for field in DiversityConfig.model_fields
              if field.startswith(("max_", "min_")) and field != "min_stories"}  # fmt: skip
    assert limits == names
