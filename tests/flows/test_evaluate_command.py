"""`stillhouse evaluate`: the figures are the nights' own, any folder and format does, and what
cannot be measured is one line.
"""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertLMHeadModel,
    GPT2Config,
    GPT2LMHeadModel,
)

from distill.tokens import read_tokenizer
from tests.flows.command import in_process
from tests.flows.smoke import Night
from tests.tiny_teacher import VOCAB_SIZE, make_stories
from warehouse.lake import Lake

STORIES = make_stories(12, seed=5)
ROUNDING = 1e-6


def evaluate(*arguments: str | Path) -> list[dict[str, Any]]:
    """The rows that the command prints as JSON."""
    result = in_process("evaluate", *(str(argument) for argument in arguments), "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def figures(
    rows: Sequence[dict[str, Any]], metric: str = "bits_per_byte", row: str = "model"
) -> list[dict[str, Any]]:
    """The rows of one figure of the models, in their order."""
    return [one for one in rows if (one["metric"], one["row"]) == (metric, row)]


def refused(*arguments: str | Path) -> str:
    """The one line that the command ends with."""
    result = in_process("evaluate", *(str(argument) for argument in arguments))
    assert result.exit_code == 2, result.output
    *_, line = result.stderr.splitlines()
    assert line.startswith("stillhouse: ")
    return line


@pytest.fixture(scope="module")
def stories_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "stories.txt"
    path.write_text("".join(f"{text}\n<|endoftext|>\n" for text in STORIES))
    return path


def test_the_figures_of_held_out_stories_are_those_of_their_night(smoke_night: Night) -> None:
    names = ["challenger/smoke", "control/smoke", str(smoke_night.teacher)]
    rows = evaluate(*names, "--held-out", "smoke/1", "--data", smoke_night.data)
    with Lake.open(smoke_night.data) as lake:
        stored = lake.query(
            "SELECT role, metric, value, n, subject_id, suite_digest FROM evaluations "
            "WHERE suite = 'confirmation'"
        ).to_pylist()
    for metric in ("bits_per_byte", "bits_per_byte_without_end", "ece"):
        expected = {row["role"]: row for row in stored if row["metric"] == metric}
        found = figures(rows, metric)
        assert [row["model"] for row in found] == names
        for row, role in zip(found, ("challenger", "control", "teacher"), strict=True):
            assert row["value"] == pytest.approx(expected[role]["value"], ROUNDING)
            assert row["n"] == expected[role]["n"]
            assert row["model_id"] == expected[role]["subject_id"]
            assert row["digest"] == expected[role]["suite_digest"]
            assert row["on"] == "held-out stories of smoke/1"
            assert row["low"] <= row["value"] <= row["high"]
    [unigram] = figures(rows, row="unigram")
    assert unigram["model"] == "unigram, tokens of challenger/smoke"
    assert unigram["value"] > figures(rows)[0]["value"]


def test_every_name_of_a_student_is_the_same_student(
    smoke_night: Night, stories_file: Path
) -> None:
    with Lake.open(smoke_night.data) as lake:
        student = lake.manifest.champion("smoke")
    assert student is not None
    folder = smoke_night.data / "models" / student
    names = ["champion/smoke", "challenger/smoke/1", student, student[:8], str(folder)]
    rows = evaluate(*names, "--text", stories_file, "--data", smoke_night.data)
    first, *others = figures(rows)
    assert [row["kind"] for row in (first, *others)] == ["student"] * 5
    assert [row["value"] for row in others] == [first["value"]] * 4
    assert [row["model_id"] for row in (first, *others)][:4] == [student] * 4


def test_a_difference_is_that_of_the_figures_with_an_interval_of_its_own(
    tiny_teacher_folder: Path, smoke_night: Night, stories_file: Path
) -> None:
    names = ["champion/smoke", "control/smoke", str(tiny_teacher_folder)]
    rows = evaluate(*names, "--text", stories_file, "--data", smoke_night.data)
    for metric in ("bits_per_byte", "bits_per_byte_without_end"):
        first, *others = figures(rows, metric)
        found = figures(rows, metric, "difference")
        for row, name, other in zip(found, names[1:], others, strict=True):
            assert row["model"] == f"champion/smoke less {name}"
            assert row["value"] == pytest.approx(first["value"] - other["value"], abs=1e-12)
            assert row["low"] < row["value"] < row["high"]
            assert row["tokens"] is None
    told = [(row["metric"], row["row"]) for row in rows]
    assert told[:5] == [("bits_per_byte", "model")] * 3 + [("bits_per_byte", "difference")] * 2


def test_a_format_and_the_order_of_files_change_nothing(
    tiny_teacher_folder: Path, stories_file: Path, tmp_path: Path
) -> None:
    lines = [json.dumps({"story": text}) for text in reversed(STORIES)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines[:5]))
    (tmp_path / "b.jsonl").write_text("\n".join(lines[5:]))
    pq.write_table(pa.table({"story": STORIES}), tmp_path / "c.parquet")
    asked: list[list[str | Path]] = [
        ["--text", stories_file],
        ["--text", tmp_path / "b.jsonl", "--text", tmp_path / "a.jsonl", "--text-column", "story"],
        ["--text", tmp_path / "c.parquet", "--text-column", "story"],
    ]
    first, *others = (evaluate(tiny_teacher_folder, *arguments) for arguments in asked)
    assert first[0]["n"] == len(STORIES)
    assert first[0]["bytes"] == sum(len(text) for text in STORIES)
    for rows in others:
        assert [{**row, "on": None} for row in rows] == [{**row, "on": None} for row in first]


def test_a_text_twice_and_an_empty_one_are_left_out_and_told(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    rows = [{"text": text} for text in (STORIES[0], STORIES[0], "", STORIES[1])]
    (tmp_path / "some.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    result = in_process("evaluate", str(tiny_teacher_folder), "--text", f"{tmp_path}/some.jsonl")
    assert result.exit_code == 0
    assert "left out, duplicate: 1\nleft out, empty: 1\n2 documents" in result.stderr
    assert "bits_per_byte" in result.stdout
    assert "3 rows" in result.stdout


def test_a_limit_takes_the_same_documents_from_any_order(
    tiny_teacher_folder: Path, stories_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "turned.jsonl").write_text(
        "\n".join(json.dumps({"text": text}) for text in reversed(STORIES))
    )
    one = evaluate(tiny_teacher_folder, "--text", stories_file, "--limit", "5")
    other = evaluate(tiny_teacher_folder, "--text", tmp_path / "turned.jsonl", "--limit", "5")
    assert [row["value"] for row in one] == [row["value"] for row in other]
    assert {row["digest"] for row in one} == {row["digest"] for row in other}
    assert one[0]["n"] == 5


def test_a_model_that_knows_nothing_reads_log2_v_on_a_book_of_three_windows(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_teacher_folder)
    with torch.no_grad():
        next(model.parameters()).zero_()
    folder = tmp_path / "flat"
    shutil.copytree(tiny_teacher_folder, folder)
    model.save_pretrained(folder)
    book = "\n".join(make_stories(40, seed=6))
    (tmp_path / "book.txt").write_text(book)
    row, without, *_ = evaluate(folder, "--text", tmp_path / "book.txt")
    tokenizer = read_tokenizer((folder / "tokenizer.json").read_text())
    num_symbols = len(tokenizer.encode(book, add_special_tokens=False).ids)
    assert num_symbols > 3 * row["window"] == 3 * 512
    assert (row["n"], row["tokens"], row["low"]) == (1, num_symbols + 1, None)
    bits = math.log2(VOCAB_SIZE)
    assert abs(row["value"] - bits * (num_symbols + 1) / len(book)) <= ROUNDING
    assert without["metric"] == "bits_per_byte_without_end"
    assert abs(without["value"] - bits * num_symbols / len(book)) <= ROUNDING


def _folder_of(model: torch.nn.Module, like: Path, folder: Path, settings: dict[str, str]) -> Path:
    """A model with the tiny teacher's tokenizer, and other names for its symbols."""
    model.save_pretrained(folder)  # type: ignore[operator]
    shutil.copy(like / "tokenizer.json", folder)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_a_model_of_another_family_whose_tokenizer_names_no_start_is_measured(
    tiny_teacher_folder: Path, stories_file: Path, tmp_path: Path
) -> None:
    config = GPT2Config(
        vocab_size=VOCAB_SIZE, n_embd=16, n_layer=1, n_head=2, n_positions=64, eos_token_id=1
    )
    model, folder = GPT2LMHeadModel(config), tmp_path / "gpt2"
    _folder_of(model, tiny_teacher_folder, folder, {"eos_token": "</s>"})
    result = in_process("evaluate", str(folder), "--text", str(stories_file))
    assert result.exit_code == 0, result.output
    assert (
        "reads 64 ids at once, each text after </s> (its tokenizer names no start" in result.stderr
    )


def test_a_symbols_name_in_a_text_is_plain_text(tiny_teacher_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_text(f"{STORIES[0]} </s> <s> {STORIES[1]}")
    row, *_ = evaluate(tiny_teacher_folder, "--text", tmp_path / "odd.txt")
    assert row["n"] == 1


def test_an_encoder_is_refused(
    tiny_teacher_folder: Path, stories_file: Path, tmp_path: Path
) -> None:
    config = BertConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.3,
        eos_token_id=1,
    )
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    folder = _folder_of(BertLMHeadModel(config), tiny_teacher_folder, tmp_path / "bert", names)
    assert "expected a causal language model" in refused(folder, "--text", stories_file)


def test_pickled_weights_are_refused(stories_file: Path, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "found a pickle" in refused(tmp_path, "--text", stories_file)


@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "champion",
        "champion/",
        "champion/none",
        "champion/../../etc",
        "champion/smoke/1",
        "challenger/smoke/none",
        "control/smoke'; DROP TABLE stories; --",
        "challenger/smoke/1/../1",
        "0123456789abcdef",
        "~nobody-here/x/y",
        "a" * 5000,
        "../../x/y",
        "champion/smo\nke",
    ],
)
def test_a_name_that_is_nothing_is_one_line(
    name: str, smoke_night: Night, stories_file: Path
) -> None:
    said = refused(name, "--text", stories_file, "--data", smoke_night.data)
    assert "expected" in said
    assert "found" in said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("none", r"a line of this lake (smoke)"),
        ("../x", r"a line of this lake (smoke)"),
        ("smoke/2", "a finished night of smoke (1)"),
        ("smoke/", "a finished night of smoke (1)"),
        ("smoke' OR 1=1 --", r"a line of this lake (smoke)"),
    ],
)
def test_held_out_stories_of_no_night_are_one_line(
    line: str, expected: str, smoke_night: Night
) -> None:
    said = refused("champion/smoke", "--held-out", line, "--data", smoke_night.data)
    assert expected in said


def test_what_is_asked_for_must_be_there(
    tiny_teacher_folder: Path, stories_file: Path, tmp_path: Path
) -> None:
    folder = tiny_teacher_folder
    assert "one or more of --text FILE, --held-out LINE and --suite NAME" in refused(folder)
    assert "each MODEL once" in refused(folder, folder, "--text", stories_file)
    assert "found none" in refused(folder, "--text", tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n")
    assert "at least one document" in refused(folder, "--text", tmp_path / "empty.txt")
    (tmp_path / "rows.jsonl").write_text('{"story": "x"}')
    assert "--text-column" in refused(folder, "--text", tmp_path / "rows.jsonl")


def test_the_help_has_an_example() -> None:
    result = in_process("evaluate", "--help")
    assert result.exit_code == 0
    assert "stillhouse evaluate champion/quickstart" in " ".join(result.output.split())
