"""What a server's answer says, believed only where it is whole.

An answer is refused, to be asked for again, when something in it is missing, cut or foreign: no
JSON, no choice or several, no reason for its end, no text, another model, or the key that it was
asked with. A text that the server's filter kept back, or a refusal in its place, is an answer: an
unfinished empty one, or the refusal, which the verdicts reject. Counts of tokens are taken where
they can be true.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The server kept a part of the text back, or all of it, and would again.
_FILTERED = "content_filter"
_ENDS = {"stop": True, "length": False, _FILTERED: False}
# Services answer for "name" as "name-2026-11-21".
_DATED = re.compile(r"-\d{4}-?\d{2}-?\d{2}")
# A shorter key guards nothing (servers at home take any word), and may stand in any text.
_LEAST_SECRET = 8
_MOST_PROMPT_TOKENS = 10_000_000
_MOST_SHOWN = 60
_WINDOW = 8


class BadAnswerError(Exception):
    """An answer that cannot be used; the message says what was found, never the key."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer. `identifier` is the server's own, "" where it gives none; counts of tokens
    are None where the server's cannot be true.
    """

    identifier: str
    text: str
    is_finished: bool
    num_tokens: int | None
    num_prompt_tokens: int | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must keep to: the model's name, chat or plain text, the most tokens."""

    model: str
    is_chat: bool
    max_new_tokens: int


def read_answer(body: bytes, expected: Expected, key: str | None) -> Answer:
    """The answer that a body of status 200 holds; BadAnswerError if it is no whole one."""
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadAnswerError(f"{len(body)} bytes that are no JSON") from exc
    if not isinstance(answer, Mapping):
        raise BadAnswerError("JSON that is no object")
    _check_model(answer.get("model"), expected.model)
    choice = _only_choice(answer.get("choices"))
    text = _text(choice, expected)
    end = choice.get("finish_reason")
    if not isinstance(end, str) or end not in _ENDS:
        raise BadAnswerError(f"finish_reason {_shown(end)}, which is none of {', '.join(_ENDS)}")
    usage = answer.get("usage")
    identifier = answer.get("id")
    identifier = identifier if isinstance(identifier, str) else ""
    if key is not None and len(key) >= _LEAST_SECRET and (key in text or key in identifier):
        raise BadAnswerError("an answer that repeats the key")
    return Answer(
        identifier=identifier,
        text=text,
        is_finished=_ENDS[end],
        num_tokens=_count(usage, "completion_tokens", min(len(text), 1), expected.max_new_tokens),
        num_prompt_tokens=_count(usage, "prompt_tokens", 1, _MOST_PROMPT_TOKENS),
    )


def server_words(body: bytes, key: str | None) -> str:
    """What a server says of its refusal, as one short line in quotes; nothing of it where a part of
    the key stands in it.
    """
    text = body.decode(errors="replace")
    try:
        said: Any = json.loads(text)
        said = said.get("error", said) if isinstance(said, Mapping) else said
        said = said.get("message", said) if isinstance(said, Mapping) else said
        text = said if isinstance(said, str) else json.dumps(said)
    except (ValueError, RecursionError):
        pass  # not JSON: its plain words
    if key is not None:
        width = min(_WINDOW, len(key))
        if any(key[i : i + width] in text for i in range(len(key) - width + 1)):
            return "(not shown: a part of the key stands in it)"
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return f'"{line[:200]}"' if line else "no words"


def _check_model(found: object, expected: str) -> None:
    is_it = isinstance(found, str) and found.startswith(expected)
    if not is_it or not _DATED.fullmatch(f"{found}"[len(expected) :] or "-20261121"):
        raise BadAnswerError(f"an answer of model {_shown(found)}, not of {expected}")


def _only_choice(choices: object) -> Mapping[str, Any]:
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        found = f"{len(choices)} choices" if isinstance(choices, list) else "no choices"
        raise BadAnswerError(f"{found} where one was expected")
    return choices[0]


def _text(choice: Mapping[str, Any], expected: Expected) -> str:
    message = choice.get("message")
    found = choice.get("text")
    if expected.is_chat:
        message = message if isinstance(message, Mapping) else {}
        found = message.get("content")
        found = message.get("refusal") if found is None else found
    if found is None and choice.get("finish_reason") == _FILTERED:
        return ""
    if not isinstance(found, str):
        raise BadAnswerError(f"{_shown(found)} where the text was expected")
    if any("\ud800" <= sign <= "\udfff" for sign in found):
        raise BadAnswerError("half a character in the text")
    return found


def _count(usage: object, name: str, least: int, most: int) -> int | None:
    found = usage.get(name) if isinstance(usage, Mapping) else None
    if isinstance(found, bool) or not isinstance(found, int):
        return None
    return found if least <= found <= most else None


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} ..."
