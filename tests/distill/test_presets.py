"""The students' sizes, their first weights, and what lies on disk in the end."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from distill.errors import DistillError
from distill.students.presets import PRESETS, build_student
from distill.students.save import load_student, save_student
from distill.students.weights import weights_digest
from distill.tokens import TokenSpace, make_space

VOCAB_SIZE = 12
START, END = 0, 1
CARD = "# A student\n"


def small_student(seed: int = 0) -> LlamaForCausalLM:
    return build_student("stlm-1m", VOCAB_SIZE, START, END, seed)


@pytest.fixture(scope="module")
def space() -> TokenSpace:
    words = ["<s>", "</s>", "<unk>", "a", "dog", "cat", "ran", "sat", "home", "to", "the", "big"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    ids = np.arange(VOCAB_SIZE, dtype=np.int32)
    return make_space(
        tokenizer.to_str(),
        start_id=START,
        end_id=END,
        to_teacher=ids,
        from_teacher=ids,
        teacher_tokenizer_sha256="0" * 64,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_parameters_that_its_name_says(name: str) -> None:
    preset = PRESETS[name]
    millions = int(name.removeprefix("stlm-").removesuffix("m"))
    found = preset.num_parameters(preset.reference_vocab_size)
    assert abs(found / (millions * 1_000_000) - 1) < 0.01


@pytest.mark.parametrize("name", ["stlm-1m", "stlm-3m", "stlm-10m"])
def test_a_built_student_has_the_parameters_that_its_preset_counts(name: str) -> None:
    model = build_student(name, 50, START, END, seed=0)
    assert sum(p.numel() for p in model.parameters()) == PRESETS[name].num_parameters(50)


def test_stlm_1m_has_1000064_parameters_at_4096_ids() -> None:
    model = build_student("stlm-1m", 4096, START, END, seed=0)
    assert sum(p.numel() for p in model.parameters()) == 1_000_064


@pytest.mark.parametrize("name", PRESETS)
def test_heads_are_as_wide_as_vllm_wants_them(name: str) -> None:
    preset = PRESETS[name]
    assert preset.num_heads * preset.head_dim == preset.hidden_size
    assert preset.num_heads % preset.num_kv_heads == 0
    assert preset.head_dim in ((32, 64) if preset.hidden_size < 256 else (64,))


def test_first_weights_follow_from_the_arguments_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = weights_digest(small_student(5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert weights_digest(small_student(5)) == first
    assert weights_digest(small_student(6)) != first


def test_a_new_student_knows_nothing() -> None:
    model = build_student("stlm-1m", 4096, START, END, seed=0)
    with torch.no_grad():
        logits = model(input_ids=torch.arange(0, 4096, 64)[None]).logits
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    assert entropy.min() > 0.99 * math.log(4096)


def test_every_id_gets_a_gradient_the_end_symbol_too() -> None:
    model = small_student()
    ids = torch.arange(VOCAB_SIZE)[None]
    torch.autograd.backward(model(input_ids=ids, labels=ids).loss)
    gradient = model.get_parameter("model.embed_tokens.weight").grad
    assert gradient is not None
    assert (gradient.norm(dim=1) > 0).all()


def test_embeddings_are_tied_and_nothing_drops_out() -> None:
    model = small_student()
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert not [m for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert model.config.attention_dropout == 0.0


def test_unknown_presets_and_ids_are_refused() -> None:
    with pytest.raises(DistillError, match="'stlm-2m' does not exist; choose one of stlm-1m,"):
        build_student("stlm-2m", VOCAB_SIZE, START, END, 0)
    with pytest.raises(DistillError, match=r"end_id must lie in \[0, 12\), found 12"):
        build_student("stlm-1m", VOCAB_SIZE, START, 12, 0)


def test_a_saved_student_is_what_transformers_loads(tmp_path: Path, space: TokenSpace) -> None:
    model = small_student().eval()
    save_student(tmp_path / "student", model, space, CARD)
    ours, our_space = load_student(tmp_path / "student")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "student")
    ids = torch.tensor([[START, 3, 4, 6, 8]])
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        assert torch.equal(ours(input_ids=ids).logits, expected)
        assert torch.equal(theirs(input_ids=ids).logits, expected)
    assert weights_digest(ours) == weights_digest(model)
    assert theirs.dtype == torch.float32
    assert theirs.generation_config.eos_token_id == END
    assert our_space.digest == space.digest
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "student")
    assert tokenizer.encode("a dog ran home", add_special_tokens=False) == [3, 4, 6, 8]
    assert tokenizer.eos_token_id == END


def test_a_student_on_disk_is_whole_and_has_no_pickle(tmp_path: Path, space: TokenSpace) -> None:
    save_student(tmp_path / "student", small_student(), space, CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert sorted(path.name for path in (tmp_path / "student").iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "token_space.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    modes = {path.stat().st_mode & 0o444 for path in (tmp_path / "student").iterdir()}
    assert modes == {0o444}  # a lake is a team's
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "auto_map" not in config


def test_saving_again_is_fine_and_another_student_is_refused(
    tmp_path: Path, space: TokenSpace
) -> None:
    folder = tmp_path / "student"
    save_student(folder, small_student(), space, CARD)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    save_student(folder, small_student(), space, CARD)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(DistillError, match="just made expected, found others"):
        save_student(folder, small_student(seed=1), space, CARD)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DistillError, match="just made expected, found others"):
        save_student(folder, small_student(), space, CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_a_model_of_other_ids_is_not_saved(tmp_path: Path, space: TokenSpace) -> None:
    other = build_student("stlm-1m", VOCAB_SIZE + 1, START, END, 0)
    with pytest.raises(DistillError, match=r"expected \(12, 0, 1\), found \(13, 0, 1\)"):
        save_student(tmp_path / "student", other, space, CARD)
    assert list(tmp_path.iterdir()) == []


def test_a_student_that_is_not_whole_is_refused(tmp_path: Path, space: TokenSpace) -> None:
    save_student(tmp_path / "student", small_student(), space, CARD)
    path = tmp_path / "student" / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(DistillError, match=r"model\.safetensors expected, found SafetensorError"):
        load_student(tmp_path / "student")
    path.write_bytes(whole)
    tensors = load_file(path)
    save_file({**tensors, "model.norm.weight": tensors["model.norm.weight"] / 0}, path)
    with pytest.raises(DistillError, match=r"numbers expected in model\.norm\.weight, found NaN"):
        load_student(tmp_path / "student")
    del tensors["model.norm.weight"]
    save_file(tensors, path)
    with pytest.raises(DistillError, match=r"does not hold the tensors that config\.json asks for"):
        load_student(tmp_path / "student")
    path.unlink()
    with pytest.raises(DistillError, match="found FileNotFoundError"):
        load_student(tmp_path / "student")
