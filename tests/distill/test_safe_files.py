"""What is refused before it is loaded: pickles, code, and weights that are not those asked for."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import LlamaForCausalLM

from distill.errors import DistillError
from distill.safe_files import TensorFacts, misfit, tensor_facts
from distill.students import save
from distill.students.presets import build_student
from distill.students.save import load_student, save_student
from tests.distill.test_spaces import OWN

TERABYTE = 2**40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved student, which a test may spoil."""
    model = build_student("stlm-1m", OWN.vocab_size, OWN.start_id, OWN.end_id, 0)
    save_student(tmp_path / "student", model, OWN, "card")
    return tmp_path / "student"


def with_header(header: dict[str, object], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _tensor(shape: list[int], end: int) -> dict[str, object]:
    return {"t": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}


RUBBISH = {
    "empty": b"",
    "cut header": with_header(_tensor([2], 8))[:30],
    "header of a terabyte": struct.pack("<Q", TERABYTE) + b"{}",
    "tensor of a terabyte": with_header(_tensor([TERABYTE // 4], TERABYTE), bytes(8)),
    "shape beyond its bytes": with_header(_tensor([1000], 8), bytes(8)),
    "bytes that no tensor has": with_header(_tensor([2], 8), bytes(64)),
    "unknown dtype": with_header(
        {"t": {"dtype": "OBJECT", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)
    ),
    "pickle": pickle.dumps({"model.norm.weight": [1.0]}),
    "no JSON": struct.pack("<Q", 4) + b"abcd",
}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH)
def test_rubbish_called_safetensors_is_refused(
    folder: Path, rubbish: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "model.safetensors").write_bytes(rubbish)
    nothing_is_made(monkeypatch)
    with pytest.raises(DistillError, match=r"model\.safetensors expected, found SafetensorError"):
        load_student(folder)


def nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let loading fail if it reads a tensor, or makes one that takes room."""

    def load_nothing(*_: object) -> None:
        raise AssertionError("a tensor was read")

    class NoModel(LlamaForCausalLM):
        def __init__(self, *args: object) -> None:
            assert torch.empty(0).is_meta, "a model was made"
            super().__init__(*args)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(save, "load_file", load_nothing)
    monkeypatch.setattr(save, "LlamaForCausalLM", NoModel)


def _edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _tensors(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "optimizer.pt").write_bytes(b""), r"found a pickle \(optimizer\.pt\)"),
        (lambda f: (f / "training_args.bin").write_bytes(b""), "found a pickle"),
        (lambda f: (f / "modeling.py").write_text(""), r"found code \(modeling\.py\)"),
        (lambda f: _edit(f / "config.json", auto_map={}), r"config\.json asks .*auto_map"),
        (lambda f: _edit(f / "tokenizer_config.json", auto_map={}), "tokenizer_config.*auto_map"),
        (lambda f: _edit(f / "config.json", vocab_size=10**12), r"embed.*\[1000000000000, 128\]"),
        (lambda f: _edit(f / "config.json", hidden_size=2**62), "found RuntimeError"),
        (lambda f: _edit(f / "config.json", num_hidden_layers=10**9), "1000000000 layers for 20"),
        (lambda f: _edit(f / "config.json", num_attention_heads=0), "config.json of a student"),
        (lambda f: _edit(f / "config.json", hidden_size="x"), "config.json of a student"),
        (lambda f: _edit(f / "config.json", rms_norm_eps=10.0), "rms_norm_eps = 10.0, where"),
        (lambda f: _edit(f / "config.json", hidden_act="relu"), "hidden_act = 'relu', where"),
        (lambda f: _edit(f / "config.json", tie_word_embeddings=False), "tie_word_embeddings"),
        (
            lambda f: _edit(
                f / "config.json", rope_parameters={"rope_type": "default", "rope_theta": 7.0}
            ),
            "rope_parameters = ",
        ),
        (lambda f: _tensors(f, lambda t: t.pop(NORM)), f"{NORM}: expected F32 .128., found none"),
        (
            lambda f: _tensors(f, lambda t: t.update(extra=np.zeros(3))),
            r"extra: expected none, found F64 \[3\]",
        ),
        (
            lambda f: _tensors(f, lambda t: t.update({NORM: np.ones(128, np.float16)})),
            r"expected F32 \[128\], found F16 \[128\]",
        ),
        (
            lambda f: _tensors(f, lambda t: t.update({NORM: np.ones(1, np.float32)})),
            r"expected F32 \[128\], found F32 \[1\]",
        ),
    ],
)
def test_a_student_that_is_not_what_its_config_says_is_refused_before_it_is_made(
    folder: Path,
    spoil: Callable[[Path], object],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_student(folder)
    spoil(folder)
    nothing_is_made(monkeypatch)
    with pytest.raises(DistillError, match=said) as refusal:
        load_student(folder)
    assert str(refusal.value).startswith(f"student {folder}: ")


def test_the_header_says_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.int64)}, path)
    facts = tensor_facts(path, "the file")
    assert facts == {"a": TensorFacts("F32", (2, 3)), "b": TensorFacts("I64", (4,))}
    assert misfit(facts, facts) is None
