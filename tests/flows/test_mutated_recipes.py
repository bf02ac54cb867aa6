"""Recipes that somebody damaged: the shipped ones with a value, a key, a section or bytes changed.

Whatever was done, reading it gives a valid recipe or one line that names the recipe, and the
command line never a traceback.
"""

import contextlib
import tempfile
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.errors import FlowsError
from flows.recipes import Recipe, load_recipe, recipe_names
from tests.flows.command import in_process

NO_TEACHER = "/no/such/teacher"
TEXTS = {
    name: (resources.files("flows") / "recipes" / f"{name}.toml").read_bytes()
    for name in recipe_names()
}
VALUES = st.one_of(
    st.sampled_from(
        '0 -1 1 2 255 256 1e-320 1e300 nan inf -inf true "" "7" [] [1] {} {a=1} 1979-05-27 '
        "9223372036854775808 1000000000000 0.999999 07:32:00".split()
    ),
    st.integers().map(str),
    st.floats().map(lambda number: repr(number).replace("e", "e+").replace("+-", "-")),
    st.text(max_size=20).map(lambda text: f"'{text}'"),
)


def _keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    return [
        key
        for name, value in values.items()
        for key in (
            _keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
        )
    ]


KEYS = _keys(tomllib.loads(TEXTS["quickstart"].decode()))


@st.composite
def _overrides(draw: st.DrawFn) -> list[str]:
    """One to three keys of a recipe, some misspelled, with values of any kind."""
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3))
    spoiled = [
        key if draw(st.booleans()) else key.replace(draw(st.sampled_from(key)), draw(st.text()), 1)
        for key in keys
    ]
    return [f"{key}={draw(VALUES)}" for key in spoiled]


@st.composite
def _bytes(draw: st.DrawFn) -> bytes:
    """A recipe's file with a piece cut out, doubled or replaced."""
    data = TEXTS[draw(st.sampled_from(sorted(TEXTS)))]
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + draw(st.sampled_from([1, 20, 400])))))
    piece = draw(st.one_of(st.just(b""), st.just(data[start:end] * 2), st.binary(max_size=12)))
    return data[:start] + piece + data[end:]


def _assert_recipe_or_one_line(path: str, overrides: list[str]) -> None:
    with contextlib.suppress(FlowsError):
        recipe = load_recipe(path, overrides)
        assert Recipe.model_validate(recipe.model_dump()) == recipe
    result = in_process("run", path, *(part for o in overrides for part in ("--set", o)))
    assert result.exit_code == 2, result.exception
    [line] = result.stderr.splitlines()
    assert line.startswith(("stillhouse: recipe ", "stillhouse: --set ", "stillhouse: teacher."))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(recipe_names()), overrides=_overrides())
def test_changed_keys_and_values_give_a_recipe_or_one_line(name: str, overrides: list[str]) -> None:
    _assert_recipe_or_one_line(name, [*overrides, f"teacher.model={NO_TEACHER}"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=_bytes())
def test_changed_bytes_give_a_recipe_or_one_line(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.toml"
        path.write_bytes(data)
        _assert_recipe_or_one_line(str(path), [f"teacher.model={NO_TEACHER}"])


@pytest.mark.parametrize("key", KEYS)
def test_no_number_of_a_recipe_is_without_bounds(key: str) -> None:
    """10**12 of anything but tokens, and what no machine can hold, is refused before a night."""
    value = tomllib.loads(TEXTS["quickstart"].decode())
    for name in key.split("."):
        value = value[name]
    if isinstance(value, str):
        return
    for absurd in ("inf", "nan", "-1", str(10**30)):
        with pytest.raises(FlowsError, match=f"{key} = .*: expected "):
            load_recipe("quickstart", [f"{key}={absurd}"])
