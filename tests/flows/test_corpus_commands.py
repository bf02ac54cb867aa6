"""`stillhouse corpus`: what goes out can be read by others, is the lake's, and is the same bytes
again; what comes in is told of in one line.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.flows.command import in_process
from tests.flows.corpus_lake import HOSTILE, LINE, URL, corpus_lake, texts_of
from tests.flows.smoke import files_of
from warehouse.lake import Lake


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake's folder; the tests here only read it, or take a copy."""
    root = tmp_path_factory.mktemp("corpora") / "lake"
    corpus_lake(root).close()
    return root


@pytest.fixture
def lake(data: Path) -> Iterator[Lake]:
    with Lake.open(data) as opened:
        yield opened


def _corpus(*arguments: str | Path, data: Path, code: int = 0) -> str:
    """What the command says on both streams."""
    result = in_process("corpus", *(str(a) for a in arguments), "--data", str(data))
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("form", ["hf", "jsonl", "parquet", "txt"])
def test_an_export_holds_the_accepted_stories_of_each_split_in_plan_order(
    form: str, data: Path, lake: Lake, tmp_path: Path
) -> None:
    told = _corpus("export", "--to", tmp_path / "out", "--format", form, data=data)
    assert f"left out: {LINE}, night 3: not finished" in told
    for split in ("train", "held_out"):
        expected = texts_of(lake, held_out=split == "held_out")
        assert len(expected) > 10
        assert _texts(tmp_path / "out", form, split) == expected
    assert not list((tmp_path / "out").rglob("rejected*"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def _texts(folder: Path, form: str, split: str) -> list[str]:
    if form == "txt":
        whole = (folder / f"{split}.txt").read_text()
        return whole.removesuffix("\n<|endoftext|>\n").split("\n<|endoftext|>\n")
    if form == "jsonl":
        lines = (folder / f"{split}.jsonl").read_text().splitlines()
        return [json.loads(line)["text"] for line in lines]
    inner = folder / "data" if form == "hf" else folder
    texts: list[str] = pq.read_table(inner / f"{split}-00000.parquet")["text"].to_pylist()
    return texts


def test_a_row_has_its_prompt_words_family_and_slots(data: Path, tmp_path: Path) -> None:
    _corpus("export", "--to", tmp_path / "out", "--format", "jsonl", data=data)
    lines = [
        json.loads(line)
        for file in (tmp_path / "out").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    [row] = [row for row in lines if row["plan_index"] == 4]
    assert row["words"] == ["jump", "boat4", HOSTILE]
    assert row["prompt"] == f"Write of jump, boat4, {HOSTILE}."
    assert (row["family"], json.loads(row["slots"])) == ("story", {"noun": ["boat4"]})
    assert (row["line"], row["night"], row["attempt"], row["reason"]) == (LINE, "1", 1, None)
    assert row["teacher_digest"] == "teacher"


def test_a_story_that_a_pass_refused_is_rejected_with_its_reason(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _corpus("export", "--to", out, "--format", "jsonl", "--rejected", data=data)
    rejected = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in rejected} == {"missing_words", "duplicate"}
    assert [row["story_id"] for row in rejected if row["reason"] == "duplicate"] == ["s30-1"]
    assert len(rejected) == 61


def test_line_night_and_split_choose(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--format", "jsonl", "--line", LINE, "--night", "2", "--split", "train")
    _corpus("export", "--to", out, *options, data=data)
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "train.jsonl"]
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    assert {(row["night"], row["split"]) for row in rows} == {("2", "train")}


def test_datasets_loads_the_folder_with_its_splits(data: Path, lake: Lake, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `datasets`")
    _corpus("export", "--to", tmp_path / "out", "--rejected", data=data)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert sorted(loaded) == ["held_out", "rejected", "train"]
    assert loaded["train"]["text"][:] == texts_of(lake, held_out=False)
    assert loaded["held_out"]["text"][:] == texts_of(lake, held_out=True)
    assert loaded["train"][0]["words"] == ["jump", loaded["train"][0]["words"][1], "red"]
    assert loaded["rejected"].num_rows == 61


@pytest.mark.parametrize("form", ["hf", "jsonl"])
def test_the_same_export_has_the_same_bytes_and_may_be_asked_for_again(
    form: str, data: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        _corpus("export", "--to", tmp_path / name, "--format", form, data=data)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    again = _corpus("export", "--to", tmp_path / "one", "--format", form, data=data)
    assert "all of it was there already" in again


def test_a_folder_with_other_content_is_left_alone(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    told = _corpus("export", "--to", out, data=data, code=2)
    assert "expected an empty folder or the same export, found other content" in told
    assert files_of(tmp_path).keys() == {"out/mine.txt"}
    (out / "mine.txt").unlink()
    _corpus("export", "--to", out, data=data)
    (out / "data" / "train-00000.parquet").write_bytes(b"changed")
    before = files_of(out)
    told = _corpus("export", "--to", out, data=data, code=2)
    assert "found other content (data/train-00000.parquet)" in told
    assert files_of(tmp_path) == {f"out/{name}": sum_ for name, sum_ in before.items()}


def test_what_a_killed_export_left_is_cleared(data: Path, tmp_path: Path) -> None:
    left = tmp_path / ".out.unfinished" / "data"
    left.mkdir(parents=True)
    (left / "train-00000.parquet").write_bytes(b"half")
    (tmp_path / ".out.lock").touch()
    _corpus("export", "--to", tmp_path / "out", data=data)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(pq.read_table(tmp_path / "out" / "data" / "train-00000.parquet")) > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "csv"), "--format csv: expected one of hf, jsonl, parquet, txt"),
        (("--split", "test"), "--split test: expected one of train, held_out, all"),
        (("--line", "../x"), f"--line ../x: expected one of {LINE}"),
        (("--night", "9"), "--night 9: expected one of 1, 2, 3"),
        (("--night", "3"), f"that keeps its limits, found {LINE}, night 3: not finished"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    options: tuple[str, ...], message: str, data: Path, tmp_path: Path
) -> None:
    told = _corpus("export", "--to", tmp_path / "out", *options, data=data, code=2)
    assert message in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_card_has_a_head_that_yaml_reads_and_says_what_is_in_the_lake(
    data: Path, lake: Lake, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _corpus("export", "--to", out, "--teacher-licence", "Apache-2.0", data=data)
    _, head, body = (out / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(head)
    assert card["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train-*.parquet"},
        {"split": "held_out", "path": "data/held_out-*.parquet"},
    ]
    assert "license" not in card
    assert f"| lake content digest | `{lake.digest()}` |" in body
    assert "| missing_words | 60 | 50.0% |" in body
    assert "| duplicate | 1 | 0.8% |" in body
    assert "| accepted | 59 | 49.2% |" in body
    assert "licence `Apache-2.0`" in body
    assert "- Left out: fables, night 3: not finished.\n" in body
    assert "held_out that is of that line (column `line`)." in body


def test_hostile_words_change_neither_the_card_nor_what_it_keeps_to_itself(
    data: Path, tmp_path: Path
) -> None:
    _corpus("export", "--to", tmp_path / "out", data=data)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "{{ 7*7 }}" in card
    outside_code = [line for line in card.splitlines() if not line.startswith("    ")]
    assert not any("<script>" in line or "```" in line for line in outside_code)
    assert not any(line.startswith("license") for line in outside_code)
    assert card.count("\n---\n") == 1
    assert not any(secret in card for secret in (URL, "10.0.0.7", "OUR_KEY", str(tmp_path)))


def test_an_exported_corpus_comes_in_again_and_is_listed(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for form in ("txt", "jsonl", "parquet"):
        out = tmp_path / form
        _corpus("export", "--to", out, "--format", form, "--split", "train", data=data)
        told = _corpus("import", out, "--name", form, "--licence", "MIT", data=other)
        assert "documents accepted" in told
    with Lake.open(other) as lake, Lake.open(data) as source:
        rows = lake.read("imports").to_pylist()
        train = texts_of(source, held_out=False)
        assert [row["text"] for row in rows if row["accepted"]] == 3 * train
    listed = _corpus("list", data=other)
    assert all(form in listed for form in ("txt", "jsonl", "parquet"))
    assert LINE in _corpus("list", data=data)


@pytest.mark.parametrize("is_saved_to_disk", [False, True])
def test_a_dataset_folder_comes_in_through_the_library(
    is_saved_to_disk: bool, data: Path, lake: Lake, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `datasets`")
    folder = tmp_path / "set"
    if is_saved_to_disk:
        texts = datasets.Dataset.from_dict({"text": ["One.", "Two.", "One."]})
        datasets.DatasetDict({"train": texts}).save_to_disk(str(folder))
        expected = ["One.", "Two."]
    else:
        _corpus("export", "--to", folder, data=data)
        expected = texts_of(lake, held_out=True) + texts_of(lake, held_out=False)
    options = ("--format", "hf", "--name", "hub", "--licence", "MIT")
    _corpus("import", folder, *options, data=tmp_path / "other")
    again = _corpus("import", folder, *options, data=tmp_path / "other")
    assert "it was there already, nothing was added" in again
    with Lake.open(tmp_path / "other") as other:
        rows = other.read("imports").to_pylist()
    assert [row["text"] for row in rows if row["accepted"]] == expected
    assert "train" in {row["source_file"] for row in rows}


def test_a_hub_id_without_a_network_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets", reason="the extra `datasets`")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    options = ("--name", "hub", "--licence", "MIT")
    told = _corpus("import", "nobody/nothing-here", *options, data=tmp_path / "lake", code=2)
    assert "nobody/nothing-here: expected a dataset that `datasets` loads, found: " in told
    assert "fetch the dataset where there is one" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "lake").exists()


def test_what_is_no_source_is_one_line(tmp_path: Path) -> None:
    options = ("--name", "x", "--licence", "MIT")
    told = _corpus("import", tmp_path / "none.txt", *options, data=tmp_path / "lake", code=2)
    assert "none.txt: expected a file, a folder, or a hub id (owner/name)" in told
