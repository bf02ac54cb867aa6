"""A double of a server that speaks the OpenAI API: a real HTTP server on loopback whose answers
follow from each request's seed, and which fails in every way that servers do.

Which tries of a request fail, and how, follows from its seed too: the same requests meet the same
faults in any order.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from tests.tiny_teacher import make_story

MODEL = "double-of-a-teacher"
# A client with fewer requests under way has read every answer that is older than these.
MOST_UNREAD = 16


class Fault(StrEnum):
    """One way to fail."""

    HANG = "no answer in time"
    DRIP = "a byte now and then"
    TOO_MANY = "429"
    TOO_MANY_WAIT = "429 with Retry-After in seconds"
    TOO_MANY_DATE = "429 with Retry-After as a date"
    SLOW_CLIENT = "408"
    BROKEN = "500"
    AWAY = "503"
    DROP = "closed without a word"
    CUT_BODY = "closed in mid-body"
    CUT_JSON = "a whole body of half a JSON"
    NO_JSON = "a page of HTML with status 200"
    NO_OBJECT = "a JSON list"
    NO_CHOICES = "no choice"
    TWO_CHOICES = "two choices"
    NO_TEXT = "null for text"
    NO_END = "null for finish_reason"
    ODD_END = "a finish_reason of its own"
    WRONG_MODEL = "another model"
    REPEAT = "the answer to another request"
    TELLS_KEY = "the key in the text"


# The text is whole and right, only the counts are not: such an answer is taken and counted anew.
ODD_USAGES: Sequence[object] = (
    None,
    "many",
    {},
    {"prompt_tokens": -1, "completion_tokens": -1},
    {"prompt_tokens": True, "completion_tokens": 1e9},
    {"prompt_tokens": "12", "completion_tokens": 10**9},
)


def tokens_of(text: str) -> list[int]:
    """What counts as a token between the double and its tests: a word."""
    return [len(word) for word in text.split()]


def story_of(seed: int) -> tuple[str, str]:
    """The honest text and finish_reason of a seed; one in eight is cut by its length."""
    rng = random.Random(seed)
    text = make_story(rng)
    return (text[: len(text) // 2], "length") if rng.random() < 1 / 8 else (text, "stop")


@dataclass(slots=True)
class FlakyServer:
    """`faults` are met by turns, up to `most_faults` per request; afterwards it is honest.

    With `keeps_back` its filter takes every text away. Once `refuses_from` answers were given,
    `refusal` (a status and words) is all that it says.
    `asked` counts the tries of each seed, `met` the faults, `answered` the honest answers that were
    sent whole, `bodies` and `headers` keep what the requests said.
    """

    faults: Sequence[Fault] = ()
    most_faults: int = 2
    hang_s: float = 1.0
    odd_usage: bool = False
    keeps_back: bool = False
    refusal: tuple[int, str] | None = None
    refuses_from: int = 0
    url: str = ""
    asked: Counter[int] = field(default_factory=Counter)
    met: Counter[Fault] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    sent: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    leaves: threading.Event = field(default_factory=threading.Event)

    def fault_of(self, seed: int, tries: int) -> Fault | None:
        """How this try of a request fails, or None."""
        rng = random.Random(seed)
        num_faults, first = rng.randint(0, self.most_faults), rng.randrange(10**6)
        if not self.faults or tries >= num_faults:
            return None
        return self.faults[(first + tries) % len(self.faults)]

    def honest(self, asked: Mapping[str, Any], *, is_chat: bool) -> dict[str, Any]:
        """The whole, right answer to a request."""
        text, end = story_of(asked["seed"])
        told = asked["messages"][0]["content"] if is_chat else asked["prompt"]
        usage: object = {
            "prompt_tokens": len(tokens_of(told)),
            "completion_tokens": len(tokens_of(text)) + (end == "stop"),
        }
        if self.odd_usage:
            usage = ODD_USAGES[asked["seed"] % len(ODD_USAGES)]
        written: str | None = text
        if self.keeps_back:
            written, end = None, "content_filter"
        message = {"role": "assistant", "content": written}
        content = {"message": message} if is_chat else {"text": written}
        return {
            "id": f"answer-{asked['seed']}",
            "model": asked["model"],
            "choices": [{"index": 0, "finish_reason": end, **content}],
            "usage": usage,
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    double: ClassVar[FlakyServer]

    def do_POST(self) -> None:
        double = self.double
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with double.lock:
            double.under_way += 1
            double.most_under_way = max(double.most_under_way, double.under_way)
            tries = double.asked[asked["seed"]]
            double.asked[asked["seed"]] += 1
            double.bodies.append({"path": self.path, **asked})
            double.headers.append(dict(self.headers.items()))
            fault = double.fault_of(asked["seed"], tries)
            if fault is Fault.REPEAT and len(double.sent) <= MOST_UNREAD:
                fault = Fault.BROKEN
            if fault:
                double.met[fault] += 1
        try:
            if double.refusal and sum(double.answered.values()) >= double.refuses_from:
                status, words = double.refusal
                self._send(json.dumps({"error": {"message": words}}).encode(), status)
            else:
                self._answer(asked, fault)
        except OSError:
            self.close_connection = True  # the client has gone
        finally:
            with double.lock:
                double.under_way -= 1

    def _answer(self, asked: dict[str, Any], fault: Fault | None) -> None:
        is_chat = self.path.endswith("/chat/completions")
        answer = self.double.honest(asked, is_chat=is_chat)
        if fault in _SPOILED:
            _SPOILED[fault](answer, self.headers.get("Authorization", ""))
        body = json.dumps(answer).encode()
        if fault is None or fault in _SPOILED:
            self._send(body)
            if fault is None:
                self._sent_whole(asked, answer, body)
        elif fault in _STATUS:
            status, more = _STATUS[fault]
            self._send(b'{"error": {"message": "not now"}}', status, more)
        else:
            self._break(fault, body)

    def _sent_whole(self, asked: Mapping[str, Any], answer: dict[str, Any], body: bytes) -> None:
        with self.double.lock:
            self.double.answered[asked["seed"]] += 1
            self.double.sent.append(body)
            usage = answer["usage"]
            if not self.double.odd_usage:
                self.double.tokens.update(usage)

    def _break(self, fault: Fault, body: bytes) -> None:
        double = self.double
        if fault is Fault.REPEAT:
            self._send(double.sent[-1 - MOST_UNREAD])
        elif fault is Fault.NO_JSON:
            self._send(b"<html>502</html>")
        elif fault is Fault.NO_OBJECT:
            self._send(b"[" * 5000 + b"]" * 5000)
        elif fault is Fault.CUT_JSON:
            self._send(body[: len(body) // 2])
        else:
            self.close_connection = True
            if fault is Fault.HANG:
                double.leaves.wait(double.hang_s)
            elif fault is Fault.CUT_BODY:
                self._begin(200, len(body), {})
                self.wfile.write(body[: len(body) // 2])
            elif fault is Fault.DRIP:
                self._begin(200, len(body), {})
                for place in range(40):
                    self.wfile.write(body[place : place + 1])
                    if double.leaves.wait(double.hang_s / 20):
                        return

    def _send(self, body: bytes, status: int = 200, more: Mapping[str, str] | None = None) -> None:
        self._begin(status, len(body), more or {})
        self.wfile.write(body)

    def _begin(self, status: int, length: int, more: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the double keeps its own counts."""


_STATUS: Mapping[Fault, tuple[int, Mapping[str, str]]] = {
    Fault.TOO_MANY: (429, {}),
    Fault.TOO_MANY_WAIT: (429, {"Retry-After": "7"}),
    Fault.TOO_MANY_DATE: (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    Fault.SLOW_CLIENT: (408, {}),
    Fault.BROKEN: (500, {}),
    Fault.AWAY: (503, {"Retry-After": "soon"}),
}


def _set_text(answer: dict[str, Any], text: object) -> None:
    choice = answer["choices"][0]
    if "text" in choice:
        choice["text"] = text
    else:
        choice["message"]["content"] = text


_SPOILED: Mapping[Fault | None, Callable[[dict[str, Any], str], object]] = {
    Fault.NO_CHOICES: lambda answer, _: answer.update(choices=[]),
    Fault.TWO_CHOICES: lambda answer, _: answer.update(choices=answer["choices"] * 2),
    Fault.NO_TEXT: lambda answer, _: _set_text(answer, None),
    Fault.NO_END: lambda answer, _: answer["choices"][0].update(finish_reason=None),
    Fault.ODD_END: lambda answer, _: answer["choices"][0].update(finish_reason="whim"),
    Fault.WRONG_MODEL: lambda answer, _: answer.update(model="another"),
    Fault.TELLS_KEY: lambda answer, key: _set_text(answer, f"You said {key or 'none'}."),
}


@contextmanager
def flaky_server(**settings: Any) -> Iterator[FlakyServer]:
    """The double, served from this process while the block runs; settings are its fields."""
    double = FlakyServer(**settings)
    handler = type("Handler", (_Handler,), {"double": double})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        double.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield double
        finally:
            double.leaves.set()
            server.shutdown()
            thread.join()
