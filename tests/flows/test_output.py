"""Rows in a terminal: nothing that a text holds is an order to it."""

import json
import math

import pyarrow as pa
import pytest

from flows.output import write_rows


def test_what_would_steer_a_terminal_is_shown_as_its_escape(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = ["\x1b[2J one\ntwo", "\x9b2J \u202e", "caf\u00e9 [b]x[/b]", None]
    write_rows(pa.table({"text": texts, "n": [1.5, 2.0, None, 4.0]}), "table")
    shown = capsys.readouterr().out
    assert r"\x1b[2J one" in shown
    assert "\n  two" in shown
    assert r"\x9b2J \u202e" in shown
    assert "caf\u00e9 [b]x[/b]" in shown
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_a_bound_that_is_not_there_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(pa.table({"low": [-math.inf, math.nan, 0.5], "n": [1, 2, 3]}), "json")
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line, parse_constant=pytest.fail) for line in lines] == [
        {"low": None, "n": 1}, {"low": None, "n": 2}, {"low": 0.5, "n": 3}
    ]  # fmt: skip
