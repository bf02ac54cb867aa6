"""What a finished night's lake says of its subjects' reliability."""

from typing import Any

import pytest

from tests.flows.smoke import Night
from warehouse.lake import Lake

ROLES = ["challenger", "control", "teacher"]  # the smoke night's, but for its unigram model


def _rows(night: Night, query: str) -> list[dict[str, Any]]:
    with Lake.open(night.data) as lake:
        rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


def test_every_role_but_unigram_has_its_bins(smoke_night: Night) -> None:
    rows = _rows(smoke_night, "select * from reliability order by role, suite, bin")
    assert [(row["role"], row["bin"]) for row in rows] == [
        (role, place) for role in ROLES for place in range(15)
    ]
    assert {row["suite"] for row in rows} == {"confirmation"}
    for row in rows:
        assert 0 <= row["num_right"] <= row["num_tokens"]
        assert (row["mean_confidence"] is None) == (row["num_tokens"] == 0)
        if row["mean_confidence"] is not None:
            assert row["low"] <= row["mean_confidence"] <= row["high"]


def test_the_bins_hold_every_symbol_that_was_scored(smoke_night: Night) -> None:
    binned = _rows(
        smoke_night,
        "select subject_id, sum(num_tokens) as n from reliability group by all order by all",
    )
    scored = _rows(
        smoke_night,
        "select subject_id, sum(num_tokens) as n from scores where subject != 'unigram' "
        "group by all order by all",
    )
    assert binned == scored
    bins = _rows(
        smoke_night,
        "select distinct subject, len(bin_num_tokens) as n from scores order by subject",
    )
    assert {row["subject"]: row["n"] for row in bins} == {
        "student": 15,
        "teacher": 15,
        "unigram": None,
    }


def test_ece_follows_from_the_bins_by_sql(smoke_night: Night) -> None:
    from_bins = _rows(
        smoke_night,
        "select role, sum(abs(num_right - num_tokens * coalesce(mean_confidence, 0))) "
        "/ sum(num_tokens) as value from reliability group by role order by role",
    )
    figures = _rows(
        smoke_night, "select role, value, low, high, n from evaluations where metric = 'ece'"
    )
    (n,) = {row["n"] for row in figures}
    held_out = _rows(smoke_night, "select count(distinct doc_id) as n from scores")
    assert n == held_out[0]["n"]
    found = {row["role"]: row for row in figures}
    assert sorted(found) == ROLES
    for row in from_bins:
        figure = found[row["role"]]
        assert figure["value"] == pytest.approx(row["value"], rel=1e-9)
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
