"""What is wrong with a recipe, in one line: the key, the value, and what was expected there.

pydantic takes `true` and "7" for numbers, and speaks of inputs; a person who wrote a TOML file
needs the key as it stands there and the range that it has.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_MOST_SHOWN = 60
_KINDS = {int: "a whole number", float: "a number"}


def first_fault(error: ValidationError, recipe: type[BaseModel]) -> str:
    """The first fault, an unknown key before others (a misspelled one is also missing), and how
    many more there are.
    """
    faults = sorted(error.errors(include_url=False), key=lambda f: f["type"] != "extra_forbidden")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{_told(faults[0], recipe)}{more}"


def check_numbers(values: object, model: type[BaseModel], section: str = "") -> None:
    """Pass unless a number's key has a text or true/false; ValueError names the first such key."""
    if not isinstance(values, Mapping):
        return
    for name, field in model.model_fields.items():
        key, value = f"{section}{name}", values.get(name)
        inner, item = _section(field), item_of(field)
        if inner is not None:
            check_numbers(value, inner, f"{key}.")
        elif item is not None and isinstance(value, list | tuple):
            for place, each in enumerate(value):
                check_numbers(each, item, f"{key}.{place}.")
        elif isinstance(value, str | bool) and _number(field) is not None:
            raise ValueError(f"{key} = {shown(value)}: expected {_expected(field)}")


def shown(value: object) -> str:
    """A value as the recipe's file has it, cut where it is long; always one line of ASCII."""
    try:
        text = json.dumps(value, default=str)
    except ValueError:  # Python refuses to print numbers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} ..."


def _told(fault: Mapping[str, Any], recipe: type[BaseModel]) -> str:
    places, kind = fault["loc"], fault["type"]
    key = _plain(".".join(map(str, places)))
    if kind == "extra_forbidden":
        return f"unknown key {key}; {_hint(places, recipe)}"
    field = _field(places, recipe)
    is_section = field is not None and _section(field) is not None
    if kind == "missing":
        return f"{f'section [{key}]' if is_section else f'key {key}'} is missing: add it"
    if is_section and kind == "model_type":
        return f"{key} = {shown(fault['input'])}: expected a section, [{key}] and its keys below it"
    if kind in ("tuple_type", "model_type") and _items(places, recipe):
        name = _plain(".".join(str(place) for place in places if isinstance(place, str)))
        return f"{key} = {shown(fault['input'])}: expected [[{name}]] and its keys below it"
    if kind == "tuple_type":
        return f'{key} = {shown(fault["input"])}: expected a list of names, as ["one", "two"]'
    if kind == "value_error":
        said = str(fault["ctx"]["error"])
        return f"{key}: {said}" if key else said
    expected = None if field is None else _expected(field)
    said = fault["msg"] if expected is None else f"expected {expected}"
    return f"{key} = {shown(fault['input'])}: {said}"


def _hint(places: Sequence[int | str], recipe: type[BaseModel]) -> str:
    model = _model(places[:-1], recipe)
    known = sorted(model.model_fields) if model else []
    near = difflib.get_close_matches(str(places[-1]), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _field(places: Sequence[int | str], recipe: type[BaseModel]) -> FieldInfo | None:
    """The field at that place; None at the top, for an item of a list, and where there is none."""
    model = _model(places[:-1], recipe)
    return model.model_fields.get(str(places[-1])) if model and places else None


def _model(places: Sequence[int | str], recipe: type[BaseModel]) -> type[BaseModel] | None:
    """The section at that place: the recipe at the top, and None where there is none."""
    model: type[BaseModel] | None = recipe
    items: type[BaseModel] | None = None
    for place in places:
        if isinstance(place, int):
            model, items = items, None
            continue
        field = model.model_fields.get(place) if model else None
        model, items = (_section(field), item_of(field)) if field else (None, None)
    return model


def _items(places: Sequence[int | str], recipe: type[BaseModel]) -> bool:
    """Whether a list of sections is at that place, or one of its items."""
    field = _field([place for place in places if isinstance(place, str)], recipe)
    return field is not None and item_of(field) is not None


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a section, also of one that may be absent; None for a key that is no section."""
    is_union = get_origin(field.annotation) in (Union, UnionType)
    kinds = get_args(field.annotation) if is_union else (field.annotation,)
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def item_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a list's items, where those are sections of their own; else None."""
    if get_origin(field.annotation) not in (tuple, list):
        return None
    first = get_args(field.annotation)[0]
    return first if isinstance(first, type) and issubclass(first, BaseModel) else None


def _number(field: FieldInfo) -> type | None:
    """int or float, also where the key may be absent; None for what is no number."""
    kinds = set(get_args(field.annotation) or [field.annotation]) - {NoneType}
    return next((kind for kind in _KINDS if kinds == {kind}), None)


def _expected(field: FieldInfo) -> str | None:
    """The kind of number and its range, or true or false; None for anything else."""
    if field.annotation is bool:
        return "true or false"
    kind = _number(field)
    if kind is None:
        return None
    bounds = {
        name: getattr(item, name)
        for item in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(item, name, None) is not None
    }
    if bounds.keys() == {"ge", "le"}:
        return f"{_KINDS[kind]} from {bounds['ge']:,} to {bounds['le']:,}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    ranges = " and ".join(f"{words[name]} {bound:,}" for name, bound in bounds.items())
    return f"{_KINDS[kind]} {ranges}".rstrip()


def _plain(key: str) -> str:
    """The key as it is, or, with signs that a line cannot show, as JSON has it."""
    return key if key.isprintable() else json.dumps(key)
