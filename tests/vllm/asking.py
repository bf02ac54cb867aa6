"""What the engines are asked to write, and what they drew."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch

from datagen.config import SamplingConfig
from datagen.engines.base import Completion, Engine, Request
from datagen.engines.guiding import FreeGuide, SentenceEnds
from datagen.engines.transformers_engine import TransformersEngine
from flows.recipes import TeacherConfig
from flows.teachers import TeacherTokenizer
from tests.vllm.agreement import Greedy, IdsAsText, ids_of

TEACHER = TeacherConfig(model="smollm2-135m-instruct-q4", batch_size=16, threads=2)
NOUNS = "boat cat dog fish bird tree ball star house moon bear frog".split()
VERBS = "jump sing swim run play hide dance fly".split()


def sampling(**changes: float) -> SamplingConfig:
    """Greedy, 48 tokens, no soft limit, any words, unless changed."""
    values = {
        "temperature": 1.0,
        "top_k": 1,
        "max_new_tokens": 48,
        "soft_limit_tokens": 48,
        "max_attempts": 1,
        "seed": 0,
        "constrain": False,
        "steer": 0,
    }
    return SamplingConfig.model_validate({**values, **changes})


def requests_for(num_requests: int) -> list[Request]:
    """Prompts, and one opening in four; each requires its noun and its verb, as they stand."""
    words = [
        (NOUNS[place % len(NOUNS)], VERBS[place % len(VERBS)]) for place in range(num_requests)
    ]
    return [
        _continued(place, *pair) if place % 4 == 3 else _asked(place, *pair)
        for place, pair in enumerate(words)
    ]


def _asked(place: int, noun: str, verb: str) -> Request:
    prompt = f"Write a short story about a {noun} that wanted to {verb}."
    return Request(prompt, "", place, (frozenset({noun}), frozenset({verb})))


def _continued(place: int, noun: str, verb: str) -> Request:
    opening = f"Once upon a time, there was a {noun}. It liked to {verb}."
    return Request("", opening, place, (frozenset({noun}), frozenset({verb})))


def write(engine: Engine, requests: Sequence[Request], **changes: float) -> list[Completion]:
    """What the engine writes under the changed sampling."""
    return engine.write(requests, sampling(**changes), lambda _: None)


def as_ids(engine: Any) -> Any:
    """The engine, saying ids in the place of text."""
    return replace(engine, tokenizer=cast(Any, IdsAsText(engine.tokenizer)))


def drawn(reads: TeacherTokenizer, request: Request, done: Completion) -> list[int]:
    """What an engine that says ids drew after the opening, its end included."""
    ids = ids_of(done.text)[len(reads.text_ids(request.opening)) :]
    return [*ids, reads.end_ids[0]] if done.is_finished else ids


def contexts(reads: TeacherTokenizer, requests: Sequence[Request]) -> list[list[int]]:
    """The ids that each request is told."""
    return [reads.context_ids(r.prompt) + reads.text_ids(r.opening) for r in requests]


def greedy(ours: TransformersEngine, requests: Sequence[Request], asked: SamplingConfig) -> Greedy:
    """What the teacher itself would write of the requests."""
    constraint = ours.constraint
    if not asked.constrain:
        vocab_size = ours.model.config.vocab_size
        ends = SentenceEnds.of(ours.tokenizer, vocab_size, ours.end_ids)
        ids_V = torch.arange(vocab_size)
        return Greedy(ours.model, lambda _: FreeGuide(ends, asked.soft_limit_tokens), ids_V)
    assert constraint is not None

    def guide_of(row: int) -> Any:
        guide = constraint.guide(1, asked)
        guide.admit([0], [requests[row]])
        return guide

    return Greedy(constraint.model, guide_of, constraint.ids_U)
