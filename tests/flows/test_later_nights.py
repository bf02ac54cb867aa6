"""Nights after the first, nights in parts, and nights that cannot be."""

import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datagen.measures import words_of
from tests.flows.command import Outcome, in_process, several, stillhouse
from tests.flows.smoke import (
    Night,
    files_of,
    lake_digest,
    night_arguments,
    run_night,
    weights_digests,
)
from warehouse.lake import Lake

STORIES_260K = Path(__file__).parents[3] / "shared" / "data" / "stories260k"


@dataclass(frozen=True, slots=True)
class Later:
    """Lakes in which nights went on: one whose night was run in parts, one with two nights, one
    that was asked to train on nothing, one of another teacher if there is one; and how the commands
    ended.
    """

    in_parts: Path
    two_nights: Path
    empty: Path
    other_teacher: Path | None
    generated: Outcome
    second: Outcome
    trained_on_nothing: Outcome


@pytest.fixture(scope="module")
def later(
    smoke_night: Night, served: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Later:
    root = tmp_path_factory.mktemp("later")
    in_parts, two_nights, empty = root / "in_parts", root / "two_nights", root / "empty"
    other = root / "other_teacher" if STORIES_260K.is_dir() else None
    few = ["--set", "night.num_prompts=12", "--set", "verdicts.max_words=400"]
    shutil.copytree(smoke_night.data, two_nights, symlinks=True)
    teacher = smoke_night.teacher
    commands = [
        night_arguments(in_parts, teacher, "--only", "generate"),
        night_arguments(in_parts, teacher),
        night_arguments(two_nights, teacher, "--night", "2"),
        night_arguments(empty, teacher, "--only", "train"),
        night_arguments(empty, teacher, "--only", "promote"),
    ]
    if other:
        commands.append(night_arguments(other, STORIES_260K, *few, "--only", "generate,capture"))
    outcomes = several(commands, served)
    assert [outcome.code for outcome in outcomes] == [0, 0, 0, 2, 2, 0][: len(commands)], outcomes
    return Later(in_parts, two_nights, empty, other, outcomes[0], outcomes[2], outcomes[3])


def _rows(data: Path, query: str) -> list[dict[str, Any]]:
    with Lake.open(data) as lake:
        rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


def test_a_night_in_two_parts_is_the_same_night(smoke_night: Night, later: Later) -> None:
    summary = "\n".join(later.generated.out)
    assert "accepted of" in summary
    assert "Targets" not in summary
    assert "Decision" not in summary
    assert lake_digest(later.in_parts) == lake_digest(smoke_night.data)
    assert weights_digests(later.in_parts) == weights_digests(smoke_night.data)


def test_a_second_night_asks_for_the_next_part_of_the_plan(later: Later) -> None:
    query = "select line, night, ordinal, first_index, num_indices from nights order by ordinal"
    first, second = _rows(later.two_nights, query)
    assert (first["night"], second["night"]) == ("1", "2")
    assert second["first_index"] == first["first_index"] + first["num_indices"]
    planned = _rows(later.two_nights, "select plan_index from prompts order by plan_index")
    total = first["num_indices"] + second["num_indices"]
    assert [row["plan_index"] for row in planned] == list(range(total))


def test_a_challenger_meets_the_champion_on_the_same_documents(
    smoke_night: Night, later: Later
) -> None:
    champion = smoke_night.data.joinpath("champion", "smoke").resolve().name
    figures = _rows(later.two_nights, "select * from evaluations where night = '2'")
    for suite in ("selection", "confirmation"):
        of_suite = [row for row in figures if row["suite"] == suite]
        roles = {row["role"]: row for row in of_suite if row["metric"] == "bits_per_byte"}
        assert roles.keys() == {"challenger", "control", "champion", "unigram", "teacher"}
        assert roles["champion"]["subject_id"] == champion
        assert roles["challenger"]["subject_id"] != champion
        assert len({row["suite_digest"] for row in of_suite}) == 1
        compared = {row["role"] for row in of_suite if row["metric"] == "accepted_share"}
        assert compared == {"challenger", "control", "champion"}
    [decision] = _rows(later.two_nights, "select * from promotions where night = '2'")
    assert decision["champion_id"] == champion
    assert decision["num_selection"] >= 4
    assert decision["num_confirmation"] >= 4
    assert f"Decision    {decision['explanation']}" in later.second.out


def test_a_student_is_compared_with_its_teacher_once_on_each_nights_stories(later: Later) -> None:
    """The champion's distances on the selection suite are those of the night that trained it."""
    runs = _rows(
        later.two_nights,
        "select subject_id, unit, count(distinct run_id) as n from distances group by all",
    )
    assert {row["n"] for row in runs} == {1}
    assert len(runs) == 2 + 1 + 2 * 2  # two students; then the champion tonight, two new ones twice
    query = (
        "select metric, value from evaluations where night = '{}' and suite = '{}' and role = '{}' "
        "and metric in ('forward_kl', 'reverse_kl', 'accepted_share', 'kept_mass') order by metric"
    )
    then = _rows(later.two_nights, query.format("1", "confirmation", "challenger"))
    assert _rows(later.two_nights, query.format("2", "selection", "champion")) == then
    assert len(then) == 4


def test_tonights_selection_suite_is_the_earlier_nights_confirmation_suite(later: Later) -> None:
    query = "select distinct suite_digest, n from evaluations where metric = 'bits_per_byte' and "
    first = _rows(later.two_nights, query + "night = '1' and suite = 'confirmation'")
    second = _rows(later.two_nights, query + "night = '2' and suite = 'selection'")
    assert first == second
    assert len(first) == 1


def test_no_student_was_trained_on_what_it_is_measured_on(later: Later) -> None:
    held_out = _rows(later.two_nights, "select doc_id from scores")
    trained = _rows(later.two_nights, "select doc_id from training_documents")
    assert {row["doc_id"] for row in held_out}.isdisjoint(row["doc_id"] for row in trained)
    assert held_out


def test_earlier_and_later_nights_are_left_as_they_are(
    smoke_night: Night, later: Later, alone: Mapping[str, str]
) -> None:
    before = files_of(later.two_nights)
    for night in ("1", "2"):
        again = run_night(later.two_nights, smoke_night.teacher, alone, "--night", night)
        assert f"smoke, night {night} is finished" in again.outcome.errors[0]
    assert files_of(later.two_nights) == before


def test_a_claimed_night_is_not_run_for_something_else(
    smoke_night: Night, later: Later, alone: Mapping[str, str]
) -> None:
    before = files_of(later.two_nights)
    arguments = night_arguments(later.two_nights, smoke_night.teacher, "--set", "train.alpha=0.5")
    refused = stillhouse(arguments, alone)
    assert refused.code == 2
    assert not refused.out
    [message] = refused.errors
    assert message.startswith("stillhouse: night 1 of smoke was claimed for something else")
    assert "recipe.train.alpha was 0.9, now 0.5" in message
    assert files_of(later.two_nights) == before


def test_a_stage_without_its_input_is_refused_in_one_line(later: Later) -> None:
    said = [line for line in later.trained_on_nothing.errors if line.strip()]
    assert [line.strip() for line in said[:-1]] == ["smoke, night 1: train"]
    assert said[-1].startswith("stillhouse: smoke, night 1: expected targets")
    assert "generate and capture first" in said[-1]
    assert not list(later.empty.rglob("*.parquet"))


def test_lineage_names_exactly_the_students_that_saw_a_word(later: Later) -> None:
    stories = _rows(later.two_nights, "select doc_id, text from accepted_stories")
    words = {story["doc_id"]: set(words_of(story["text"])) for story in stories}
    saw = defaultdict(set)
    for row in _rows(later.two_nights, "select student_id, doc_id from training_documents"):
        for word in words[row["doc_id"]]:
            saw[word].add(row["student_id"])
    named = defaultdict(set)
    for row in _rows(later.two_nights, "select distinct word, student_id from lineage"):
        named[row["word"]].add(row["student_id"])
    assert named == saw
    num_students = len(weights_digests(later.two_nights))
    assert {len(students) for students in saw.values()} == {num_students // 2, num_students}
    assert set().union(*words.values()) - saw.keys()  # words of held-out stories only


def test_one_query_walks_from_a_word_to_the_figures_of_its_students(later: Later) -> None:
    query = "select distinct student_id, night, suite, metric, value from lineage where word = '{}'"
    [word] = _rows(later.two_nights, "select word from lineage group by all order by all limit 1")
    answer = in_process(
        "sql", query.format(word["word"]), "--csv", "--data", str(later.two_nights)
    ).stdout.splitlines()
    expected = _rows(
        later.two_nights,
        "select distinct subject_id, night, suite, metric, value from evaluations "
        "where subject_id in (select distinct student_id from training_documents join stories "
        f"using (doc_id) where regexp_matches(lower(text), '\\b{word['word']}\\b'))",
    )
    assert len(answer) - 1 == len(expected) > 0


def test_the_lake_of_two_nights_is_as_it_was_written(later: Later) -> None:
    assert in_process("lake", "verify", "--data", str(later.two_nights)).exit_code == 0


def test_the_story_model_beside_the_checkout_teaches(later: Later) -> None:
    if later.other_teacher is None:
        pytest.skip("needs the real story model in ../shared/data/stories260k")
    captured = _rows(later.other_teacher, "select count(*) as n from targets")[0]["n"]
    accepted = _rows(later.other_teacher, "select count(*) as n from accepted_stories")[0]["n"]
    assert captured == accepted > 3
