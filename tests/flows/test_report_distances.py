"""The page on how far the night's students are from their teacher: its numbers are the lake's."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from flows.report import formats
from flows.report.page import write_report
from tests.flows.report_lake import FIRST, HOSTILE, LINE, add_nights
from tests.flows.report_pages import parsed
from tests.flows.smoke import Night
from warehouse.lake import Lake


@pytest.fixture(scope="module")
def lake(smoke_night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    data = tmp_path_factory.mktemp("distances") / "lake"
    shutil.copytree(smoke_night.data, data, symlinks=True)
    add_nights(data)
    with Lake.open(data) as lake:
        yield lake


@pytest.fixture(scope="module")
def pages(lake: Lake) -> dict[str, str]:
    return {n: write_report(lake, LINE, n).read_text("utf-8") for n in (FIRST, HOSTILE)}


def _rows(lake: Lake, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


CAPTION = "Distance to the teacher on the {} stories, with 95 % intervals"


def test_distances_to_the_teacher_are_those_of_the_lake(lake: Lake, pages: dict[str, str]) -> None:
    metrics = ("forward_kl", "reverse_kl", "accepted_share", "kept_mass")
    shown = parsed(pages[FIRST]).tables[CAPTION.format("confirmation")][1:]
    assert [row[0] for row in shown] == ["challenger", "control"]
    for role, *found in shown:
        for metric, cell in zip(metrics, found, strict=True):
            [row] = _rows(
                lake,
                "select value, low, high from evaluations where night = '1' and "
                f"metric = '{metric}' and role = '{role}'",
            )
            say = formats.number if metric.endswith("_kl") else formats.percent
            assert cell == f"{say(row['value'])} ({say(row['low'])} to {say(row['high'])})"


def test_reliability_by_band_is_that_of_the_lake(lake: Lake, pages: dict[str, str]) -> None:
    caption = "Confidence by the teacher's entropy, on tonight's held-out stories"
    shown = parsed(pages[FIRST]).tables[caption][1:]
    found = _rows(
        lake,
        "select role, band, sum(num_tokens) as n, sum(num_right) as num_right from "
        "band_reliability where night = '1' group by all having n > 0 order by band, role",
    )
    assert [(row[1], row[2]) for row in shown] == [(row["role"], f"{row['n']:,}") for row in found]
    assert [row[4] for row in shown] == [
        formats.percent(row["num_right"] / row["n"]) for row in found
    ]


def test_the_champion_stands_beside_the_challenger_on_both_suites(pages: dict[str, str]) -> None:
    tables = parsed(pages[HOSTILE]).tables
    for suite in ("confirmation", "selection"):
        shown = tables[CAPTION.format(suite)][1:]
        assert [row[0] for row in shown] == ["challenger", "control", "champion"]
