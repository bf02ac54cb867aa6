"""vLLM's own server, on a CPU and on loopback, asked through the openai engine."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="needs vLLM; `make test-vllm` sets up an environment with it")

import httpx  # what follows may need the packages that come with vLLM

from datagen.engine_config import EngineConfig
from datagen.engines.openai_engine import OpenAIEngine
from datagen.engines.transformers_engine import TransformersEngine
from flows.teachers import Teacher, TeacherTokenizer
from tests.vllm.agreement import compare
from tests.vllm.asking import (
    TEACHER,
    as_ids,
    contexts,
    drawn,
    greedy,
    requests_for,
    sampling,
    write,
)

pytestmark = pytest.mark.vllm

START_PATIENCE_S = 600


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
    requests = [request for request in requests_for(20) if request.prompt]
    expected, found = write(as_ids(ours), requests), write(remote, requests)
    ids = [drawn(reads, *pair) for pair in zip(requests, expected, strict=True)]
    places = [_parting(reads, row, done.text) for row, done in zip(ids, found, strict=True)]
    agreement = compare(greedy(ours, requests, sampling()), contexts(reads, requests), ids, places)
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


def test_a_server_repeats_a_seed(
    server: str, reads: TeacherTokenizer, record_property: Any
) -> None:
    config = EngineConfig(kind="openai", urls=(server,), model="smollm2", timeout_s=300)
    remote = OpenAIEngine(config, reads.context_ids, reads.text_ids)
    requests = requests_for(12)
    warm = {"temperature": 0.9, "top_k": 50}
    first, second = (write(remote, requests, **warm) for _ in range(2))
    equal = sum(a == b for a, b in zip(first, second, strict=True))
    record_property("same seeds again", f"{equal} of {len(requests)} equal")
    assert equal >= 10
    assert len({done.text for done in first}) == len(requests)
