"""A whole night whose challenger writes in its training: its texts are rows, its control never
wrote any, and what cannot be had is refused.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.night import Tonight, open_night
from flows.on_policy import tonights_phase
from flows.recipes import Recipe, load_recipe
from flows.train_student import role_config, student_ids
from flows.training_set import build_training_set
from tests.flows.command import in_process
from tests.flows.smoke import MAX_WORDS, Night, second_line
from warehouse.lake import Lake

PHASE = ["train.on_policy.steps_share=0.4", "train.on_policy.share=0.5"]
LINE = ["name=writing", "train.num_tokens=6000", *PHASE]
JOINED = """
    select t.*, s.loss, d.num_tokens as num_targets, k.num_steps, k.role, g.context_tokens
    from student_texts t
    join train_steps s using (student_id, step)
    join training_documents d using (student_id, doc_id)
    join checkpoints k using (student_id)
    join (select doc_id, run_id, num_context_tokens as context_tokens from targets) g
        on g.doc_id = t.doc_id and g.run_id = d.targets_run_id
    order by t.step, t.doc_id
"""


@pytest.fixture(scope="module")
def data(
    smoke_night: Night, served: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The lake of the smoke night with a second line, of the same stories."""
    return second_line(smoke_night, tmp_path_factory.mktemp("writing") / "lake", LINE, served)


def _recipe(teacher: Path, *more: str) -> Recipe:
    return load_recipe(
        "smoke", [f"teacher.model={teacher}", f"verdicts.max_words={MAX_WORDS}", *more]
    )


@pytest.fixture
def tonight(data: Path, smoke_night: Night) -> Iterator[Tonight]:
    recipe = _recipe(smoke_night.teacher, *LINE)
    with open_night(recipe, "1", data, lambda _: None) as tonight:
        yield tonight


def _rows(data: Path, query: str) -> list[dict[str, Any]]:
    with Lake.open(data) as lake:
        rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


def test_what_a_student_wrote_is_rows_that_join_with_its_training(data: Path) -> None:
    rows = _rows(data, JOINED)
    assert len(rows) == _rows(data, "select count(*) as n from student_texts")[0]["n"] > 0
    assert {row["role"] for row in rows} == {"challenger"}
    for row in rows:
        assert row["run_id"] == row["student_id"]
        assert row["num_steps"] - round(0.4 * row["num_steps"]) < row["step"] <= row["num_steps"]
        assert 1 <= row["num_tokens"] <= row["num_targets"]
        assert row["is_finished"] or row["num_tokens"] == row["num_targets"]
        assert 0 < row["jsd"] < 0.7  # at most ln 2 where beta is a half
    assert any(row["text"] for row in rows)
    [steps] = _rows(
        data,
        "select count(distinct step) as n, any_value(num_steps) as all_steps "
        "from student_texts join checkpoints using (student_id)",
    )
    assert steps["n"] == round(0.4 * steps["all_steps"])  # some document of every step
    assert not list((data / "work").glob("*/texts"))


def test_the_documented_question_is_answered(data: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    [query] = [part.split("```")[0] for part in text.split("```sql\n") if "student_texts" in part]
    answer = in_process("sql", query, "--json", "--data", str(data))
    assert answer.exit_code == 0, answer.stderr
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    assert rows
    assert all(row["nats_per_token"] > 0 for row in rows)


def test_what_writing_and_scoring_took_is_a_row(data: Path) -> None:
    costs = {
        row["role"]: row for row in _rows(data, "select * from train_costs where line = 'writing'")
    }
    assert costs["control"]["writing_cpu_s"] is costs["control"]["scoring_cpu_s"] is None
    of_phase = costs["challenger"]["writing_cpu_s"], costs["challenger"]["scoring_cpu_s"]
    assert all(seconds > 0 for seconds in of_phase)
    assert sum(of_phase) < costs["challenger"]["cpu_s"]


def test_the_card_says_how_the_student_was_trained(data: Path) -> None:
    said = "in the last 40% of the steps 50% of the documents were written by the student"
    rows = _rows(data, "select student_id, role from train_costs where line = 'writing'")
    assert len(rows) == 2
    for row in rows:
        card = (data / "models" / row["student_id"] / "README.md").read_text("utf-8")
        assert (said in card) is (row["role"] == "challenger")


def test_the_teacher_reads_what_it_read_at_capture(tonight: Tonight, data: Path) -> None:
    training_set = build_training_set(tonight)
    phase = tonights_phase(tonight, role_config(tonight, "challenger"), training_set.space)
    assert phase is not None
    for row in _rows(data, JOINED)[:20]:
        assert len(phase.teacher.context_of(row["doc_id"])) == row["context_tokens"]
    control = role_config(tonight, "control")
    assert tonights_phase(tonight, control, training_set.space) is None


def test_a_control_is_the_same_student_with_the_phase_and_without(
    tonight: Tonight, smoke_night: Night, data: Path
) -> None:
    training_set = build_training_set(tonight)
    without = dataclasses.replace(tonight, recipe=_recipe(smoke_night.teacher, *LINE[:2]))
    found, usual = student_ids(tonight, training_set), student_ids(without, training_set)
    assert found["control"] == usual["control"]
    assert found["challenger"] != usual["challenger"]
    trained = {
        row["role"]: row["student_id"]
        for row in _rows(data, "select role, student_id from checkpoints")
        if row["student_id"] in found.values()
    }
    assert trained["challenger"] == found["challenger"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([*PHASE, "train.alpha=0"], "train: alpha = 0: not with [train.on_policy], as nothing is"),
        ([*PHASE, "train.compile=true"], "train: compile = true: not with [train.on_policy], as"),
        ([*PHASE, "train.num_processes=2"], "train: num_processes = 2: not with [train.on_policy]"),
        ([*PHASE, "token_space.kind=own"], "and its scores of [train.on_policy], are in its own"),
        (PHASE[:1], "key train.on_policy.share is missing: add it"),
        (
            [*PHASE, "train.on_policy.sare=1"],
            "unknown key train.on_policy.sare; did you mean share",
        ),
        ([*PHASE, "train.on_policy.beta=true"], "expected a number from 0 to 1"),
        (["train.on_policy=0.5"], "expected a section, [train.on_policy] and its keys below it"),
    ],
)
def test_a_phase_that_cannot_be_had_is_refused_in_one_line(
    settings: list[str], said: str, tmp_path: Path
) -> None:
    options = [part for setting in settings for part in ("--set", setting)]
    refused = in_process("run", "smoke", *options, "--data", str(tmp_path / "lake"))
    assert refused.exit_code == 2
    [line] = refused.stderr.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []
