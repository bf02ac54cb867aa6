"""Champion against challenger document by document: the points, their spread, and both ends."""

import math
from pathlib import Path
from typing import Any

import pytest

from flows.report import document_questions as questions
from flows.report.answers import Asker
from flows.report.documents_section import documents_section
from flows.report.figures import read_figures
from flows.report.page import write_report
from tests.flows.report_lake import commit_rows, rows_of
from tests.flows.report_pages import commands, parsed
from tests.flows.smoke import Night
from warehouse.lake import Lake

NUM = 1_000


def _score(student: str, number: int, nats: float, unit: str) -> dict[str, Any]:
    told = {"nats": nats, "nats_without_end": nats, "num_bytes": 100, "num_tokens": 9}
    return {
        "doc_id": f"doc-{number:04d}",
        "subject_id": student,
        "subject": "student",
        "unit": unit,
        **told,
    }


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A thousand documents of which the last hundred are tonight's: document i costs the challenger
    i - 450 bits more than the other, over 100 bytes.
    """
    made = Lake.open(tmp_path, create=True)
    for student in ("ours", "theirs"):
        scores = [
            _score(
                student,
                i,
                (1000 + (i - 450 if student == "ours" else 0)) * math.log(2),
                "old" if i < 900 else "new",
            )
            for i in range(NUM)
        ]
        commit_rows(made, f"scores-of-{student}", scores=scores)
    # The same documents, as an older version of the program scored them.
    again = [_score("ours", i, 5000.0, "old") for i in range(0, 900, 7)]
    commit_rows(made, "scores-of-an-older-version", scores=again)
    return made


def _ask(lake: Lake, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.query(sql).to_pylist()
    return rows


ASKED = ("ours", "theirs", ["old", "new"], "new")


def test_of_many_documents_the_first_the_last_and_evenly_spaced_ones_are_drawn(lake: Lake) -> None:
    rows = _ask(lake, questions.documents(*ASKED))
    selection = [row for row in rows if row["suite"] == "selection"]
    tonight = [row for row in rows if row["suite"] == "confirmation"]
    assert len(tonight) == 100
    assert questions.MAX_POINTS <= len(selection) <= questions.MAX_POINTS + 1
    assert {row["num_documents"] for row in selection} == {900}
    assert (selection[0]["place"], selection[-1]["place"]) == (1, 900)
    for row in rows:
        number = int(row["doc_id"].removeprefix("doc-"))
        assert row["difference"] == pytest.approx((number - 450) / 100)
        assert row["difference"] == pytest.approx(row["challenger"] - row["other"])


def test_the_spread_counts_every_document(lake: Lake) -> None:
    confirmation, selection = _ask(lake, questions.spread(*ASKED))
    assert (confirmation["num_documents"], confirmation["num_better"]) == (100, 0)
    assert (selection["num_documents"], selection["num_better"]) == (900, 450)
    assert selection["middle"] == pytest.approx(-0.005)
    assert selection["low"] == pytest.approx((0.05 * 899 - 450) / 100)


def test_both_ends_are_shown(lake: Lake) -> None:
    rows = _ask(lake, questions.ends(*ASKED))
    selection = [row["difference"] for row in rows if row["suite"] == "selection"]
    assert selection == pytest.approx([-4.5, -4.49, -4.48, -4.47, -4.46, *LAST])
    assert {row["beginning"] for row in rows} == {None}


LAST = [4.45, 4.46, 4.47, 4.48, 4.49]


def test_the_documents_of_a_night_add_up_to_its_figures(smoke_night: Night) -> None:
    with Lake.open(smoke_night.data) as lake:
        [claim] = lake.manifest.nights("smoke")
        figures = read_figures(Asker(lake, lake.manifest.snapshot()), claim)
        measured = {
            row["role"]: row["value"]
            for row in rows_of(lake, "evaluations", suite="confirmation", metric="bits_per_byte")
        }
    found = figures.documents
    assert found is not None
    assert found.other == "control"
    rows = found.documents.rows
    num_bytes = sum(row.num_bytes for row in rows)
    for role, bits in (
        ("challenger", [row.challenger * row.num_bytes for row in rows]),
        ("control", [row.other * row.num_bytes for row in rows]),
    ):
        assert sum(bits) / num_bytes == pytest.approx(measured[role], rel=1e-12)
    assert all(row.beginning for row in found.ends.rows)
    assert documents_section(figures) is not None


def test_the_page_shows_the_picture_with_its_sql(smoke_night: Night) -> None:
    with Lake.open(smoke_night.data) as lake:
        page = write_report(lake, "smoke", "1").read_text(encoding="utf-8")
        shown = [sql for sql in commands(page) if "AS theirs" in sql]
        assert len(shown) == 3
        assert all(lake.query(sql).num_rows for sql in shown)
    assert "Challenger less control over the documents, bits per byte" in parsed(page).tables
    assert 'id="documents-584-title"' in page
