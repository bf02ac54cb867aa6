"""Minimal pairs from JSON lines: two sentences that differ in one fault, as BLiMP has them.

A line holds `sentence_good` and `sentence_bad`; `UID` names its set (else the file does), and
`phenomenon` or `linguistics_term` what the set is about (else the set's own name). Other keys are
left alone. Sentences are kept as they stand, character for character: a score is of exactly that
text. A pair that stands there twice counts twice, as it does for other tools.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from warehouse.errors import SuiteError
from warehouse.exchange_sources import utf8_name
from warehouse.identity import digest

SUFFIXES = (".jsonl", ".ndjson")
MAX_SENTENCE_BYTES = 4_096
MAX_PAIRS = 1_000_000
_MAX_LINE_BYTES = 1 << 16
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Pair:
    """A minimal pair. `place` counts the pairs of its set from 1, as they were brought in."""

    pair_id: str
    set_name: str
    phenomenon: str
    place: int
    sentence_good: str
    sentence_bad: str


def read_pairs(paths: Sequence[Path]) -> list[Pair]:
    """Every pair of these files and folders (their *.jsonl and *.ndjson), in the order of paths,
    names and lines.

    Raises SuiteError, which names file and line, for the first one that is no pair, for a set whose
    lines disagree on its phenomenon, and if there is no pair at all.
    """
    pairs: list[Pair] = []
    places: Counter[str] = Counter()
    copies: Counter[tuple[str, ...]] = Counter()
    phenomena: dict[str, str] = {}
    for file in _files(paths):
        for line, told in _told_pairs(file):
            set_name, phenomenon, good, bad = told
            if phenomena.setdefault(set_name, phenomenon) != phenomenon:
                before = f"{phenomena[set_name]!r}, as the phenomenon of {set_name} was before"
                raise _bad(file, line, before, repr(phenomenon))
            places[set_name] += 1
            pair_id = digest("pair", *told, copies[told])
            copies[told] += 1
            pairs.append(Pair(pair_id, set_name, phenomenon, places[set_name], good, bad))
            if len(pairs) > MAX_PAIRS:
                raise SuiteError(f"{file}: expected at most {MAX_PAIRS:,} pairs; make two suites")
    if not pairs:
        raise SuiteError(
            f"{', '.join(map(str, paths))}: expected at least one pair, found none; is it the "
            "right file?"
        )
    return pairs


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
            if not found:
                raise SuiteError(f"{path}: expected {' or '.join(SUFFIXES)} files, found none")
            yield from found
        elif path.is_file():
            yield path
        else:
            raise SuiteError(f"{path}: expected a file or a folder, found nothing there")


def _told_pairs(file: Path) -> Iterator[tuple[int, tuple[str, str, str, str]]]:
    """Line number, and (set, phenomenon, good, bad); empty lines are passed over."""
    try:
        with file.open("rb") as stream:
            number = 0
            while raw := stream.readline(_MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > _MAX_LINE_BYTES:
                    raise _bad(file, number, f"at most {_MAX_LINE_BYTES} bytes", "more")
                if raw.strip():
                    yield number, _pair(file, number, raw)
    except OSError as exc:
        raise SuiteError(f"{file}: expected a readable file, found: {exc.strerror}") from exc


def _pair(file: Path, line: int, raw: bytes) -> tuple[str, str, str, str]:
    try:
        row = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        raise _bad(file, line, "a JSON object in UTF-8", str(exc)) from exc
    if not isinstance(row, dict):
        raise _bad(file, line, "a JSON object", type(row).__name__)
    good, bad = (_sentence(file, line, row, key) for key in ("sentence_good", "sentence_bad"))
    if good == bad:
        raise _bad(file, line, "two different sentences", "the same one twice")
    set_name = row.get("UID") or utf8_name(file.stem)
    phenomenon = row.get("phenomenon") or row.get("linguistics_term") or set_name
    for key, name in (("UID", set_name), ("phenomenon", phenomenon)):
        if not isinstance(name, str) or not name.isprintable() or len(name) > _MAX_NAME:
            expected = f"up to {_MAX_NAME} printable characters under {key!r}"
            raise _bad(file, line, expected, ascii(name)[:_MAX_NAME])
    return set_name, phenomenon, good, bad


def _sentence(file: Path, line: int, row: dict[str, object], key: str) -> str:
    text = row.get(key)
    if not isinstance(text, str):
        found = f"the keys {', '.join(map(ascii, row))}" if key not in row else type(text).__name__
        raise _bad(file, line, f"a sentence under {key!r}", found[:200])
    if not text.strip() or not text.isprintable():
        # str.isprintable is false for line ends, controls and lone surrogates.
        raise _bad(file, line, f"one line of printable text under {key!r}", ascii(text)[:80])
    if len(text.encode()) > MAX_SENTENCE_BYTES:
        raise _bad(file, line, f"at most {MAX_SENTENCE_BYTES} bytes under {key!r}", "more")
    return text


def _bad(file: Path, line: int, expected: str, found: str) -> SuiteError:
    return SuiteError(f"{file}, line {line}: expected {expected}, found: {found}; mend that line")
