"""The teacher behind servers that speak the OpenAI API: vLLM, llama.cpp, SGLang, services.

A prompt is asked for as a chat, an opening as plain text to go on from. Each request carries its
own seed. Servers do not promise equal answers to equal requests, so what is written first is kept,
and no equality of two nights is claimed.

What passes by itself is asked again, a bounded number of times, with waits that double and follow
from the request's seed: refusals for haste (429), timeouts, connections that break, faults of the
server (5xx), and answers that are not whole. Anything else stops the night with one line. The key
goes into the header of each request and nowhere else.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from datagen.config import SamplingConfig
from datagen.engine_config import EngineConfig
from datagen.engines.answers import Answer, BadAnswerError, Expected, read_answer, server_words
from datagen.engines.base import Completion, Request, TokensWritten
from datagen.engines.rotation import Rotation
from datagen.errors import EngineError
from warehouse.identity import digest, seed_from

# Some servers hold a seed in 32 bits, signed or not.
_SEEDS = 2**31
# No whole answer of 4,096 tokens comes near; what does is no answer.
_MOST_BYTES = 16 * 2**20
_MOST_DOUBLINGS = 30
_MOST_GIVEN = 10_000
_WHAT_TO_DO = {
    400: "compare the recipe with what the server allows (engine.sends_top_k, max_new_tokens)",
    401: "see to the key that engine.api_key_env or engine.api_key_secret names",
    403: "see to the key that engine.api_key_env or engine.api_key_secret names",
    404: "see to engine.urls (do they end in /v1?) and engine.model",
}
logger = logging.getLogger(__name__)


class _AskAgainError(Exception):
    """This try gave nothing, another may; the message says why."""

    def __init__(self, kind: str, said: str, wait_s: float | None = None) -> None:
        super().__init__(said)
        self.kind = kind
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class OpenAIEngine:
    """Asks the servers of the recipe's [engine].

    encode gives the ids of a prompt as the model is told it, text_ids those of a plain text: tokens
    are counted with them where a server does not say. given: the identifiers of the last 10,000
    answers and digests of their texts; an engine lives as long as its process, so that an answer of
    an earlier shard is known again.
    """

    config: EngineConfig
    encode: Callable[[str], list[int]]
    text_ids: Callable[[str], list[int]]
    api_key: str | None = field(default=None, repr=False)
    given: OrderedDict[str, str] = field(default_factory=OrderedDict, repr=False)

    def write(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: TokensWritten
    ) -> list[Completion]:
        """One completion per request; EngineError if a server refuses one for good, or none answers
        it in the recipe's number of tries.
        """
        for request in requests:
            if bool(request.prompt) == bool(request.opening):
                raise EngineError(
                    "engine.kind = 'openai': expected requests with a prompt or an opening, found "
                    f"{'both' if request.prompt else 'neither'}; write with another engine"
                )
        return asyncio.run(_Writing(self, sampling, on_tokens).all_of(requests))

    def payload(self, request: Request, sampling: SamplingConfig) -> Mapping[str, Any]:
        """The body that is sent: the draws as the recipe has them, and nothing left to a server's
        defaults that the API can name.
        """
        told: dict[str, Any] = (
            {"messages": [{"role": "user", "content": request.prompt}]}
            if request.prompt
            else {"prompt": request.opening}
        )
        cut = {"top_k": sampling.top_k} if self.config.sends_top_k else {}
        return {
            "model": self.config.model,
            **told,
            "seed": request.seed % _SEEDS,
            "temperature": sampling.temperature,
            "top_p": 1.0,
            **cut,
            "max_tokens": sampling.max_new_tokens,
            "n": 1,
            "stream": False,
        }


@dataclass(slots=True)
class _Writing:
    """One call of `write` at work."""

    engine: OpenAIEngine
    sampling: SamplingConfig
    on_tokens: TokensWritten
    rotation: Rotation = field(init=False)
    failures: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        config = self.engine.config
        self.rotation = Rotation.of(config.urls, config.first_wait_s, config.max_wait_s)

    async def all_of(self, requests: Sequence[Request]) -> list[Completion]:
        """The answers in the requests' order; the first error that is final ends all."""
        key = self.engine.api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        places = iter(range(len(requests)))
        done: dict[int, Completion] = {}
        num_workers = min(self.engine.config.concurrency, len(requests))
        # The time of a whole answer is bounded in _post: httpx's own limits begin anew with each
        # byte, so a server that drips would never reach them.
        async with httpx.AsyncClient(
            headers=headers, timeout=None, limits=httpx.Limits(max_connections=num_workers)
        ) as client:
            workers = [
                asyncio.create_task(self._work(client, requests, places, done))
                for _ in range(num_workers)
            ]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        if self.failures:
            found = ", ".join(f"{kind} {count}" for kind, count in sorted(self.failures.items()))
            logger.info("%d requests answered; asked again for: %s", len(done), found)
        return [done[place] for place in range(len(requests))]

    async def _work(
        self,
        client: httpx.AsyncClient,
        requests: Sequence[Request],
        places: Iterator[int],
        done: dict[int, Completion],
    ) -> None:
        for place in places:
            done[place] = await self._completion(client, requests[place])
            self.on_tokens(done[place].num_tokens)

    async def _completion(self, client: httpx.AsyncClient, request: Request) -> Completion:
        config = self.engine.config
        payload = self.engine.payload(request, self.sampling)
        clock = asyncio.get_running_loop().time
        last = _AskAgainError("", "")
        url = ""
        for tries in range(config.max_retries + 1):
            url, wait_s = self.rotation.take(clock())
            await asyncio.sleep(wait_s)
            try:
                answer = await self._post(client, url, payload)
                self._check_new(answer)
            except _AskAgainError as exc:
                last = exc
                self.failures[exc.kind] += 1
                out_s = self.rotation.failed(url, clock(), exc.wait_s)
                if out_s:
                    logger.info("server %s: %s; left out for %.1f s", url, exc, out_s)
                if tries < config.max_retries:
                    await asyncio.sleep(backoff_s(config, request.seed, tries))
            else:
                self.rotation.worked(url, clock())
                return self._completed(request, answer)
        raise EngineError(
            f"server {url}: expected an answer in {config.max_retries + 1} tries, found none; the "
            f"last try: {last}; look at the server, then run the same command again: it goes on "
            "after the shards that are in the lake"
        ) from last

    async def _post(
        self, client: httpx.AsyncClient, url: str, payload: Mapping[str, Any]
    ) -> Answer:
        is_chat = "messages" in payload
        path = "chat/completions" if is_chat else "completions"
        timeout_s = self.engine.config.timeout_s
        try:
            async with (
                asyncio.timeout(timeout_s),
                client.stream("POST", f"{url}/{path}", json=payload) as response,
            ):
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise _AskAgainError("endless answer", f"more than {_MOST_BYTES} bytes")
        except TimeoutError as exc:
            raise _AskAgainError("timeout", f"no whole answer in {timeout_s:g} s") from exc
        except (httpx.TransportError, httpx.DecodingError) as exc:
            kind = type(exc).__name__
            raise _AskAgainError("connection", f"{kind}: {exc}".rstrip(": ")) from exc
        self._check_status(url, response, bytes(body))
        expected = Expected(str(payload["model"]), is_chat, self.sampling.max_new_tokens)
        try:
            return read_answer(bytes(body), expected, self.engine.api_key)
        except BadAnswerError as exc:
            raise _AskAgainError("bad answer", str(exc)) from exc

    def _check_status(self, url: str, response: httpx.Response, body: bytes) -> None:
        status = response.status_code
        if status == 200:
            return
        # A service repeats parts of a wrong key in its refusal, perhaps masked.
        is_of_key = status in (401, 403)
        said = "" if is_of_key else f", {server_words(body, self.engine.api_key)}"
        if status in (408, 429) or status >= 500:
            wait_s = retry_after_s(response.headers.get("Retry-After"))
            raise _AskAgainError(f"status {status}", f"status {status}{said}", wait_s)
        what_to_do = _WHAT_TO_DO.get(status, "see to engine.urls and engine.model")
        raise EngineError(
            f"server {url}: expected an answer of model {self.engine.config.model}, found status "
            f"{status}{said}; {what_to_do}"
        )

    def _check_new(self, answer: Answer) -> None:
        """Refuse an answer that was given before. Some servers count their answers by chance, so
        only the same identifier with the same text is a repeat.
        """
        given, text = self.engine.given, digest(answer.text)
        if answer.identifier and given.get(answer.identifier) == text:
            raise _AskAgainError("repeat", "an answer that another request was given before")
        given[answer.identifier] = text
        given.move_to_end(answer.identifier)
        if len(given) > _MOST_GIVEN:
            given.popitem(last=False)

    def _completed(self, request: Request, answer: Answer) -> Completion:
        num_tokens, num_prompt_tokens = answer.num_tokens, answer.num_prompt_tokens
        if num_tokens is None:
            num_tokens = len(self.engine.text_ids(answer.text)) + answer.is_finished
        if num_prompt_tokens is None:
            opening_ids = self.engine.text_ids(request.opening)
            num_prompt_tokens = len(self.engine.encode(request.prompt)) + len(opening_ids)
        return Completion(
            text=request.opening + answer.text,
            num_tokens=num_tokens,
            is_finished=answer.is_finished,
            num_prompt_tokens=num_prompt_tokens,
        )


def backoff_s(config: EngineConfig, seed: int, tries: int) -> float:
    """Seconds before a request is asked again after `tries` + 1 failures: doubling, bounded, and
    spread over its upper half by the request's seed, so that many do not come back at once.
    """
    doubled_s = config.first_wait_s * float(2 ** min(tries, _MOST_DOUBLINGS))
    longest_s = min(doubled_s, config.max_wait_s)
    return longest_s * (0.5 + seed_from("backoff", seed, tries) / 2**64)


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None where it says nothing
    that can be understood.
    """
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max((when - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None
