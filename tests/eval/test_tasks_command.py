"""`stillhouse evaluate --suite`: lm_eval's tasks from local files, in the table of all figures."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.flows.command import in_process
from tests.tiny_teacher import make_stories

pytestmark = [pytest.mark.eval, pytest.mark.filterwarnings("default")]

STORIES = make_stories(8, seed=3)
_TASKS: dict[str, dict[str, Any]] = {
    "pairs": {
        "output_type": "multiple_choice",
        "doc_to_text": "",
        "doc_to_choice": "{{[good, bad]}}",
        "doc_to_target": 0,
        "metric_list": [{"metric": "acc"}],
    },
    "texts": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{good}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tasks over local rows, and the same stories as a text file."""
    pytest.importorskip("lm_eval", reason="needs the extra `eval`: make test-eval")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [{"good": text, "bad": " ".join(reversed(text.split()))} for text in STORIES]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for name, task in _TASKS.items():
        settings = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}},
            "test_split": "test",
            **task,
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(settings))
    (tmp_path / "good.txt").write_text("".join(f"{text}\n<|endoftext|>\n" for text in STORIES))
    return tmp_path


def _evaluate(*arguments: str | Path) -> list[dict[str, Any]]:
    result = in_process("evaluate", *(str(argument) for argument in arguments), "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_tasks_stand_beside_the_texts_that_they_are_made_of(
    tiny_teacher_folder: Path, folder: Path
) -> None:
    same = folder / "same"
    same.symlink_to(tiny_teacher_folder)
    files: list[str | Path] = ["--suite", folder / "pairs.yaml", "--suite", folder / "texts.yaml"]
    rows = _evaluate(tiny_teacher_folder, same, "--text", folder / "good.txt", *files)
    of_tasks = [row for row in rows if row["on"] == "lm_eval"]
    assert [(row["metric"], row["model"]) for row in of_tasks] == [
        (metric, str(model))
        for metric in ("pairs/acc", "texts/bits_per_byte")
        for model in (tiny_teacher_folder, same)
    ]
    pairs, again, texts, texts_again = of_tasks
    assert (pairs["value"], pairs["n"]) == (again["value"], again["n"]) == (1.0, len(STORIES))
    assert pairs["low"] <= pairs["value"] <= pairs["high"]
    assert texts["value"] == texts_again["value"]
    [without_end, _] = (
        row for row in rows if (row["metric"], row["row"]) == ("bits_per_byte_without_end", "model")
    )
    assert texts["value"] == pytest.approx(without_end["value"], abs=1e-6)
    assert math.isfinite(texts["value"])


def test_a_limit_is_one_of_items(tiny_teacher_folder: Path, folder: Path) -> None:
    [row] = _evaluate(tiny_teacher_folder, "--suite", folder / "pairs.yaml", "--limit", "3")
    assert row["n"] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "expected a YAML file, found none there"),
        ("[", "expected a task that lm_eval reads, with local data, found: ParserError"),
        ('{"task": "x", "output_type": "multiple_choice"}', "expected a task that lm_eval reads"),
        ('{"output_type": "multiple_choice"}', "expected a task that lm_eval reads"),
        ('{"group": "x", "task": []}', "expected one task, found a group; name its tasks' files"),
    ],
)
def test_a_file_that_is_no_task_is_one_line(
    tiny_teacher_folder: Path, folder: Path, text: str | None, said: str
) -> None:
    file = folder / "odd.yaml"
    if text is not None:
        file.write_text(text)
    result = in_process("evaluate", str(tiny_teacher_folder), "--suite", str(file))
    assert result.exit_code == 2, result.output
    *_, line = result.stderr.splitlines()
    assert f"task {file}: {said}" in line


def test_two_tasks_of_one_name_are_refused(tiny_teacher_folder: Path, folder: Path) -> None:
    (folder / "other.yaml").write_text((folder / "pairs.yaml").read_text())
    files = ["--suite", str(folder / "pairs.yaml"), "--suite", str(folder / "other.yaml")]
    result = in_process("evaluate", str(tiny_teacher_folder), *files)
    assert result.exit_code == 2
    assert "found 2 files with pairs; give each a name of its own" in result.stderr.splitlines()[-1]
