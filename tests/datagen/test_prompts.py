"""What the teacher is told: every shipped family's wording, and the id of a prompt."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.families import SubsetSlot, load_family, shipped_families
from datagen.instruct import ask_of
from datagen.measures import required_hits, words_of
from datagen.plan import Plan
from datagen.prompts import instruction, opening, prompt_id
from datagen.templates import article
from datagen.vocabulary import load_vocabulary, parse_vocabulary
from tests.datagen.specs import story_spec

AGE3 = load_vocabulary("age3")
FAMILIES = {name: load_family(name) for name in shipped_families()}
STORY = Plan(AGE3, load_family("story"), 1)
FEATURES = ("bad_ending", "conflict", "dialogue", "foreshadowing", "moral", "plot_twist")
seeds = st.integers(0, 2**63 - 1)


@pytest.mark.parametrize(
    ("noun", "adjective", "begins"),
    [
        ("boat", "happy", "there was a happy boat. The boat liked to jump."),
        ("boat", "old", "there was an old boat. The boat liked to jump."),
        ("apple", "big", "there was a big apple. The apple liked to jump."),
        ("sand", "ugly", "there was some ugly sand. The sand liked to jump."),
        ("clothes", "new", "there were some new clothes. The clothes liked to jump."),
        ("glass", "empty", "there was an empty glass. The glass liked to jump."),
    ],
)
def test_a_storys_opening_agrees_with_its_noun(noun: str, adjective: str, begins: str) -> None:
    lines = [
        "lemma\tpart_of_speech\tforms",
        "jump\tverb\tjump",
        f"{adjective}\tadjective\t{adjective}",
    ]
    forms = {"sand": "sand", "clothes": "clothes"}.get(noun, f"{noun},{noun}s")
    words = parse_vocabulary("w", "w.tsv", "\n".join([*lines, f"{noun}\tnoun\t{forms}"]).encode())
    told = opening(Plan(words, STORY.family, 1), story_spec("jump", noun, adjective))
    assert told == f"Once upon a time, {begins}"


@pytest.mark.parametrize(
    ("features", "named"),
    [
        ((), ""),
        (("dialogue",), " with dialogue"),
        (("bad_ending", "moral"), " with a sad ending and a moral"),
        (
            FEATURES,
            " with a sad ending and a quarrel and dialogue and a hint at the start and a moral and "
            "a surprise",
        ),
    ],
)
def test_a_story_is_ordered_in_these_words(features: tuple[str, ...], named: str) -> None:
    assert instruction(STORY, story_spec("jump", "boat", "happy", *features)) == (
        f"Write a very short story{named} for a small child about "
        '"the happy boat that wanted to jump". '
        'Use the words "jump" and "happy boat". '
        "Use only simple words. Write 4 sentences."
    )


@pytest.mark.parametrize("name", shipped_families())
@settings(max_examples=40)
@given(seed=seeds, index=st.integers(0, 10**6))
def test_every_shipped_family_words_every_item(name: str, seed: int, index: int) -> None:
    plan = Plan(AGE3, FAMILIES[name], seed)
    spec = plan[index]
    told, begun = instruction(plan, spec), opening(plan, spec)
    summary = ask_of(plan.family, spec.values, spec.sentence, AGE3).summary or ""
    for text in (told, begun, summary):
        assert text
        assert "  " not in text
        assert "\n" not in text
        assert text[0].isupper()
        assert text.endswith((".", "!", "?"))
    assert required_hits(words_of(begun), spec, AGE3) == len(spec.required)
    assert required_hits(words_of(told), spec, AGE3) == len(spec.required)
    if spec.sentence is not None:
        assert spec.sentence in told
        assert spec.sentence in begun


@pytest.mark.parametrize("name", shipped_families())
def test_each_value_of_a_shipped_family_changes_the_instruction(name: str) -> None:
    plan = Plan(AGE3, load_family(name), 1)
    spec = plan[0]
    told = {}
    for slot_name, slot in plan.family.slots.items():
        for value in getattr(slot, "values", ()):
            changed = {**spec.values, slot_name: (value,)}
            shown = plan.family.template_values(changed, None, AGE3)
            told[slot_name, value] = plan.family.told("instruction", shown)
    by_slot = {name: [told[key] for key in told if key[0] == name] for name, _ in told}
    assert all(len(set(texts)) == len(texts) for texts in by_slot.values())
    assert any(isinstance(slot, SubsetSlot) for slot in plan.family.slots.values()) or name not in (
        "story",
        "reply",
    )


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("apple", "an"),
        ("boat", "a"),
        ("hour", "an"),
        ("house", "a"),
        ("unicorn", "a"),
        ("useful", "a"),
        ("unimportant", "an"),
        ("ugly", "an"),
        ("upset", "an"),
        ("Orange", "an"),
        ("one", "a"),
        ("open", "an"),
        ("yellow", "a"),
        ("", "a"),
    ],
)
def test_article_follows_the_sound(word: str, expected: str) -> None:
    assert article(word) == expected


def test_prompt_id_changes_with_everything_that_was_asked() -> None:
    reworded = STORY.family.model_copy(update={"instruction": "Write {{ noun }}."})
    asked = [
        ({"allows_instructions": True}, STORY, 2),
        ({"allows_instructions": False}, STORY, 2),
        ({"allows_instructions": True}, STORY, 3),
        ({"allows_instructions": True}, Plan(AGE3, STORY.family, 2), 2),
        ({"allows_instructions": True}, Plan(AGE3, load_family("reply"), 1), 2),
        ({"allows_instructions": True}, Plan(AGE3, reworded, 1), 2),
    ]
    assert prompt_id(*asked[0]) == prompt_id({"allows_instructions": True}, STORY, 2)
    assert len({prompt_id(*one) for one in asked}) == len(asked)
