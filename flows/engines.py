"""Which engine writes a night's stories, made as the recipe asks.

The only place where a key is read: from the environment or a Prefect secret block, when the engine
is made. It goes into the engine and its requests' headers and nowhere else.
"""

import os
import threading
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from datagen.engine_config import EngineConfig
from datagen.engines.base import Engine
from flows.constraints import teacher_constraint
from flows.errors import FlowsError
from flows.night import Tonight
from flows.numerics import use_threads
from flows.recipes import TeacherConfig
from flows.teachers import Teacher, load_tokenizer

if TYPE_CHECKING:
    from datagen.engines.guiding import Constraint
    from datagen.engines.vllm_engine import VllmEngine

_MAKING = threading.Lock()  # shards that are written at once share an engine's weights


def make_engine(tonight: Tonight) -> Engine:
    """The engine of the night's recipe; FlowsError if its key is missing, EngineError if what it
    needs is not there.
    """
    recipe = tonight.recipe
    with _MAKING:
        if recipe.engine.kind == "openai":
            return _openai_engine(tonight.teacher, recipe.engine)
        if recipe.engine.kind == "vllm":
            engine = _vllm_engine(tonight.teacher, recipe.teacher, recipe.engine)
            return replace(engine, constraint=_constraint(tonight))
        return _transformers_engine(tonight)


def read_key(config: EngineConfig) -> str | None:
    """The key for the servers, or None where the recipe names none; FlowsError, without the key,
    if there is none under that name or it cannot stand in a header.
    """
    if config.api_key_env:
        where = f"the environment variable {config.api_key_env} (engine.api_key_env)"
        key = os.environ.get(config.api_key_env)
    elif config.api_key_secret:
        where = f"the Prefect secret block {config.api_key_secret} (engine.api_key_secret)"
        key = _secret(config.api_key_secret)
    else:
        return None
    key = (key or "").strip()
    if not key:
        raise FlowsError(
            f"{where}: expected the key for {', '.join(config.urls)}, found none; set it where the "
            "night runs"
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise FlowsError(
            f"{where}: expected a key of plain signs without spaces, found others (not shown); "
            "set it again"
        )
    return key


def _secret(name: str) -> str | None:
    from prefect.blocks.system import Secret

    try:
        secret = Secret.load(name)
    except ValueError as exc:  # Prefect's word for a block that is not there
        raise FlowsError(
            f"engine.api_key_secret = {name}: expected a Prefect block of type secret, found none; "
            "make one on Prefect's page (Blocks, Secret)"
        ) from exc
    return str(secret.get())  # type: ignore[union-attr]


@lru_cache(maxsize=1)
def _openai_engine(teacher: Teacher, config: EngineConfig) -> Engine:
    """Once per process, so that it knows all answers of the night."""
    from datagen.engines.openai_engine import OpenAIEngine

    reads = load_tokenizer(teacher)
    return OpenAIEngine(
        config=config,
        encode=reads.context_ids,
        text_ids=reads.text_ids,
        api_key=read_key(config),
    )


@lru_cache(maxsize=1)
def _vllm_engine(teacher: Teacher, config: TeacherConfig, engine: EngineConfig) -> "VllmEngine":
    """Once per process: it holds a second copy of the weights."""
    from datagen.engines.vllm_engine import load_vllm_engine

    reads = load_tokenizer(teacher)
    use_threads(config.threads)
    return load_vllm_engine(
        teacher.folder,
        engine,
        device=config.device,
        batch_size=config.batch_size,
        tokenizer=reads.tokenizer,
        encode=reads.context_ids,
        end_ids=reads.end_ids,
    )


def _transformers_engine(tonight: Tonight) -> Engine:
    from datagen.engines.transformers_engine import TransformersEngine

    reads = load_tokenizer(tonight.teacher)
    config = tonight.recipe.teacher
    return TransformersEngine(
        model=tonight.teacher_model(),
        tokenizer=reads.tokenizer,
        encode=reads.context_ids,
        end_ids=reads.end_ids,
        batch_size=config.batch_size,
        constraint=_constraint(tonight),
    )


def _constraint(tonight: Tonight) -> "Constraint | None":
    """What keeps the night's teacher to its vocabulary, if anything does."""
    if not tonight.recipe.sampling.constrain:
        return None
    return teacher_constraint(tonight.teacher, tonight.teacher_model(), tonight.vocabulary)
