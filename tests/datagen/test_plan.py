"""The plan: item i depends on vocabulary, family, seed and i alone; combinations come once, words
equally often.
"""

import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from datagen.errors import VocabularyError
from datagen.families import Family, load_family, parse_family
from datagen.plan import Plan, PromptSpec
from datagen.vocabulary import Vocabulary, load_vocabulary, parse_vocabulary

AGE3 = load_vocabulary("age3")
STORY = load_family("story")
HEADER = "lemma\tpart_of_speech\tforms\tweight\n"
seeds = st.integers(0, 2**63 - 1)
indices = st.integers(0, 2**40)


def _vocabulary(*lines: str) -> Vocabulary:
    """Each line: lemma, part of speech, forms, weight (1 if left out), parted by spaces."""
    rows = ["\t".join([*line.split(), "1"][:4]) for line in lines]
    return parse_vocabulary("small", "s.tsv", (HEADER + "\n".join(rows)).encode())


def _family(slots: str) -> Family:
    text = 'name = "f"\nversion = 1\ndescription = ""\ninstruction = "i"\nopening = "o"\n'
    return parse_family("f.toml", (text + slots).encode())


def _combination(spec: PromptSpec) -> tuple[tuple[str, ...], ...]:
    return tuple(spec.values.values())


@given(seed=seeds, order=st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_items_do_not_depend_on_the_order_they_are_asked_in(seed: int, order: list[int]) -> None:
    plan, again = Plan(AGE3, STORY, seed), Plan(AGE3, load_family("story"), seed)
    asked = {index: plan[index] for index in order}
    assert asked == {index: again[index] for index in sorted(order)}


@given(seed=seeds, index=indices)
def test_no_form_belongs_to_two_required_words(seed: int, index: int) -> None:
    spec = Plan(AGE3, STORY, seed)[index]
    forms = [AGE3.forms_of(word.lemma, word.part_of_speech) for word in spec.required]
    assert len(frozenset[str]().union(*forms)) == sum(map(len, forms))
    assert [str(word.part_of_speech) for word in spec.required] == ["verb", "noun", "adjective"]
    assert spec.words == tuple(spec.values[name][0] for name in ("verb", "noun", "adjective"))
    assert (spec.plan_index, spec.family, spec.sentence) == (index, "story", None)


def test_a_known_plan_stays_as_it_is() -> None:
    lines = [f"{part}{i} {part} {part}{i}" for part in ("verb", "noun") for i in "abcdefgh"]
    plan = Plan(_vocabulary(*lines, *(f"adj{i} adjective adj{i}" for i in "abcdefgh")), STORY, 1)
    assert [plan[i].words for i in (0, 1, 2**40)] == [
        ("verbe", "nouna", "adjb"),
        ("verbc", "noung", "adjh"),
        ("verbg", "nound", "adjf"),
    ]
    assert [plan[i].values["features"] for i in range(4)] == [
        ("dialogue", "foreshadowing"),
        ("foreshadowing", "plot_twist"),
        (),
        ("dialogue",),
    ]


PARTS = ("verb", "noun", "adjective")
CLASHING = _vocabulary(
    "walk verb walk,walked",
    "play verb play,played",
    "lose verb lose,lost",
    "light verb light,lit",
    "walk noun walk,walks",
    "play noun play,plays",
    "light noun light,lights",
    "boat noun boat,boats",
    "toy noun toy,toys",
    "lost adjective lost",
    "light adjective light,lighter",
    "red adjective red",
    "big adjective big,bigger",
)


@pytest.mark.parametrize("seed", range(5))
def test_every_combination_at_most_once_and_nearly_all_of_them(seed: int) -> None:
    plain = _family("\n".join(f'[slots.{p}]\nkind = "word"\npart_of_speech = "{p}"' for p in PARTS))
    plan = Plan(CLASHING, plain, seed)
    made = [plan[index].words for index in range(plan.num_combinations)]
    assert len(set(made)) == len(made)
    words = [[w for w in CLASHING.words if w.part_of_speech == part] for part in PARTS]
    allowed = {
        tuple(word.lemma for word in chosen)
        for chosen in itertools.product(*words)
        if len({form for word in chosen for form in word.forms})
        == sum(len(w.forms) for w in chosen)
    }
    assert set(made) <= allowed
    # 5 nouns; 4 verbs, of which a noun takes up to one; 4 adjectives, of which both take up to two.
    assert plan.num_combinations == 5 * 3 * 2
    over_cycles = {plan[index].words for index in range(40 * plan.num_combinations)}
    assert over_cycles == allowed


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    num_nouns=st.integers(1, 9),
    seed=seeds,
    cycle=st.integers(0, 3),
)
def test_each_cycle_goes_through_all_combinations(
    sizes: list[int], num_nouns: int, seed: int, cycle: int
) -> None:
    nouns = _vocabulary(*(f"n{letter} noun n{letter}" for letter in "abcdefghi"[:num_nouns]))
    choices = (
        f'[slots.c{number}]\nkind = "choice"\nvalues = {[str(v) for v in range(size)]}'
        for number, size in enumerate(sizes)
    )
    family = _family("\n".join(['[slots.n]\nkind = "word"\npart_of_speech = "noun"', *choices]))
    plan = Plan(nouns, family, seed)
    total = plan.num_combinations
    made = {_combination(plan[index]) for index in range(cycle * total, (cycle + 1) * total)}
    assert len(made) == total
    assert total == num_nouns * _product(sizes)


@given(data=st.data(), seed=seeds)
def test_words_that_clash_never_repeat_a_combination(data: st.DataObject, seed: int) -> None:
    shared = st.lists(
        st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=1, max_size=2, unique=True
    )
    lines = [
        f"{forms[0]}{part[0]} {part} {forms[0]}{part[0]},{','.join(forms)}"
        for part in PARTS
        for forms in data.draw(st.lists(shared, min_size=3, max_size=6, unique_by=lambda f: f[0]))
    ]
    try:
        plan = Plan(_vocabulary(*lines), STORY, seed)
    except VocabularyError:
        assume(False)
    specs = [plan[index] for index in range(plan.num_combinations)]
    assert len({spec.words for spec in specs}) == len(specs)
    for spec in specs:
        forms = [
            plan.vocabulary.forms_of(word.lemma, word.part_of_speech) for word in spec.required
        ]
        assert len(frozenset[str]().union(*forms)) == sum(map(len, forms))


def test_words_are_asked_for_equally_often() -> None:
    plan = Plan(AGE3, STORY, 3)
    specs = [plan[index] for index in range(6000)]
    for place, part in enumerate(PARTS):
        words = [w for w in AGE3.words if w.part_of_speech == part]
        counts = Counter(spec.words[place] for spec in specs)
        _assert_fair(counts, {word.lemma: word.weight for word in words}, len(specs))


def test_a_weight_is_how_often_a_word_is_asked_for() -> None:
    lines = [f"{part}{i} {part} {part}{i} {w}" for part in PARTS for i, w in (("a", 1), ("b", 4))]
    plan = Plan(_vocabulary(*lines), STORY, 1)
    assert plan.num_combinations == 125
    counts = Counter(plan[index].words[1] for index in range(125))
    assert counts == {"nouna": 25, "nounb": 100}


def test_features_come_one_and_a_half_at_a_time_and_often_not_at_all() -> None:
    plan = Plan(AGE3, STORY, 7)
    features = [plan[index].values["features"] for index in range(2000)]
    counts = Counter(map(len, features))
    assert sum(n * times for n, times in counts.items()) / 2000 == pytest.approx(1.5, abs=0.1)
    assert counts[0] / 2000 == pytest.approx(0.178, abs=0.035)
    assert all(list(names) == sorted(names) for names in features)
    assert {name for names in features for name in names} == set(STORY.slots["features"].values)  # type: ignore[union-attr]


def test_optional_choices_come_at_their_rate_and_their_values_equally_often() -> None:
    family = _family(
        '[slots.a]\nkind = "choice"\nvalues = ["x"]\n'
        '[slots.b]\nkind = "choice"\nvalues = { p = 1, q = 3 }\nprobability = 0.3\n'
    )
    plan = Plan(AGE3, family, 5)
    counts = Counter(plan[index].values["b"] for index in range(4000))
    assert counts[()] / 4000 == pytest.approx(0.7, abs=0.03)
    assert counts[("q",)] / (counts[("p",)] + counts[("q",)]) == pytest.approx(0.75, abs=0.05)


def test_a_sentence_comes_at_its_rate_and_holds_the_slots_values() -> None:
    family = load_family("simple-story")
    plan = Plan(AGE3, family, 2)
    specs = [plan[index] for index in range(1000)]
    told = [spec for spec in specs if spec.sentence is not None]
    assert len(told) / 1000 == pytest.approx(family.sentence_probability, abs=0.03)
    assert all(spec.values["adjective"][0] in str(spec.sentence) for spec in told)


def test_an_optional_word_is_not_required() -> None:
    family = _family('[slots.n]\nkind = "word"\npart_of_speech = "noun"\nrequired = false\n')
    spec = Plan(AGE3, family, 1)[0]
    assert (spec.required, len(spec.values["n"])) == ((), 1)


def test_a_topic_narrows_the_words() -> None:
    lines = b"lemma\tpart_of_speech\tforms\ttopic\ncat\tnoun\tcat\tpet\nbus\tnoun\tbus\t\n"
    pets = parse_vocabulary("pets", "p.tsv", lines)
    slot = '[slots.n]\nkind = "word"\npart_of_speech = "noun"\ntopic = "%s"\n'
    assert {Plan(pets, _family(slot % "pet"), 1)[i].words for i in range(5)} == {("cat",)}
    said = (
        r"pets: expected at least one noun of the topic 'toy', as the family f asks for one \(n\)"
    )
    with pytest.raises(VocabularyError, match=said):
        Plan(pets, _family(slot % "toy"), 1)


def test_another_seed_and_another_index_ask_for_other_words() -> None:
    plans = [Plan(AGE3, STORY, seed) for seed in range(10)]
    words = {plan[index].words for plan in plans for index in range(10)}
    assert len(words) == 100


def test_a_vocabulary_with_nothing_to_draw_is_refused() -> None:
    small = _vocabulary("play verb play", "play noun play", "red adjective red")
    with pytest.raises(VocabularyError, match=r"small: expected at least one noun that shares no"):
        Plan(small, STORY, 0)
    with pytest.raises(VocabularyError, match=r"small: expected at least one adjective, as the"):
        Plan(_vocabulary("run verb run", "cat noun cat"), STORY, 0)


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(ValueError, match=r"plan index: expected 0 or more, found -1"):
        Plan(AGE3, STORY, 0)[-1]


def _assert_fair(counts: Counter[str], weights: dict[str, int], num_items: int) -> None:
    """Each count within 4 standard deviations of what independent draws would give."""
    for word, weight in weights.items():
        share = weight / sum(weights.values())
        deviation = counts[word] - num_items * share
        assert abs(deviation) <= 4 * (num_items * share * (1 - share)) ** 0.5, word


def _product(numbers: Sequence[int]) -> int:
    total = 1
    for number in numbers:
        total *= number
    return total
