"""Every verdict's reason, on a story that it rejects and on near ones that it does not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.config import VerdictConfig
from datagen.measures import words_of
from datagen.verdict import (
    LATER_REASONS,
    REASONS,
    has_odd_characters,
    has_sentence_loop,
    is_assistant_talk,
    judge,
    repeated_share,
)
from datagen.vocabulary import load_vocabulary, parse_vocabulary, shipped_vocabularies
from tests.datagen.specs import story_spec

AGE3 = load_vocabulary("age3")
SENTENCE = "He saw a big boat on the lake."
SPEC = replace(story_spec("jump", "boat", "happy"), sentence=SENTENCE)
CONFIG = VerdictConfig(
    min_words=10,
    max_words=60,
    max_repeated_share=0.2,
    max_unknown_share=0.25,
    blocked=("very bad man",),
    max_grade=6,
)
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
    "refusal": f"I'm sorry, but I can't write that story. {GOOD}",
    "assistant_talk": f"Sure, here is a short story for you: {GOOD}",
    "blocked": f"{GOOD} A very, very bad man sat.",
    "too_short": "The happy frog can jump on the boat.",
    "too_long": f"{GOOD} Then " + ", and then ".join(f"{GOOD[24:60]}" for _ in range(4)) + ".",
    "unfinished": GOOD.removesuffix("."),
    "repetition": GOOD + " Tom was very happy now." * 3,
    "missing_words": GOOD.replace("jump", "sit"),
    "missing_sentence": GOOD.replace("a big boat", "the big boat"),
    "unknown_words": "Happy quarks jump; boats photosynthesize electromagnetically "
    f"notwithstanding gravitational perturbations everywhere. {SENTENCE}",
    "hard_to_read": "Once upon a time there was a happy frog who wanted to jump and to play with "
    "his friend and to look at the sun and to go home with his mom and his dad when it was night. "
    f"{SENTENCE}",
}


@pytest.mark.parametrize(("reason", "text"), REJECTED.items(), ids=REJECTED)
def test_each_reason_is_given(reason: str, text: str) -> None:
    assert _judge(text) == reason


def test_every_reason_has_its_case_in_order() -> None:
    """But for grammar, which has a test of its own, and what the later pass says."""
    assert [*REJECTED, "grammar", *LATER_REASONS] == list(REASONS)


def test_a_check_that_is_not_asked_for_rejects_nothing() -> None:
    off = CONFIG.model_copy(update={"blocked": (), "max_grade": None, "max_words": 99})
    spec = replace(SPEC, sentence=None)
    for reason in ("blocked", "missing_sentence", "hard_to_read"):
        text = REJECTED[reason]
        assert judge(text, is_finished=True, spec=spec, vocabulary=AGE3, config=off) is None


def test_ungrammatical_text_is_rejected_where_that_is_asked_for() -> None:
    pytest.importorskip("harper", reason="needs the extra `grammar`")
    strict = CONFIG.model_copy(update={"max_lints_per_100_words": 1.0})
    text = GOOD.replace("a happy frog", "a a happy frog")
    for story, config, expected in (
        (GOOD, strict, None),
        (text, strict, "grammar"),
        (text, CONFIG, None),
    ):
        found = judge(story, is_finished=True, spec=SPEC, vocabulary=AGE3, config=config)
        assert found == expected


def test_no_word_is_required_where_none_is_asked_for() -> None:
    spec = replace(SPEC, required=())
    text = REJECTED["missing_words"]
    assert judge(text, is_finished=True, spec=spec, vocabulary=AGE3, config=CONFIG) is None
    one = replace(SPEC, required=SPEC.required[1:])
    assert judge(text, is_finished=True, spec=one, vocabulary=AGE3, config=CONFIG) is None


def test_signs_are_let_through_that_the_recipe_names() -> None:
    assert has_odd_characters("It costs $5 & more [now]^")
    assert not has_odd_characters("It costs $5 & more [now]^", "$&[]^-\\")
    assert has_odd_characters("It costs $5*", "$&[]")
    assert has_odd_characters("- one", "-")


@pytest.mark.parametrize(
    ("words", "plain", "odd"),
    [
        ("\u00e1rbol\nni\u00f1o\n\u00bf\n?", "\u00bfNi\u00f1o, \u00c1RBOL, 2?", "\u00fcber."),
        (
            "\u03b3\u03ac\u03c4\u03b1\n\u00bb\n.",
            "\u0393\u03b1\u03c4\u03ac. \u0386.\u00bb",
            "\u03c0\u03ac\u03b3\u03c4\u03b1.",
        ),
        ("pay verb\n$\n.\n]", "Pay 3 $.", "Pay 3 &."),
    ],
)
def test_letters_and_signs_of_the_vocabulary_are_plain(words: str, plain: str, odd: str) -> None:
    vocabulary = parse_vocabulary("own", "own.txt", words.encode())
    spec = replace(SPEC, required=(), sentence=None)
    free = {"min_words": 1, "max_unknown_share": 1.0, "max_grade": None}
    config = CONFIG.model_copy(update=free)
    for text, expected in ((plain, None), (odd, "odd_characters")):
        found = judge(text, is_finished=True, spec=spec, vocabulary=vocabulary, config=config)
        assert found == expected


def test_the_vocabularies_of_ours_let_no_other_character_through() -> None:
    for name in shipped_vocabularies():
        assert not has_odd_characters(load_vocabulary(name).characters)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I cannot find your order. Let me know if you have its number.",
        "Of course, I'll send you a new one. I hope this helps.",
        "Thank you! Feel free to write again.\nWould you like me to call you?",
    ],
)
def test_a_text_that_addresses_its_reader_may_offer_help(text: str) -> None:
    assert is_assistant_talk(text)
    assert not is_assistant_talk(text, addresses_reader=True)
    assert is_assistant_talk(f"Here is a short version: {text}", addresses_reader=True)
    assert is_assistant_talk(f"{text} As an AI, I mean it.", addresses_reader=True)


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
        "The frog sat on a nice pair of jeans. The story uses the word nice to be fun. The end.",
        'The frog sat and the verb "sit" was used.',
        "A tale for a 3-year-old. The frog sat.",
        "User: tell me more.",
        "The story begins with a small frog. It sat.",
        "A frog sat. The story ends with a sad one.",
        "A frog sat. In the story, it was sad.",
        "Step 1: A frog sat.",
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
        "Mom read to Tom. The story was about a frog that ends a fight.",
        '"The story begins now," said Mom.',
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
    free = free.model_copy(update={"max_grade": None})
    assert judge(text, is_finished=True, spec=SPEC, vocabulary=AGE3, config=free) is None


@given(st.one_of(st.text(), st.sampled_from([*REJECTED.values(), GOOD])), st.booleans())
def test_judging_is_a_function_of_its_arguments(text: str, is_finished: bool) -> None:
    verdict = _judge(text, is_finished=is_finished)
    assert verdict == _judge(text, is_finished=is_finished)
    assert verdict is None or verdict in set(REASONS) - set(LATER_REASONS)


def test_real_stories_are_rarely_called_odd_talk_or_loops() -> None:
    if not REAL_STORIES.exists():
        pytest.skip("needs the real stories in ../shared/data")
    texts = [json.loads(line)["text"] for line in REAL_STORIES.read_text("utf-8").splitlines()]
    bound = 0.005 * len(texts)
    assert sum(map(has_odd_characters, texts)) < bound
    assert sum(map(is_assistant_talk, texts)) < bound
    loops = [t for t in texts if has_sentence_loop(t) or repeated_share(words_of(t)) > 0.2]
    assert len(loops) < bound
