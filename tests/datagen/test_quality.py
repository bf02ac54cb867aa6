"""Readability, refusals, required sentences, blocked phrases and grammar, each on cases that a
person judged.
"""

import json
import re
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen.config import GRAMMAR_KINDS, VerdictConfig
from datagen.errors import DatagenError
from datagen.quality import (
    _SENTENCE_END,
    blocked_phrase,
    check_grammar_is_there,
    holds_sentence,
    is_refusal,
    lints_per_100_words,
    reading_grade,
    syllables_of,
)

LIMITS = {"min_words": 1, "max_words": 99, "max_repeated_share": 1.0, "max_unknown_share": 1.0}
REAL_STORIES = Path(__file__).parents[3] / "shared/data/tinystories/stories.jsonl"


def test_the_grade_is_flesch_and_kincaids() -> None:
    """By hand: 12 words, 2 sentences, 14 syllables."""
    text = "The cat sat on the mat. It was a very happy cat!"
    assert reading_grade(text) == pytest.approx(0.39 * 12 / 2 + 11.8 * 14 / 12 - 15.59)


def test_a_text_of_marks_alone_takes_time_in_proportion_to_its_length() -> None:
    begun_s = time.process_time()
    assert reading_grade("." * 100_000 + "a") == reading_grade("a")
    assert time.process_time() - begun_s < 0.5  # once minutes


@given(st.text(".!?\n a'\u201d", max_size=20))
def test_sentences_end_at_the_same_places_whatever_stands_before(text: str) -> None:
    plain = re.compile(r"[.!?]+(?=[\s\"'\u2019\u201d)]|$)|\n+")
    assert _SENTENCE_END.split(text) == plain.split(text)


def test_harder_texts_have_higher_grades() -> None:
    child = "The dog ran. It saw a cat. They sat in the sun."
    adult = (
        "Notwithstanding considerable organizational difficulties, the administration "
        "anticipated significant international participation in the deliberations."
    )
    assert reading_grade(child) < 1
    assert reading_grade(adult) > 18
    assert reading_grade("... !") == 0.0
    assert reading_grade("cat") == pytest.approx(0.39 + 11.8 - 15.59)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "cat once time walked played makes house smiled loved the she fire a"),
        (2, "little table apple wanted needed boxes horses people upon princess happy quickly"),
        (3, "family elephant together beautiful tomorrow animal"),
    ],
)
def test_syllables_by_the_spelling(count: int, words: str) -> None:
    assert {word: syllables_of(word) for word in words.split()} == dict.fromkeys(
        words.split(), count
    )


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't write that story.",
        "I am sorry, I cannot fulfill this request.",
        "Sorry, but I can\u2019t assist with that.",
        "Unfortunately, I am unable to create such a text.",
        "I cannot generate this story.",
        "I'm not able to provide that.",
        "I apologize, but I won't be able to help.\nI can not continue this.",
        "I must decline.",
        "As an AI language model, I do not tell stories.",
        "This request violates the rules.",
    ],
)
def test_refusals_are_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        '"I can\'t write," said Tom.',
        "Tom said, \"I'm sorry, but I can't help you.\"",
        "I cannot swim, thought the cat.",
        "I can't find my ball! Tom was sad.",
        "Sorry was all he said.",
        "Unfortunately, it rained.",
        "He could not write a story.",
        "This request made the king laugh.",
    ],
)
def test_people_in_stories_may_refuse(text: str) -> None:
    assert not is_refusal(text)


def test_a_reply_may_say_that_it_cannot_help_but_not_that_it_cannot_be_written() -> None:
    assert not is_refusal("I'm sorry, I cannot provide a refund.", addresses_reader=True)
    assert is_refusal("I'm sorry, but I cannot write this reply.", addresses_reader=True)


@pytest.mark.parametrize(
    ("text", "sentence", "holds"),
    [
        ("It rained.  The cat\nsat down. Then", "The cat sat down.", True),
        ("She said \u201cIt\u2019s me.\u201d and", 'She said "It\'s me."', True),
        ("Then the cat sat down.", "The cat sat down.", False),
        ("The catsat down.", "The cat sat down.", False),
        ("He ran. We ran.", "e ran.", False),
        ("The cat sat down, and", "The cat sat down.", False),
        ("a.b", "a*b", False),
    ],
)
def test_a_sentence_stands_whole_whatever_its_quotes_and_spaces(
    text: str, sentence: str, holds: bool
) -> None:
    assert holds_sentence(text, sentence) is holds


def test_blocked_phrases_are_whole_words_in_any_case() -> None:
    words = "my class saw a very bad man".split()
    assert blocked_phrase(words, ["ass", "VERY  bad"]) == "VERY  bad"
    assert blocked_phrase(words, ["bad very", "as", "an", "m"]) is None
    assert blocked_phrase(words, ["my"]) == "my"
    assert blocked_phrase(words, ["man"]) == "man"
    assert blocked_phrase([], ["a"]) is None


def test_a_block_list_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("# words\n\nbad\n  very bad man \n", encoding="utf-8")
    config = VerdictConfig.model_validate({**LIMITS, "blocked": str(path)})
    assert config.blocked == ("bad", "very bad man")
    assert config == VerdictConfig.model_validate({**LIMITS, "blocked": ["bad", "very bad man"]})


def test_a_block_list_that_cannot_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    with pytest.raises(ValidationError, match=r"none\.txt: expected a list of phrases.*No such"):
        VerdictConfig.model_validate({**LIMITS, "blocked": str(path)})
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValidationError, match="UTF-8"):
        VerdictConfig.model_validate({**LIMITS, "blocked": str(path)})
    with pytest.raises(ValidationError, match="which has no word"):
        VerdictConfig.model_validate({**LIMITS, "blocked": ["!?"]})


def test_harper_counts_faults_of_the_kinds_that_are_asked_for() -> None:
    pytest.importorskip("harper", reason="needs the extra `grammar`")
    text = "He saw the the cat. It sat down and it was happy."
    assert lints_per_100_words(text, GRAMMAR_KINDS) == pytest.approx(100 / 12)
    assert lints_per_100_words(text, ("Spelling",)) == 0
    assert lints_per_100_words("He saw a cat.", GRAMMAR_KINDS) == 0
    assert lints_per_100_words("", GRAMMAR_KINDS) == 0


def test_without_harper_one_is_told_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from datagen import quality

    monkeypatch.delattr(quality._LOCAL, "linter", raising=False)
    monkeypatch.setitem(sys.modules, "harper", None)
    with pytest.raises(DatagenError, match=r"stillhouse\[grammar\]"):
        check_grammar_is_there()


def test_real_stories_are_easy_and_no_refusals() -> None:
    if not REAL_STORIES.exists():
        pytest.skip("needs the real stories in ../shared/data")
    texts = [json.loads(line)["text"] for line in REAL_STORIES.read_text("utf-8").splitlines()]
    assert not any(map(is_refusal, texts))
    grades = sorted(map(reading_grade, texts))
    assert 2.5 < grades[len(grades) // 2] < 4
    assert grades[int(0.99 * len(grades))] < 7
