"""vLLM for real, on a CPU: the engine in this process, and a server of it on loopback, against the
transformers engine over the same prompts.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("vllm", reason="needs vLLM; `make test-vllm` sets up an environment with it")

import httpx  # what follows may need the packages that come with vLLM
import torch

from datagen.config import SamplingConfig
from datagen.engine_config import EngineConfig
from datagen.engines.base import Completion, Engine, Request
from datagen.engines.guiding import SentenceEnds
from datagen.engines.openai_engine import OpenAIEngine
from datagen.engines.transformers_engine import TransformersEngine
from datagen.engines.vllm_engine import VllmEngine, load_vllm_engine
from flows.numerics import writer_class
from flows.recipes import TeacherConfig
from flows.teachers import (
    Teacher,
    TeacherTokenizer,
    find_teacher,
    load_model,
    load_tokenizer,
)
from tests.vllm.agreement import (
    Greedy,
    IdsAsText,
    compare,
    first_difference,
    ids_of,
)

pytestmark = pytest.mark.vllm

TEACHER = TeacherConfig(model="smollm2-135m-instruct-q4", batch_size=16, threads=2)
START_PATIENCE_S = 600
_NOUNS = "boat cat dog fish bird tree ball star house moon bear frog".split()
_VERBS = "jump sing swim run play hide dance fly".split()


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return find_teacher(TEACHER.model, print)


@pytest.fixture(scope="module")
def reads(teacher: Teacher) -> TeacherTokenizer:
    return load_tokenizer(teacher)


@pytest.fixture(scope="module")
def ours(teacher: Teacher, reads: TeacherTokenizer) -> TransformersEngine:
    return TransformersEngine(
        model=load_model(teacher, TEACHER),
        tokenizer=reads.tokenizer,
        encode=reads.context_ids,
        end_ids=reads.end_ids,
        batch_size=TEACHER.batch_size,
    )


@pytest.fixture(scope="module")
def theirs(teacher: Teacher, reads: TeacherTokenizer) -> VllmEngine:
    return load_vllm_engine(
        teacher.folder,
        EngineConfig(kind="vllm"),
        device="cpu",
        batch_size=TEACHER.batch_size,
        tokenizer=reads.tokenizer,
        encode=reads.context_ids,
        end_ids=reads.end_ids,
    )


def _sampling(**changes: float) -> SamplingConfig:
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


def _requests(num_requests: int) -> list[Request]:
    """Prompts, and one opening in four."""
    words = [
        (_NOUNS[place % len(_NOUNS)], _VERBS[place % len(_VERBS)]) for place in range(num_requests)
    ]
    return [
        Request("", f"Once upon a time, there was a {noun}. It liked to {verb}.", place, ())
        if place % 4 == 3
        else Request(f"Write a short story about a {noun} that wanted to {verb}.", "", place, ())
        for place, (noun, verb) in enumerate(words)
    ]


def _write(engine: Engine, requests: Sequence[Request], **changes: float) -> list[Completion]:
    return engine.write(requests, _sampling(**changes), lambda _: None)


def _as_ids(engine: Any) -> Any:
    return replace(engine, tokenizer=cast(Any, IdsAsText(engine.tokenizer)))


def _drawn(reads: TeacherTokenizer, request: Request, done: Completion) -> list[int]:
    """What an engine that says ids drew after the opening, its end included."""
    ids = ids_of(done.text)[len(reads.text_ids(request.opening)) :]
    return [*ids, reads.end_ids[0]] if done.is_finished else ids


def _contexts(reads: TeacherTokenizer, requests: Sequence[Request]) -> list[list[int]]:
    return [reads.context_ids(r.prompt) + reads.text_ids(r.opening) for r in requests]


def _greedy(ours: TransformersEngine, reads: TeacherTokenizer, soft_limit: int) -> Greedy:
    size = ours.model.config.vocab_size
    return Greedy(ours.model, SentenceEnds.of(reads.tokenizer, size, reads.end_ids), soft_limit)


@pytest.mark.parametrize("soft_limit", [48, 0], ids=["no soft limit", "soft limit"])
def test_both_engines_write_the_same_greedily(
    ours: TransformersEngine,
    theirs: VllmEngine,
    reads: TeacherTokenizer,
    soft_limit: int,
    record_property: Any,
) -> None:
    requests = _requests(16)
    limit = {"soft_limit_tokens": soft_limit}
    expected, found = (_write(_as_ids(engine), requests, **limit) for engine in (ours, theirs))
    drawn = [
        [_drawn(reads, request, done) for request, done in zip(requests, completions, strict=True)]
        for completions in (expected, found)
    ]
    places = [first_difference(*pair) for pair in zip(*drawn, strict=True)]
    greedy = _greedy(ours, reads, soft_limit)
    agreement = compare(greedy, _contexts(reads, requests), drawn[0], places)
    print(f"offline, soft limit {soft_limit}: {agreement}")
    record_property("agreement", str(agreement))
    assert agreement.wrong == ()
    assert agreement.num_equal >= 12
    counts = [(done.num_tokens, done.num_prompt_tokens) for done in expected]
    equal = [place is None for place in places]
    assert [
        counts[row] == (found[row].num_tokens, found[row].num_prompt_tokens)
        for row, is_equal in enumerate(equal)
        if is_equal
    ] == [True] * sum(equal)


def test_the_soft_limit_ends_more_stories(theirs: VllmEngine) -> None:
    requests = [request for request in _requests(10) if request.prompt]
    free, limited = (
        sum(done.is_finished for done in _write(theirs, requests, **limits))
        for limits in (
            {"max_new_tokens": 90, "soft_limit_tokens": 90},
            {"max_new_tokens": 90, "soft_limit_tokens": 0},
        )
    )
    assert limited > free + 1


def test_a_seed_repeats_its_story_beside_any_others(theirs: VllmEngine) -> None:
    requests = _requests(12)
    warm = {"temperature": 0.9, "top_k": 50}
    first = _write(theirs, requests, **warm)
    assert _write(theirs, requests, **warm) == first
    others = [replace(request, seed=request.seed + 1000) for request in requests]
    texts = {done.text for done in _write(theirs, others, **warm)}
    assert len(texts & {done.text for done in first}) <= 2


def test_the_class_names_vllm(teacher: Teacher) -> None:
    told = writer_class(TEACHER, EngineConfig(kind="vllm"))
    assert told.startswith("vllm 0.32")
    assert f"torch {torch.__version__.split('+')[0]}" in told


@pytest.fixture(scope="module")
def server(teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM's own server of the teacher on loopback: its base address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(teacher.folder), "--served-model-name", "smollm2"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--enforce-eager", "--generation-config", "vllm", "--max-model-len", "1024"]
    command += ["--no-enable-prefix-caching", "--max-num-seqs", str(TEACHER.batch_size)]
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    settings |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as said:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _wait_for(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline_s = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if httpx.get(f"{url}/models", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # it is still loading the model
        time.sleep(1)
    raise AssertionError(f"no server in {START_PATIENCE_S} s: {log.read_text()[-3000:]}")


def test_a_server_writes_the_same_greedily(
    ours: TransformersEngine, server: str, reads: TeacherTokenizer, record_property: Any
) -> None:
    config = EngineConfig(kind="openai", urls=(server,), model="smollm2", timeout_s=300)
    remote = OpenAIEngine(config, reads.context_ids, reads.text_ids)
    requests = [request for request in _requests(20) if request.prompt]
    expected, found = _write(_as_ids(ours), requests), _write(remote, requests)
    drawn = [_drawn(reads, *pair) for pair in zip(requests, expected, strict=True)]
    places = [_parting(reads, ids, done.text) for ids, done in zip(drawn, found, strict=True)]
    agreement = compare(_greedy(ours, reads, 48), _contexts(reads, requests), drawn, places)
    print(f"server: {agreement}")
    record_property("agreement", str(agreement))
    assert agreement.wrong == ()
    assert agreement.num_equal >= 12
    for row, place in enumerate(places):
        assert found[row].num_prompt_tokens == expected[row].num_prompt_tokens
        if place is None:
            assert found[row].num_tokens == expected[row].num_tokens
            assert found[row].is_finished == expected[row].is_finished


def _parting(reads: TeacherTokenizer, ids: list[int], text: str) -> int | None:
    """Where a text parts from what was drawn: before the first id whose text is not its own."""
    if str(reads.tokenizer.decode(ids, skip_special_tokens=True)) == text:
        return None
    for place in range(len(ids)):
        told = str(reads.tokenizer.decode(ids[: place + 1], skip_special_tokens=True))
        if not text.startswith(told.rstrip("\ufffd")):
            return place
    return len(ids) - 1


def test_a_server_repeats_a_seed(server: str, reads: TeacherTokenizer) -> None:
    config = EngineConfig(kind="openai", urls=(server,), model="smollm2", timeout_s=300)
    remote = OpenAIEngine(config, reads.context_ids, reads.text_ids)
    requests = _requests(12)
    warm = {"temperature": 0.9, "top_k": 50}
    first, second = (_write(remote, requests, **warm) for _ in range(2))
    equal = sum(a == b for a, b in zip(first, second, strict=True))
    print(f"server, same seeds again: {equal} of {len(requests)} equal")
    assert equal >= 10
    assert len({done.text for done in first}) == len(requests)
