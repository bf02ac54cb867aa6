"""A student's card: its figures as Hugging Face reads them, written anew once it was measured."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import EvalResult, ModelCard

from distill.students.files import CARD_FILE, FACTS_FILE
from flows.errors import FlowsError
from flows.model_card import CardFacts, Source, model_card
from flows.student_cards import write_card, write_cards
from flows.students import load_checked_student
from tests.flows.report_lake import commit_rows, rows_of
from tests.flows.smoke import Night, files_of
from warehouse.lake import Lake

FACTS = CardFacts(
    line="quickstart",
    night="1",
    role="challenger",
    student_id="abc",
    preset="stlm-1m",
    num_parameters=1_000_064,
    vocab_size=4096,
    token_space_digest="space",
    alpha=0.9,
    num_documents=220,
    num_left_out=3,
    num_tokens=200_000,
    num_story_tokens=14_668,
    training_set_digest="set",
    parent_snapshot=12,
    vocabulary="age3",
    vocabulary_digest="words",
    instruct_lines=None,
    sources=(Source("teacher", "SmolLM2", "weights", "Apache-2.0"),),
)


@pytest.fixture
def data(smoke_night: Night, tmp_path: Path) -> Path:
    return Path(shutil.copytree(smoke_night.data, tmp_path / "lake", symlinks=True))


def _results(card: Path) -> list[EvalResult]:
    results = ModelCard.load(card).data.eval_results
    assert results
    return list(results)


def _figures(lake: Lake, student: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = [row for row in rows_of(lake, "evaluations") if row["subject_id"] == student]
    return {(row["suite"], row["metric"]): row for row in rows}


@pytest.mark.parametrize("role", ["challenger", "control"])
def test_a_measured_students_card_has_its_figures_as_model_index(data: Path, role: str) -> None:
    with Lake.open(data) as lake:
        [row] = rows_of(lake, "checkpoints", role=role)
        expected = _figures(lake, row["student_id"])
    folder = data / "models" / row["student_id"]
    results = _results(folder / CARD_FILE)
    found = {(f"{result.dataset_split}", result.metric_type): result for result in results}
    assert found.keys() == expected.keys()
    assert ("confirmation", "bits_per_byte") in found
    for key, result in found.items():
        figure = expected[key]
        assert result.metric_value == pytest.approx(figure["value"], abs=1e-6)
        assert result.metric_args is not None
        assert result.metric_args["n"] == figure["n"]
        assert result.metric_args["low_95"] == pytest.approx(figure["low"], abs=1e-6)
        assert result.dataset_revision == figure["suite_digest"]
        assert "night 1" in result.dataset_name
    text = (folder / CARD_FILE).read_text()
    for part in (row["student_id"], row["teacher_digest"], row["training_set_digest"]):
        assert f"`{part}`" in text
    assert f"| parameters | {row['num_parameters']:,} |" in text
    assert ("- smoke, night 1: promoted: the line had no champion" in text) == (
        role == "challenger"
    )
    assert ("plain cross entropy" in text) == (role == "control")


def test_a_student_that_no_night_measured_has_a_card_without_figures() -> None:
    text = model_card(FACTS)
    head: dict[str, object] = ModelCard(text).data.to_dict()  # type: ignore[no-untyped-call]
    assert head == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["stillhouse", "distillation"],
    }
    assert "None yet: no night has measured it." in text
    assert "14,668 tokens of stories teach a student of this size little" in text


def test_a_card_says_where_everything_comes_from() -> None:
    made = replace(
        FACTS,
        sources=(
            Source("teacher", "own", "weights", None),
            Source("import", "tales", "run", "CC-BY-4.0", "a book\n| <b>with</b> lines"),
        ),
    )
    text = model_card(made)
    assert "| teacher | `own` | not known here: ask whoever made it | `weights` |  |" in text
    row = "| import | `tales` | CC-BY-4.0 | `run` | a book \\| &lt;b>with&lt;/b> lines |"
    assert row in text.splitlines()
    assert "wrote them, but for imported ones, from the controlled vocabulary" in text


def test_what_a_card_is_made_from_is_read_back() -> None:
    for lines in (None, ("Words", "Summary")):
        facts = replace(FACTS, instruct_lines=lines)
        assert CardFacts.from_json(facts.to_json()) == facts


def test_cards_written_again_are_the_same_bytes_and_no_part_of_the_student(data: Path) -> None:
    before = files_of(data / "models")
    with Lake.open(data) as lake:
        write_cards(lake, "smoke", "1")
        assert files_of(data / "models") == before
        [row] = rows_of(lake, "checkpoints", role="challenger")
        card = data / "models" / row["student_id"] / CARD_FILE
        card.write_text("half a ca")
        write_cards(lake, "smoke", "1")
        assert files_of(data / "models") == before
        load_checked_student(lake, row["student_id"])


def test_a_later_night_adds_its_figures_and_says_whose_they_are(data: Path) -> None:
    with Lake.open(data) as lake:
        [student] = {row["challenger_id"] for row in rows_of(lake, "promotions")}
        for night in ("2", "3"):
            rows = [
                {**row, "role": "champion", "night": night, "suite_digest": f"of night {night}"}
                for row in rows_of(lake, "evaluations", subject_id=student)
                if row["suite"] == "confirmation"
            ]
            commit_rows(lake, f"figures-{night}", evaluations=rows)
        write_cards(lake, "smoke", "3")
    results = _results(data / "models" / student / CARD_FILE)
    shown = {(result.dataset_config, result.dataset_revision) for result in results}
    assert {config for config, _ in shown} == {"night 1", "night 3"}
    assert ("night 3", "of night 3") in shown


def test_a_student_that_was_saved_without_facts_keeps_its_card(data: Path) -> None:
    with Lake.open(data) as lake:
        [row] = rows_of(lake, "checkpoints", role="challenger")
        folder = data / "models" / row["student_id"]
        (folder / FACTS_FILE).unlink()
        (folder / CARD_FILE).write_text("an older one")
        write_card(lake, row["student_id"])
        assert (folder / CARD_FILE).read_text() == "an older one"
        (folder / FACTS_FILE).write_text(json.dumps({"line": 1}))
        with pytest.raises(FlowsError, match="put the file back, or remove it"):
            write_card(lake, row["student_id"])
