"""Every command of docs/cookbook.md runs on a lake of two smoke nights, and finds rows where the
page shows rows.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from docs.generate import COOKBOOK
from docs.writers.cookbook import answered, answers_of, questions
from tests.flows.smoke import Night, run_night

# The tests' teacher knows no word outside the vocabulary: here the question is of those inside.
OF_WORDS = ("not in_vocabulary", "in_vocabulary")
PAGE = COOKBOOK.read_text(encoding="utf-8")
QUESTIONS = questions(PAGE)


@pytest.fixture(scope="module")
def two_nights(
    smoke_night: Night, served: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    lake = tmp_path_factory.mktemp("cookbook") / "lake"
    shutil.copytree(smoke_night.data, lake, symlinks=True)
    return run_night(lake, smoke_night.teacher, served, "--night", "2").data


def _num_rows(answer: str) -> list[int]:
    """The rows of each table of an answer, or its lines where it holds none."""
    counts = [int(count) for count in re.findall(r"^(\d+) rows?$", answer, re.MULTILINE)]
    return counts or [len(answer.splitlines())]


@pytest.mark.readme
def test_the_cookbook_finds_rows_where_it_shows_rows(two_nights: Path) -> None:
    asked = [replace(question, source=question.source.replace(*OF_WORDS)) for question in QUESTIONS]
    answers = list(answers_of(asked, two_nights))
    for question, answer in zip(QUESTIONS, answers, strict=True):
        shown, found = _num_rows(question.answer), _num_rows(answer)
        assert len(found) == len(shown), (question.source, answer)
        assert all([*shown, *found]), (question.source, answer)


@pytest.mark.readme
def test_a_query_that_fails_is_named(two_nights: Path) -> None:
    page = '```sh\nstillhouse sql "select nothing"\n```\n\n```text\nold\n```\n'
    with pytest.raises(RuntimeError, match="select nothing"):
        answered(page, two_nights)


def test_every_question_has_an_answer_and_a_sentence() -> None:
    sections = PAGE.split("\n## ")[1:]
    assert len(sections) >= 10
    assert len(QUESTIONS) == len(re.findall(r"```(?:sh|python)\n", PAGE))
    assert all(question.answer.strip() for question in QUESTIONS)
    for section in sections:
        prose = re.sub(r"```.*?```", "", section.partition("\n")[2], flags=re.DOTALL)
        assert len(prose.split()) >= 8, section


def test_answers_replace_answers_and_leave_the_rest(two_nights: Path) -> None:
    page = '# A\n\n```sh\nstillhouse sql "select 1 as one" --csv\n```\n\n```text\nold\n```\n\nB\n'
    assert answered(page, two_nights) == page.replace("old", '"one"\n1')
