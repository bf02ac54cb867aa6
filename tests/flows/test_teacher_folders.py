"""Folders that look like a teacher: what leads out of them, what they promise and do not hold, and
that no night is claimed for one.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import Gemma2Config, Gemma2ForCausalLM, GPTNeoConfig, GPTNeoForCausalLM

from distill.capture import capture_documents
from distill.positions import TeacherIds
from flows.errors import FlowsError
from flows.recipes import load_recipe
from flows.teachers import check_teacher, describe_teacher, load_model, load_tokenizer
from tests.capture_requests import capture_requests
from tests.flows.command import stillhouse
from tests.flows.smoke import night_arguments
from warehouse.lake import Lake

WEIGHTS, INDEX, NORM = "model.safetensors", "model.safetensors.index.json", "model.norm.weight"


@pytest.fixture
def folder(tiny_teacher_folder: Path, tmp_path: Path) -> Path:
    """A teacher's folder that a test may spoil."""
    return Path(shutil.copytree(tiny_teacher_folder, tmp_path / "teacher"))


def _indexed(folder: Path, file: str) -> None:
    """The weights in a part that an index names."""
    names = list(load_file(folder / WEIGHTS))
    (folder / WEIGHTS).rename(folder / "part.safetensors")
    (folder / INDEX).write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, file)})
    )


def _outside(folder: Path) -> None:
    shutil.copy(folder / WEIGHTS, folder.parent / "outside.safetensors")
    _indexed(folder, "../outside.safetensors")


def _absolute(folder: Path) -> None:
    _indexed(folder, str(folder / "part.safetensors"))


def _pickle(folder: Path) -> None:
    tensors = {name: torch.from_numpy(t) for name, t in load_file(folder / WEIGHTS).items()}
    torch.save(tensors, folder / "weights")
    _indexed(folder, "weights")


def _json(file: str, **values: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return spoil


def _tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return spoil


def _deep(file: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text("[" * 200_000)


def _more_ids(folder: Path) -> None:
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocab = tokenizer["model"]["vocab"]
    vocab.update({f"more{i}": len(vocab) + i for i in range(5)})
    path.write_text(json.dumps(tokenizer))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_outside, r"to name safetensors of .* alone, found \.\./outside\.safetensors"),
        (_absolute, r"to name safetensors of .* alone, found /"),
        (_pickle, "to name safetensors of .* alone, found weights"),
        (lambda f: (f / WEIGHTS).rename(f / "other.safetensors"), "found neither"),
        (lambda f: (f / "A.BIN").write_bytes(b""), r"found a pickle \(A\.BIN\)"),
        (lambda f: os.mkfifo(f / "more.json"), r"found that more\.json is none"),
        (lambda f: os.mkfifo(f / "more.safetensors"), r"found that more\.safetensors is none"),
        (lambda f: (f / "zero.json").symlink_to("/dev/zero"), r"found that zero\.json is none"),
        (_deep("config.json"), r"config\.json: expected JSON"),
        (_deep("tokenizer.json"), r"tokenizer\.json: expected JSON"),
        (_deep("tokenizer_config.json"), r"tokenizer_config\.json: expected JSON"),
    ],
)
def test_what_leads_out_of_the_folder_or_never_ends_is_refused(
    folder: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(folder)
    with pytest.raises(FlowsError, match=said):
        describe_teacher("teacher", folder)


def test_parts_that_an_index_names_are_a_teacher(folder: Path) -> None:
    before = load_model(
        describe_teacher("whole", folder), load_recipe("smoke").teacher, can_write=True
    )
    _indexed(folder, "part.safetensors")
    after = load_model(
        describe_teacher("parts", folder), load_recipe("smoke").teacher, can_write=True
    )
    assert before is not after
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_json("config.json", num_hidden_layers=1), "a layer more than the 1 of config.json"),
        (_json("config.json", num_hidden_layers=0), "num_hidden_layers = 0 in config.json"),
        (_json("config.json", num_hidden_layers=-1), "num_hidden_layers = -1 in config.json"),
        (_json("config.json", max_position_embeddings=0), "max_position_embeddings = 0"),
        (
            _tensors(lambda t: t.update({NORM: np.ones(64, np.int8)})),
            f"{NORM} of I8, where real numbers are expected",
        ),
        (_json("generation_config.json", eos_token_id=99_999), "ids of its 512, found 99999"),
        (_json("generation_config.json", eos_token_id=[1, -1]), "ids of its 512, found -1"),
        (_json("generation_config.json", eos_token_id=True), "ids of its 512, found True"),
        (_json("generation_config.json", eos_token_id="x"), "ids of its 512, found 'x'"),
        (_more_ids, "a tokenizer of 517 ids for a model that knows 512"),
        (
            _json("tokenizer_config.json", chat_template="{% for %}"),
            "expected a chat template for one message of a user",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_together_is_refused_before_its_weights_are_read(
    folder: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(folder)
    with pytest.raises(FlowsError, match=said):
        check_teacher(describe_teacher("teacher", folder), can_write=True)
    load_tokenizer.cache_clear()


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(folder: Path, number: float) -> None:
    _tensors(lambda t: t[NORM].__setitem__(3, number))(folder)
    with pytest.raises(FlowsError, match=f"numbers in {NORM} that are none"):
        load_model(
            describe_teacher("teacher", folder), load_recipe("smoke").teacher, can_write=True
        )


def _gpt_neo(folder: Path) -> None:
    """A model with the teacher's tokenizer whose family has an attention of its own."""
    config = GPTNeoConfig(
        vocab_size=512,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        attention_types=[[["global"], 2]],
        bos_token_id=0,
        eos_token_id=1,
    )
    GPTNeoForCausalLM(config).save_pretrained(folder)


def test_a_teacher_that_cannot_be_decoded_in_rows_gives_targets_where_another_writes(
    folder: Path,
) -> None:
    _gpt_neo(folder)
    teacher = describe_teacher("teacher", folder)
    recipe = load_recipe("smoke")
    model = load_model(teacher, recipe.teacher, can_write=False)
    requests = capture_requests(folder, num_stories=3, seed=1)
    reads = load_tokenizer(teacher)
    ids = TeacherIds(reads.end_ids, np.zeros(reads.vocab_size, np.bool_))
    targets = capture_documents(
        model, requests, recipe.capture, ids, run_id="run", teacher_digest=teacher.digest
    )
    assert targets.column("doc_id").to_pylist() == [request.doc_id for request in requests]


@pytest.mark.parametrize("can_write", [True, False], ids=["writes", "is listened to"])
def test_a_teacher_that_caps_its_attention_says_the_same_whatever_it_is_loaded_for(
    folder: Path, can_write: bool
) -> None:
    config = Gemma2Config(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        attn_logit_softcapping=0.5,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
    )
    Gemma2ForCausalLM(config).save_pretrained(folder)
    eager = Gemma2ForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    teacher = describe_teacher("teacher", folder)
    model = load_model(teacher, load_recipe("smoke").teacher, can_write=can_write)
    ids_1T = torch.arange(60)[None]
    torch.testing.assert_close(model(ids_1T).logits, eager(ids_1T).logits)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_json("config.json", num_hidden_layers=1), "a layer more than the 1 of config.json"),
        (_gpt_neo, "family (gpt_neo): expected a model that can be decoded in rows"),
    ],
    ids=["does not fit", "cannot be decoded in rows"],
)
def test_no_night_is_claimed_for_a_teacher_that_cannot_write_it(
    folder: Path,
    tmp_path: Path,
    served: Mapping[str, str],
    spoil: Callable[[Path], None],
    said: str,
) -> None:
    spoil(folder)
    outcome = stillhouse(night_arguments(tmp_path / "lake", folder), served)
    assert outcome.code == 2
    assert said in " ".join(outcome.errors)
    with Lake.open(tmp_path / "lake") as lake:
        assert lake.manifest.nights("smoke") == []
