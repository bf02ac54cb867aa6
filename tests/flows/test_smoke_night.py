"""One whole night, and what a person can then do with it."""

import csv
import io
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.stages import STAGES
from tests.flows.command import in_process
from tests.flows.smoke import Night, files_of, lake_digest, run_night, stage_of
from warehouse.lake import Lake


def _rows(data: Path, query: str) -> list[dict[str, Any]]:
    with Lake.open(data) as lake:
        rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


def test_a_night_runs_its_stages_in_order_and_shows_its_first_story(smoke_night: Night) -> None:
    stages = [stage_of(line.text) for line in smoke_night.outcome.lines]
    assert [stage for stage in stages if stage] == list(STAGES)
    log = "\n".join(smoke_night.outcome.errors)
    [first] = _rows(
        smoke_night.data,
        "select text from stories where accepted order by attempt, plan_index limit 1",
    )
    assert first["text"][:60] in log
    assert "Traceback" not in log


def test_the_summary_counts_stories_by_verdict(smoke_night: Night) -> None:
    counts = {
        row["reason"] or "accepted": row["n"]
        for row in _rows(smoke_night.data, "select reason, count(*) as n from stories group by all")
    }
    out = "\n".join(smoke_night.outcome.out)
    accepted = counts.pop("accepted")
    assert f"{accepted} accepted of {accepted + sum(counts.values())} attempts" in out
    assert "too_long" in counts
    assert all(f"{reason} {count}" in out for reason, count in counts.items())


def test_the_summary_shows_everybodys_bits_per_byte(smoke_night: Night) -> None:
    figures = _rows(
        smoke_night.data,
        "select role, value, low, high from evaluations where suite = 'confirmation' "
        "and metric = 'bits_per_byte'",
    )
    assert {row["role"] for row in figures} == {"challenger", "control", "unigram", "teacher"}
    for row in figures:
        line = next(
            line for line in smoke_night.outcome.out if row["role"] in line and " to " in line
        )
        numbers = [float(number) for number in re.findall(r"\d+\.\d+", line)][:3]
        assert numbers == [round(row[key], 3) for key in ("value", "low", "high")]


def test_the_summary_tells_decision_places_and_what_to_try(smoke_night: Night) -> None:
    lines, data = smoke_night.outcome.out, smoke_night.data
    out = "\n".join(lines)
    decision = _rows(data, "select * from promotions")
    assert [row["promoted"] for row in decision] == [True]
    assert f"Decision    {decision[0]['explanation']}" in out
    assert f"{decision[0]['smallest_difference']:.3f} bits per byte" in out
    champion = data / "champion" / "smoke"
    assert champion.resolve().name == decision[0]["challenger_id"]
    for place in (data, champion, data / "catalog.duckdb"):
        assert str(place) in out
        assert place.exists()
    commands = [shlex.split(line) for line in lines if line.startswith("  stillhouse ")]
    queries = [words[2] for words in commands if words[1] == "sql"]
    assert len(queries) == 2
    for query in queries:
        assert in_process("sql", query, "--data", str(data)).exit_code == 0


def test_running_a_finished_night_again_changes_nothing(
    smoke_night: Night, alone: Mapping[str, str]
) -> None:
    before, digest = files_of(smoke_night.data), lake_digest(smoke_night.data)
    again = run_night(smoke_night.data, smoke_night.teacher, alone)
    assert files_of(smoke_night.data) == before
    assert lake_digest(smoke_night.data) == digest
    assert "smoke, night 1 is finished: nothing was made again" in again.outcome.errors[0]
    assert again.outcome.out == smoke_night.outcome.out


def test_every_stage_has_a_row_of_its_cost(smoke_night: Night) -> None:
    runs = _rows(smoke_night.data, "select * from runs order by started_at")
    assert [row["stage"] for row in runs] == list(STAGES)
    assert all(row["cpu_s"] >= 0 and row["wall_s"] > 0 for row in runs)
    assert all(row["num_tokens"] > 0 for row in runs if row["stage"] != "promote")


def test_each_training_has_a_row_of_its_speed(smoke_night: Night) -> None:
    rows = _rows(
        smoke_night.data,
        "select c.*, k.num_parameters from train_costs c join checkpoints k using (student_id) "
        "order by c.role",
    )
    assert [row["role"] for row in rows] == ["challenger", "control"]
    for row in rows:
        [(steps, seen)] = [
            (found["n"], found["seen"])
            for found in _rows(
                smoke_night.data,
                "select count(*) as n, max(num_tokens) - min(num_tokens) as seen from train_steps "
                f"where student_id = '{row['student_id']}'",
            )
        ]
        assert (row["num_steps"], row["num_tokens"]) == (steps, seen)
        assert (row["device"], row["precision"], row["num_processes"]) == ("cpu", "float32", 1)
        assert 0 < row["num_tokens"] / row["wall_s"] < row["tokens_per_s"]
        assert row["flops_per_token"] > 6 * row["num_parameters"]
        assert row["peak_flops"] is row["mfu"] is None  # nobody knows a processor's


def test_the_lake_is_as_it_was_written(smoke_night: Night) -> None:
    verified = in_process("lake", "verify", "--data", str(smoke_night.data))
    assert (verified.exit_code, verified.stdout) == (
        0,
        "every file and every student is as it was written\n",
    )
    printed = in_process("lake", "digest", "--data", str(smoke_night.data))
    assert printed.stdout.strip() == lake_digest(smoke_night.data)


def test_sql_answers_in_csv_and_json(smoke_night: Night) -> None:
    query = (
        "select stories.text, reason, features from stories join prompts using (prompt_id) "
        "order by story_id"
    )
    data = ("--data", str(smoke_night.data))
    expected = _rows(smoke_night.data, query)
    lines = in_process("sql", query, "--json", *data).stdout.splitlines()
    assert [json.loads(line) for line in lines] == expected
    table = list(csv.DictReader(io.StringIO(in_process("sql", query, "--csv", *data).stdout)))
    assert [row["text"] for row in table] == [row["text"] for row in expected]
    assert [json.loads(row["features"]) for row in table] == [row["features"] for row in expected]


@pytest.mark.parametrize("words", ["jump, boat, happy", None])
def test_the_champion_tells_a_story(smoke_night: Night, words: str | None) -> None:
    asked = ["--words", words] if words else []
    command = ["tell", "--line", "smoke", *asked, "--data", str(smoke_night.data)]
    told = in_process(*command)
    assert told.exit_code == 0
    assert re.search(r"[a-z]+ [a-z]+", told.stdout)
    assert in_process(*command).stdout == told.stdout
    assert in_process(*command, "--seed", "1").stdout != told.stdout


def test_the_champion_loads_with_transformers_alone(smoke_night: Night) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = smoke_night.data / "champion" / "smoke"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer("Once upon a time", return_tensors="pt")
    assert model(**ids).logits.shape[-1] == len(tokenizer)
