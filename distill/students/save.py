"""A student on disk: a folder that transformers, vLLM and llama.cpp's converter read as it is.

config.json, generation_config.json, model.safetensors (tied weights once), tokenizer.json,
tokenizer_config.json, token_space.json (what its ids mean in the teacher's terms), README.md (the
model card) and card.json (what that card says of the training). The folder appears whole or not at
all. Loading reads safetensors and JSON only: no pickle, no code from the folder.
"""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from distill import tokens
from distill.checkpoint import sync, write_tensors
from distill.errors import DistillError
from distill.safe_files import TensorFacts, misfit, refuse_unsafe, tensor_facts
from distill.students.files import CARD_FILE, FACTS_FILE
from distill.students.presets import strange_setting
from distill.students.weights import not_finite
from distill.tokens import TokenSpace
from warehouse.identity import folder_digest

WEIGHTS_FILE = "model.safetensors"
_TIED = "lm_head.weight"
# What a student is; the rest names library versions or is prose, and may differ.
_COMPARED = (WEIGHTS_FILE, tokens.SPACE_FILE, tokens.TOKENIZER_FILE)


def save_student(
    folder: Path,
    model: LlamaForCausalLM,
    space: TokenSpace,
    card: str,
    *,
    facts: str | None = None,
) -> None:
    """Make `folder` hold the student, its card and the card's facts, durably and in one rename.

    A folder that already holds the same weights and token space is left as it is; DistillError if
    it holds others, or if the model's ids are not the space's.
    """
    _check_ids(model, space)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".unfinished-{folder.name}-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        prose = {CARD_FILE: card} if facts is None else {CARD_FILE: card, FACTS_FILE: facts}
        _write(unfinished, model, space, prose)
        _put(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_student(folder: Path) -> tuple[LlamaForCausalLM, TokenSpace]:
    """The student that save_student put there, ready to evaluate; DistillError if not whole."""
    what = f"student {folder}"
    refuse_unsafe(folder, what)
    space = tokens.load(folder)
    found = tensor_facts(folder / WEIGHTS_FILE, what)
    config = _checked_config(folder, found)
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    _check_ids(model, space)
    model.load_state_dict(load_file(folder / WEIGHTS_FILE), strict=False)
    if name := not_finite(model):
        raise DistillError(
            f"{what}: numbers expected in {name}, found NaN or infinity; train it again"
        )
    return model.eval(), space


def _checked_config(folder: Path, found: Mapping[str, TensorFacts]) -> LlamaConfig:
    """The config, once it asks for the tensors that the weights' header says are there.

    Nothing is allocated: a changed config.json may ask for billions of weights. Each layer has
    tensors, so more layers than tensors are not even counted out.
    """
    try:
        config = LlamaConfig.from_json_file(folder / "config.json")
        if config.num_hidden_layers > len(found):
            raise ValueError(f"{config.num_hidden_layers} layers for {len(found)} tensors")
        with torch.device("meta"):
            asked = LlamaForCausalLM(config).state_dict()
        if strange := strange_setting(config):
            raise ValueError(strange)
    except Exception as exc:  # transformers raises anything over a config that it cannot follow
        raise DistillError(
            f"student {folder}: config.json of a student expected, found {type(exc).__name__}: "
            f"{str(exc).splitlines()[0] if str(exc) else 'no reason'}; train it again"
        ) from exc
    expected = {
        name: TensorFacts("F32", tuple(tensor.shape))
        for name, tensor in asked.items()
        if name != _TIED
    }
    if difference := misfit(found, expected):
        raise DistillError(
            f"student {folder}: {WEIGHTS_FILE} does not hold the tensors that config.json asks "
            f"for ({difference}); train it again"
        )
    return config


def _check_ids(model: LlamaForCausalLM, space: TokenSpace) -> None:
    config = model.config
    found = (config.vocab_size, config.bos_token_id, config.eos_token_id)
    expected = (space.vocab_size, space.start_id, space.end_id)
    if found != expected:
        raise DistillError(
            f"vocabulary size, start id and end id of space {space.digest} expected {expected}, "
            f"found {found}: build the student for this space"
        )


def _write(
    folder: Path, model: LlamaForCausalLM, space: TokenSpace, prose: Mapping[str, str]
) -> None:
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name != _TIED}
    write_tensors(folder / WEIGHTS_FILE, tensors, metadata={"format": "pt"})
    model.config.save_pretrained(folder)
    GenerationConfig(
        bos_token_id=space.start_id, eos_token_id=space.end_id, pad_token_id=space.end_id
    ).save_pretrained(folder)
    tokens.save(space, folder)
    for name, text in prose.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        sync(path)


def _put(unfinished: Path, folder: Path) -> None:
    try:
        unfinished.rename(folder)
    except OSError as exc:
        if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _refuse_other_student(folder, unfinished)
    sync(folder.parent)


def _refuse_other_student(found: Path, expected: Path) -> None:
    try:
        is_equal = folder_digest(found, _COMPARED) == folder_digest(expected, _COMPARED)
    except FileNotFoundError:
        is_equal = False
    if not is_equal:
        raise DistillError(
            f"student {found}: the weights and token space just made expected, found others: "
            "the folder was changed, or the training is not deterministic here; move it away and "
            "run again"
        )
