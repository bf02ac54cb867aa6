"""Teachers: found by name, folder or hub id, checked, described by what is in their files, loaded.

A teacher's identity is the digest of its files, so a folder that was moved is the same teacher, and
one whose bytes changed is another. Only safetensors are loaded, and no code that comes with a model
is ever run.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from distill.errors import DistillError
from distill.safe_files import refuse_unsafe, tensor_facts, weight_files
from flows.errors import FlowsError
from flows.hub_teachers import HUB_TEACHERS, MODEL_FILES, hub_folder, is_hub_id, pull_hub
from flows.recipes import TeacherConfig
from flows.teacher_packages import PACKAGED_TEACHERS, packaged_folder, pull_packaged
from flows.teacher_shapes import check_numbers, check_shapes
from warehouse.identity import folder_digest, sha256_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TEXT_END = "<|endoftext|>"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher's folder and what its files say.

    allows_instructions: it has a chat template and is told what to write; otherwise it continues a
    text.
    """

    name: str
    folder: Path
    digest: str
    tokenizer_sha256: str
    allows_instructions: bool


@dataclass(frozen=True, slots=True)
class TeacherTokenizer:
    """How a teacher reads. start_id begins a text without a prompt; any of end_ids ends one, the
    first in its stead.
    """

    tokenizer: "PreTrainedTokenizerBase"
    start_id: int
    end_ids: tuple[int, ...]

    @property
    def vocab_size(self) -> int:
        """The ids that the tokenizer knows; the model's head may be padded beyond them."""
        return len(self.tokenizer)

    def context_ids(self, prompt: str) -> list[int]:
        """What stands before the story: the prompt in the chat template, or the start symbol alone
        for an empty prompt.
        """
        if not prompt:
            return [self.start_id]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        return self.text_ids(str(text))

    def text_ids(self, text: str) -> list[int]:
        """The ids of a text alone."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))


def cache_folder() -> Path:
    """Where teachers are kept, shared by lakes: STILLHOUSE_CACHE, or `stillhouse` in the user's
    cache folder.
    """
    chosen = os.environ.get("STILLHOUSE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stillhouse"


@dataclass(frozen=True, slots=True)
class NamedTeacher:
    """A teacher that comes by name, and whether it is in the cache."""

    name: str
    licence: str
    description: str
    is_pulled: bool


def named_teachers() -> list[NamedTeacher]:
    """Every teacher that comes by name, the ones from a package index first."""
    cache = cache_folder()
    packaged = [
        NamedTeacher(t.name, t.licence, t.description, packaged_folder(t, cache).is_dir())
        for t in PACKAGED_TEACHERS.values()
    ]
    hub = [
        NamedTeacher(t.name, t.licence, t.description, hub_folder(t.hub_id, cache).is_dir())
        for t in HUB_TEACHERS.values()
    ]
    return [*packaged, *hub]


def find_teacher(model: str, say: Say) -> Teacher:
    """The described teacher of that name, folder or hub id, pulled if it is not here; FlowsError
    says what is missing, TransientError that a network did not answer.
    """
    packaged, hub = PACKAGED_TEACHERS.get(model), HUB_TEACHERS.get(model)
    if packaged is not None:
        return _described(model, pull_packaged(packaged, cache_folder(), say))
    if hub is not None:
        return _described(model, pull_hub(hub.hub_id, cache_folder(), say))
    folder = local_folder(model)
    if folder is not None:
        return _described(folder.name, folder)
    if is_hub_id(model):
        return _described(model, pull_hub(model, cache_folder(), say))
    names = ", ".join((*PACKAGED_TEACHERS, *HUB_TEACHERS))
    raise FlowsError(
        f"teacher.model = {model}: expected one of {names}, a folder, or a hub id (owner/name); "
        "found none of these"
    )


def local_folder(model: str) -> Path | None:
    """The folder that a person named; None if there is none, whatever stands in the name."""
    try:
        folder = Path(model).expanduser()
        return folder.resolve() if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # a path that cannot be, a home of nobody
        return None


def describe_teacher(name: str, folder: Path) -> Teacher:
    """What the folder's files say; FlowsError if it holds no safetensors model with a fast
    tokenizer, or code to be run.
    """
    try:
        refuse_unsafe(folder, f"teacher {name}")
        for needed in ("config.json", "tokenizer.json"):
            if not (folder / needed).is_file():
                raise FlowsError(f"teacher {name}: expected {needed} in {folder}, found none")
        # Every header is read, so that a broken file is found before a night is claimed for it.
        for file in weight_files(folder, f"teacher {name}"):
            tensor_facts(file, f"teacher {name}")
    except DistillError as exc:
        raise FlowsError(str(exc)) from exc
    for read in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        _read_json(folder / read)
    names = {file.name for pattern in MODEL_FILES for file in folder.glob(pattern)}
    return Teacher(
        name=name,
        folder=folder,
        digest=folder_digest(folder, names),
        tokenizer_sha256=sha256_file(folder / "tokenizer.json"),
        allows_instructions=(folder / "chat_template.jinja").is_file()
        or bool(_read_json(folder / "tokenizer_config.json").get("chat_template")),
    )


@lru_cache(maxsize=1)
def load_tokenizer(teacher: Teacher) -> TeacherTokenizer:
    """The teacher's tokenizer with its start and end symbols, as the folder's files name them."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(teacher.folder, trust_remote_code=False)
    except Exception as exc:  # tokenizers has no error class of its own
        raise _unloadable(teacher, "a tokenizer", exc) from exc
    added: dict[str, int] = tokenizer.get_added_vocab()
    named = _read_json(teacher.folder / "generation_config.json").get("eos_token_id")
    ends = [*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id]
    strange = [i for i in ends if i is not None and not _is_id(i, len(tokenizer))]
    if strange:
        raise FlowsError(
            f"teacher {teacher.name}: expected eos_token_id in {teacher.folder} to be ids of its "
            f"{len(tokenizer)}, found {', '.join(map(repr, strange))}; mend or fetch it again"
        )
    end_ids = tuple(dict.fromkeys(i for i in [*ends, added.get(_TEXT_END)] if i is not None))
    if not end_ids:
        raise FlowsError(
            f"teacher {teacher.name}: expected an end symbol (eos_token_id) in {teacher.folder}, "
            "found none"
        )
    starts = [added.get(_TEXT_END), tokenizer.bos_token_id, end_ids[0]]
    reads = TeacherTokenizer(tokenizer, next(i for i in starts if i is not None), end_ids)
    if teacher.allows_instructions:
        try:
            reads.context_ids("Write a story.")
        except Exception as exc:  # a template can raise anything
            raise _unloadable(teacher, "a chat template for one message of a user", exc) from exc
    return reads


def check_teacher(teacher: Teacher, *, can_write: bool) -> None:
    """FlowsError if the teacher cannot be loaded, EngineError if it is to write and its family
    cannot be decoded in rows, as far as its files tell without its weights.
    """
    reads = load_tokenizer(teacher)
    try:
        model = check_shapes(teacher.folder, 1 + max(reads.tokenizer.get_vocab().values()))
    except Exception as exc:  # transformers raises anything over a config that it cannot follow
        raise _unloadable(teacher, "a model", exc) from exc
    if can_write:
        from datagen.engines.decoding_check import check_family

        check_family(model)


@lru_cache(maxsize=1)
def load_model(teacher: Teacher, config: TeacherConfig, *, can_write: bool) -> "PreTrainedModel":
    """The teacher's model, float32, in eval mode, once per process; raises as check_teacher."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from datagen.engines.decoding import ATTENTION
    from datagen.engines.decoding_check import check_decoding
    from flows.numerics import use_device, use_threads

    disable_progress_bar()
    use_threads(config.threads)
    check_teacher(teacher, can_write=can_write)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            teacher.folder,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=ATTENTION if can_write else None,
            output_loading_info=True,
        )
        model: PreTrainedModel = loaded[0].eval()
        check_numbers(model, loaded[1]["missing_keys"])
    except Exception as exc:  # transformers raises anything over a config that it cannot follow
        raise _unloadable(teacher, "a model", exc) from exc
    if getattr(model.config.get_text_config(), "attn_logit_softcapping", None):
        model.set_attn_implementation(ATTENTION)  # the default, sdpa, leaves the cap out
    use_device(model, config)
    if can_write:
        check_decoding(model)
    return model


def _is_id(value: object, vocab_size: int) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and 0 <= cast("int", value) < vocab_size


def _unloadable(teacher: Teacher, what: str, error: Exception) -> FlowsError:
    said = next(iter(str(error).splitlines()), type(error).__name__)
    return FlowsError(
        f"teacher {teacher.name}: expected {what} that transformers loads in {teacher.folder}, "
        f"found: {said}; mend or fetch it again"
    )


@lru_cache(maxsize=8)
def _described(name: str, folder: Path) -> Teacher:
    """describe_teacher once per process: it reads every byte of the weights."""
    return describe_teacher(name, folder)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as exc:
        raise FlowsError(f"{path}: expected JSON, found: {exc}; mend or fetch it again") from exc
    return values if isinstance(values, dict) else {}
