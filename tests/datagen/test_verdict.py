"""Every verdict's reason, on a story that it rejects and on near ones that it does not."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.config import VerdictConfig
from datagen.measures import words_of
from datagen.plan import PromptSpec
from datagen.verdict import (
    REASONS,
    has_odd_characters,
    has_sentence_loop,
    is_assistant_talk,
    judge,
    repeated_share,
)
from datagen.vocabulary import load_vocabulary

AGE3 = load_vocabulary("age3")
SPEC = PromptSpec(0, "jump", "boat", "happy", ())
CONFIG = VerdictConfig(min_words=10, max_words=60, max_repeated_share=0.2, max_unknown_share=0.25)
GOOD = (
    "Once upon a time, there was a happy frog named Tom. He saw a big boat on the lake.\n\n"
    '"Can I jump in?" he asked. His friend said, "Yes, you can!" They played all day.'
)
REAL_STORIES = Path(__file__).parents[3] / "shared/data/tinystories/stories.jsonl"


def _judge(text: str, *, is_finished: bool = True) -> str | None:
    return judge(text, is_finished=is_finished, spec=SPEC, vocabulary=AGE3, config=CONFIG)


def test_a_good_story_is_accepted() -> None:
    assert _judge(GOOD) is None
    assert _judge(f"  {GOOD}\n\n") is None


LOOP = "The frog went to the big lake. " * 2 + "It was the lake again and the frog went to the big"
REJECTED = {
    "empty": " \n ... ",
    "odd_characters": f"**{GOOD}**",
    "assistant_talk": f"Sure, here is a short story for you: {GOOD}",
    "too_short": "The happy frog can jump on the boat.",
    "too_long": f"{GOOD} Then " + ", and then ".join(f"{GOOD[24:60]}" for _ in range(4)) + ".",
    "unfinished": GOOD.removesuffix("."),
    "repetition": GOOD + " Tom was very happy now." * 3,
    "missing_words": GOOD.replace("jump", "sit"),
    "unknown_words": "Happy quarks jump; boats photosynthesize electromagnetically "
    "notwithstanding gravitational perturbations everywhere.",
}


@pytest.mark.parametrize(("reason", "text"), REJECTED.items(), ids=REJECTED)
def test_each_reason_is_given(reason: str, text: str) -> None:
    assert _judge(text) == reason


def test_every_reason_but_duplicate_has_its_case_in_order() -> None:
    assert [*REJECTED, "duplicate"] == list(REASONS)


def test_the_first_reason_wins() -> None:
    assert _judge("Sure, here is **nothing**") == "odd_characters"
    assert _judge("Sure, here is nothing") == "assistant_talk"
    assert _judge("nothing") == "too_short"


def test_a_story_that_was_cut_off_is_unfinished_even_if_it_ends_well() -> None:
    assert _judge(GOOD, is_finished=False) == "unfinished"


@pytest.mark.parametrize("end", [".", "!", "?", '."', "!\u201d", ".'", "..."])
def test_sentence_ends_are_proper_ends(end: str) -> None:
    assert _judge(GOOD.removesuffix(".") + end) is None


@pytest.mark.parametrize("end", [",", '"', ":", '.""', " and"])
def test_other_ends_are_unfinished(end: str) -> None:
    assert _judge(GOOD.removesuffix(".") + end) == "unfinished"


@pytest.mark.parametrize(
    "text",
    ["# A story", "a*b", "a\tb", "\u2022 one", "- one\n- two", "1. one", "a_b", "x [y]",
     "\U0001f600",
     "it\u00e2\u20ac\u2122s", "<b>", "`code`", "a & b", "\u4f60\u597d", "one\n2) two"],
)  # fmt: skip
def test_markup_lists_and_foreign_signs_are_odd(text: str) -> None:
    assert has_odd_characters(text)


@pytest.mark.parametrize(
    "text",
    [
        "It was 3 o'clock; \u201cWow!\u201d said Zo\u00eb (a cat)\u2026",
        "A\n\nB - C \u2014 D",
        "10 dogs",
    ],
)
def test_plain_story_text_is_not_odd(text: str) -> None:
    assert not has_odd_characters(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here's a story about a frog.",
        "Certainly, I'd be glad to.",
        "Of course! Here is one.",
        "Here is a short story for a child:",
        "Here's a simple story.",
        "As an AI, I do not know frogs.",
        "I'm sorry, but I can't do that.",
        "I cannot write that.",
        "I can help you with that.",
        "Title: The Frog\nThe frog sat.",
        "This is a story about a frog.",
        "Write a short story about a frog.",
        "In this short story, a frog sits.",
        "The frog sat.\n\nNote: this uses easy words.",
        "The frog sat.\nI hope this story helps you.",
        "The frog sat. I hope you enjoyed the story!",
        "The frog sat.\n\nLet me know if you want more.",
        "The frog sat. Let me know if you\u2019d like another one.",
        "The frog sat.\n\nThis story uses the words in it.",
        'The frog sat and the verb "sit" was used.',
        "A tale for a 3-year-old. The frog sat.",
        "User: tell me more.",
    ],
)
def test_talk_about_the_task_is_assistant_talk(text: str) -> None:
    assert is_assistant_talk(text)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "Here was a frog. It read a story.",
        '"Sure," said Tom. "Here is my ball."',
        '"Sure, here is my ball!" said Tom.',
        "Tom was sure. I hope you know him.",
        'Mom said, "I hope you enjoyed the story!"',
        '"Let me know if you see the cat," said Mom.',
        "Tom was a three-year-old. He liked notes: long ones.",
        "The moral of the story is to be kind.",
        "The story made Tom sleepy. The end.",
        "I can jump. I will tell mom.",
        "He sat.\nThis story teaches us to be kind.",
        "Okay the frog was not. It sat.",
    ],
)
def test_what_people_say_in_stories_is_not_assistant_talk(text: str) -> None:
    assert not is_assistant_talk(text)


def test_repeated_share_counts_four_word_sequences() -> None:
    assert repeated_share(["a", "b", "c"]) == 0
    assert repeated_share(list("abcdefgh")) == 0
    assert repeated_share(list("abcd" * 2)) == pytest.approx(1 / 5)
    assert repeated_share(["very"] * 103) == pytest.approx(0.99)


def test_a_long_sentence_loops_at_the_third_time_and_a_short_one_never() -> None:
    assert not has_sentence_loop("He saw the cat. " * 2)
    assert has_sentence_loop("He saw the cat. A dog ran. He saw the CAT! Oh. He saw the cat?")
    assert not has_sentence_loop("Yes! " * 9)


def test_unknown_words_reject_nothing_at_share_one() -> None:
    free = CONFIG.model_copy(update={"max_unknown_share": 1.0})
    text = REJECTED["unknown_words"]
    assert judge(text, is_finished=True, spec=SPEC, vocabulary=AGE3, config=free) is None


@given(st.one_of(st.text(), st.sampled_from([*REJECTED.values(), GOOD])), st.booleans())
def test_judging_is_a_function_of_its_arguments(text: str, is_finished: bool) -> None:
    verdict = _judge(text, is_finished=is_finished)
    assert verdict == _judge(text, is_finished=is_finished)
    assert verdict is None or verdict in REASONS[:-1]


def test_real_stories_are_rarely_called_odd_talk_or_loops() -> None:
    if not REAL_STORIES.exists():
        pytest.skip("needs the real stories in ../shared/data")
    texts = [json.loads(line)["text"] for line in REAL_STORIES.read_text("utf-8").splitlines()]
    bound = 0.005 * len(texts)
    assert sum(map(has_odd_characters, texts)) < bound
    assert sum(map(is_assistant_talk, texts)) < bound
    loops = [t for t in texts if has_sentence_loop(t) or repeated_share(words_of(t)) > 0.2]
    assert len(loops) < bound
