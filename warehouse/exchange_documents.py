"""One document from outside: its bytes made a text, and what alone can be said against it.

The text has line feeds as line ends and no white space around it, so that the same story from two
files has the same id. Nothing is dropped: what cannot be used is a row with a reason.
"""

import re
from dataclasses import dataclass

NOT_UTF8 = "not_utf8"
EMPTY = "empty"
TOO_LONG = "too_long"
CONTROL_CHARACTER = "control_character"
DUPLICATE = "duplicate"
IN_LAKE = "in_lake"

_KEPT_OF_TOO_LONG = 1_000
_LINE_END = re.compile(r"\r\n?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Document:
    """A text, where in its source it stands, its size in UTF-8 bytes, and why it cannot be used
    (None: nothing in itself speaks against it).
    """

    text: str
    source_file: str
    source_row: int
    num_bytes: int
    reason: str | None


def document_of(
    raw: bytes, source_file: str, source_row: int, *, max_bytes: int, num_bytes: int | None = None
) -> Document:
    """The document of these bytes. `num_bytes`: how many the source has, where `raw` is only their
    beginning; it must then be more than `max_bytes`.
    """
    text, is_utf8 = _decoded(raw)
    text = _LINE_END.sub("\n", text.removeprefix(_BYTE_ORDER_MARK)).strip()
    size = len(text.encode()) if num_bytes is None else num_bytes
    reason = None
    if size > max_bytes:
        text, reason = text[:_KEPT_OF_TOO_LONG].strip(), TOO_LONG
    elif not is_utf8:
        reason = NOT_UTF8
    elif not text:
        reason = EMPTY
    elif _CONTROL.search(text):
        reason = CONTROL_CHARACTER
    return Document(text, source_file, source_row, size, reason)


def raw_of(text: str) -> bytes:
    """The bytes of a text that may hold lone surrogates, which no UTF-8 has."""
    return text.encode("utf-8", "surrogatepass")


def _decoded(raw: bytes) -> tuple[str, bool]:
    try:
        return raw.decode(), True
    except UnicodeDecodeError:
        return raw.decode(errors="replace"), False
