"""The engine that asks servers, against a double of one that fails in every way."""

import asyncio
import logging
import time
import traceback
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from datagen.config import SamplingConfig, VerdictConfig
from datagen.engine_config import EngineConfig
from datagen.engines.base import Completion, Request
from datagen.engines.openai_engine import OpenAIEngine
from datagen.errors import EngineError
from datagen.families import load_family
from datagen.generate import Order, Shard, write_stories
from datagen.plan import Plan
from datagen.vocabulary import load_vocabulary
from tests.datagen.flaky_server import (
    MODEL,
    ODD_USAGES,
    Fault,
    FlakyServer,
    flaky_server,
    story_of,
    tokens_of,
)

KEY = "sk-planted-0d4f7b1c9a2e"
EVERY_FAULT = tuple(Fault)
QUICK = tuple(fault for fault in Fault if fault not in (Fault.HANG, Fault.DRIP))


def _config(*urls: str, **changes: Any) -> EngineConfig:
    values = {
        "kind": "openai",
        "urls": urls,
        "model": MODEL,
        "concurrency": 8,
        "timeout_s": 5.0,
        "max_retries": 8,
        "first_wait_s": 0.001,
        "max_wait_s": 0.02,
    }
    return EngineConfig.model_validate({**values, **changes})


def _engine(*urls: str, key: str | None = KEY, **changes: Any) -> OpenAIEngine:
    return OpenAIEngine(_config(*urls, **changes), tokens_of, tokens_of, key)


def _sampling(**changes: float) -> SamplingConfig:
    values = {
        "temperature": 0.8,
        "top_k": 40,
        "max_new_tokens": 150,
        "soft_limit_tokens": 150,
        "max_attempts": 2,
        "seed": 3,
        "constrain": False,
        "steer": 0,
    }
    return SamplingConfig.model_validate({**values, **changes})


def _requests(num_requests: int, *, first: int = 0) -> list[Request]:
    """Prompts and openings by turns."""
    told = [
        (f"Tell story {i}.", "") if i % 2 else ("", f"Story {i} began.")
        for i in range(first, first + num_requests)
    ]
    return [Request(*words, 2**40 + i, ()) for i, words in enumerate(told, first)]


def _write(engine: OpenAIEngine, requests: Sequence[Request], **changes: float) -> list[Completion]:
    return engine.write(requests, _sampling(**changes), lambda _: None)


def _honest(request: Request) -> Completion:
    """What an honest server makes of a request, counted in words."""
    text, end = story_of(request.seed % 2**31)
    return Completion(
        text=request.opening + text,
        num_tokens=len(tokens_of(text)) + (end == "stop"),
        is_finished=end == "stop",
        num_prompt_tokens=len(tokens_of(request.prompt + request.opening)),
    )


def _order(*, allows_instructions: bool) -> Order:
    return Order(
        plan=Plan(load_vocabulary("age3"), load_family("story"), 5),
        sampling=_sampling(),
        verdicts=VerdictConfig(
            min_words=5, max_words=60, max_repeated_share=0.3, max_unknown_share=1.0
        ),
        teacher_digest="a teacher's",
        engine={"kind": "openai", "model": "m"},
        allows_instructions=allows_instructions,
    )


def _shard_rows(
    server: FlakyServer, *, allows_instructions: bool, **changes: Any
) -> tuple[dict[str, pa.Table], int]:
    """A night's shard, and how many tokens were heard of."""
    heard: list[int] = []
    tables = write_stories(
        _order(allows_instructions=allows_instructions),
        Shard("run", 0, range(60), f"openai:{MODEL}"),
        _engine(server.url, **changes),
        on_tokens=heard.append,
        on_story=lambda _: None,
    )
    return tables, sum(heard)


@pytest.mark.parametrize("allows_instructions", [True, False], ids=["chat", "openings"])
def test_a_flaky_server_loses_nothing_and_doubles_nothing(allows_instructions: bool) -> None:
    with flaky_server() as honest:
        expected, _ = _shard_rows(honest, allows_instructions=allows_instructions)
    with flaky_server(faults=EVERY_FAULT, hang_s=3) as flaky:
        tables, heard = _shard_rows(flaky, allows_instructions=allows_instructions, timeout_s=0.5)
    assert tables == expected
    assert {*flaky.met} == {*EVERY_FAULT}
    rows = tables["stories"].to_pylist()
    assert len({row["prompt_id"] for row in rows}) == 60
    assert len({row["story_id"] for row in rows}) == len(rows) == sum(flaky.answered.values())
    assert {*flaky.answered.values()} == {1}
    # Each request was asked for until it was answered, and never again.
    assert sum(flaky.asked.values()) == len(rows) + sum(flaky.met.values())
    assert sum(row["num_tokens"] for row in rows) == heard == flaky.tokens["completion_tokens"]
    assert flaky.tokens == honest.tokens


def test_completions_come_in_the_order_of_the_requests() -> None:
    requests = _requests(40)
    with flaky_server(faults=QUICK) as server:
        assert _write(_engine(server.url), requests) == [_honest(request) for request in requests]
        assert server.most_under_way <= 8
    assert _write(_engine("http://127.0.0.1:9/v1"), []) == []


def test_tokens_are_counted_here_where_the_server_cannot_be_right() -> None:
    requests = _requests(8 * len(ODD_USAGES))
    with flaky_server(odd_usage=True) as server:
        assert _write(_engine(server.url), requests) == [_honest(request) for request in requests]


def test_a_request_says_all_that_the_recipe_asks_for() -> None:
    chat, plain = _requests(2, first=1)
    with flaky_server() as server:
        _write(_engine(server.url), [chat])
        _write(_engine(server.url, key=None, sends_top_k=False), [plain], top_k=1_000_000)
    first, second = server.bodies
    common = {"model": MODEL, "temperature": 0.8, "top_p": 1.0, "max_tokens": 150, "n": 1}
    common["stream"] = False
    assert first == {
        **common,
        "path": "/v1/chat/completions",
        "messages": [{"role": "user", "content": chat.prompt}],
        "seed": chat.seed % 2**31,
        "top_k": 40,
    }
    assert second == {
        **common,
        "path": "/v1/completions",
        "prompt": plain.opening,
        "seed": plain.seed % 2**31,
    }
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in server.headers[1]


@pytest.mark.parametrize("fault", QUICK)
def test_a_server_that_only_fails_ends_the_run_with_one_line(fault: Fault) -> None:
    with flaky_server(faults=[fault], most_faults=99) as server:
        server.sent.extend([b"{}"] * 20)
        requests = [request for request in _requests(200) if _fails_on(server, request, 4)][:3]
        with pytest.raises(EngineError) as refusal:
            _write(_engine(server.url, max_retries=3, concurrency=1), requests)
    assert sum(server.asked.values()) == 4
    said = str(refusal.value)
    assert len(said.splitlines()) == 1
    assert f"server {server.url}: expected an answer in 4 tries, found none; the last try: " in said
    assert KEY not in said


def _fails_on(server: FlakyServer, request: Request, tries: int) -> bool:
    return all(server.fault_of(request.seed % 2**31, place) for place in range(tries))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, 'found status 400, "top_k is not known"; compare the recipe'),
        (401, "found status 401; see to the key that engine.api_key_env"),
        (403, "found status 403; see to the key that engine.api_key_env"),
        (404, 'found status 404, "top_k is not known"; see to engine.urls'),
        (302, "found status 302"),
    ],
)
def test_a_refusal_for_good_is_not_asked_again(status: int, said: str) -> None:
    with (
        flaky_server(refusal=(status, "top_k is not known")) as server,
        pytest.raises(EngineError) as refusal,
    ):
        _write(_engine(server.url, concurrency=1), _requests(5))
    assert sum(server.asked.values()) == 1
    assert f"server {server.url}: expected an answer of model {MODEL}, " in str(refusal.value)
    assert said in str(refusal.value)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_no_error_holds_a_part_of_the_key(status: int) -> None:
    words = f"Incorrect API key provided: {KEY[:-6]}******"
    with (
        flaky_server(refusal=(status, words)) as server,
        pytest.raises(EngineError) as refusal,
    ):
        _write(_engine(server.url, max_retries=1, concurrency=1), _requests(1))
    told = "".join(traceback.format_exception(refusal.value))
    assert KEY[:-6] not in told
    assert KEY[:12] not in told


def test_nothing_logged_holds_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with flaky_server(faults=QUICK) as server:
        engine = _engine(server.url)
        _write(engine, _requests(60))
    assert Fault.TELLS_KEY in server.met
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)
    assert "asked again for: bad answer" in caplog.text
    assert any(record.name.startswith("http") for record in caplog.records)
    assert KEY not in caplog.text
    assert KEY not in repr(engine)


def test_only_the_last_answers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.engines.openai_engine._MOST_GIVEN", 5)
    with flaky_server() as server:
        _write(engine := _engine(server.url), _requests(12))
    assert len(engine.given) == 5


def test_a_server_that_hangs_or_drips_is_given_up_in_time() -> None:
    faults = (Fault.HANG, Fault.DRIP)
    with flaky_server(faults=faults, most_faults=1, hang_s=60) as server:
        requests = [request for request in _requests(40) if _fails_on(server, request, 1)][:4]
        begin_s = time.monotonic()
        done = _write(_engine(server.url, timeout_s=0.3), requests)
        assert time.monotonic() - begin_s < 10
    assert done == [_honest(request) for request in requests]
    assert sum(server.met.values()) == 4


def test_a_dead_server_is_left_out_while_another_works() -> None:
    with flaky_server() as server:
        dead = "http://127.0.0.1:9/v1"
        requests = _requests(60)
        done = _write(_engine(dead, server.url, max_wait_s=30, first_wait_s=0.01), requests)
    assert done == [_honest(request) for request in requests]
    assert len(server.bodies) == 60


def test_servers_are_asked_in_turn() -> None:
    with flaky_server() as first, flaky_server() as second:
        _write(_engine(first.url, second.url), _requests(40))
        assert (len(first.bodies), len(second.bodies)) == (20, 20)


def test_retry_after_is_obeyed_within_the_bound() -> None:
    for bound_s in (0.6, 0.01):
        with flaky_server(faults=[Fault.TOO_MANY_WAIT], most_faults=1) as server:
            request = next(r for r in _requests(400) if _fails_on(server, r, 1))
            begin_s = time.monotonic()
            _write(_engine(server.url, max_wait_s=bound_s), [request])
            # The server asks for 7 s.
            assert bound_s <= time.monotonic() - begin_s < 6
            assert server.met[Fault.TOO_MANY_WAIT] == 1


def test_a_request_with_prompt_and_opening_is_refused() -> None:
    engine = _engine("http://127.0.0.1:9/v1")
    for words, found in ((("a", "b"), "both"), (("", ""), "neither")):
        with pytest.raises(EngineError, match=f"found {found}; write with another engine"):
            _write(engine, [Request(*words, 1, ())])


def test_it_writes_in_a_thread_that_has_no_loop_of_its_own() -> None:
    async def write() -> list[Completion]:
        return await asyncio.to_thread(_write, _engine(server.url), _requests(3))

    with flaky_server() as server:
        assert asyncio.run(write()) == [_honest(request) for request in _requests(3)]
