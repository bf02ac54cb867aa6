"""What is wrong with a prompt family's file, in one line: the key, what was expected, what was
found.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_MOST_SHOWN = 60
_SHOULD = re.compile(r"^\w+ should (?:be |have )?")
_KINDS = "word, choice, subset"


def first_fault(error: ValidationError) -> str:
    """The first fault, an unknown key before others (a misspelled one is also missing)."""
    faults = sorted(error.errors(include_url=False), key=lambda f: f["type"] != "extra_forbidden")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{_told(faults[0])}{more}"


def _told(fault: Mapping[str, Any]) -> str:
    key, kind = _key(fault["loc"]), fault["type"]
    found = f"{fault['input']!a}"
    found = found if len(found) <= _MOST_SHOWN else f"{found[:_MOST_SHOWN]} ..."
    if kind == "extra_forbidden":
        return f"{key}: expected no such key, found {found}; take it out, or mend its name"
    if kind == "missing":
        return f"{key}: expected a value, found none; add it"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = fault["ctx"].get("tag")
        return f"{key}.kind: expected one of {_KINDS}, found {tag!a:.60}; mend it"
    if kind == "value_error":
        said = str(fault["ctx"]["error"])
        return f"{key}: {said}" if key else said
    said = _SHOULD.sub("", str(fault["msg"]))
    return f"{key}: expected {said}, found {found}; mend it"


def _key(places: tuple[int | str, ...]) -> str:
    """The key as the file has it: without the kind that pydantic puts in, and with signs that a
    line cannot show escaped.
    """
    inside = places[0] == "slots" if places else False
    kept = [
        str(place)
        for number, place in enumerate(places)
        if not (inside and number == 2) and place != "[key]"
    ]
    key = ".".join(kept)
    shown = key if key.isprintable() else ascii(key)
    return shown[:200]
