"""What a night's page says of its corpus: how much alike the stories are and which limit stopped
the night, where the texts come from, what they cost; and nights of older versions, which know less.
"""

import html
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen.verdict import REASONS
from flows.report import corpus_questions, formats
from flows.report.figures import unit_of
from flows.report.page import write_report
from flows.report.story_sections import MEANINGS
from tests.flows.report_corpora import IMPORT, NUM_IMPORTED, PRICE, STOPPED, add_stopped_night
from tests.flows.report_lake import FIRST, HOSTILE, LINE, add_nights, commit_rows, rows_of
from tests.flows.report_pages import commands, parsed
from tests.flows.smoke import Night
from warehouse.identity import canonical_json, digest
from warehouse.lake import Lake
from warehouse.nights import NightRequest

_MEASURED = "Tonight's stories, measured"
_SOURCES = "Sources of texts, oldest first"
_NIGHTS = "Cost of the stories of smoke, newest night first"
_SHARDS = "Cost of tonight's stories by shard, accepted before later passes"


@pytest.fixture(scope="module")
def lake(smoke_night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    data = tmp_path_factory.mktemp("corpora") / "lake"
    shutil.copytree(smoke_night.data, data, symlinks=True)
    add_nights(data)
    add_stopped_night(data)
    with Lake.open(data) as lake:
        yield lake


@pytest.fixture(scope="module")
def pages(lake: Lake) -> dict[str, str]:
    nights = (FIRST, HOSTILE, STOPPED)
    pages = {night: write_report(lake, LINE, night).read_text("utf-8") for night in nights}
    return {**pages, "index": (lake.root / "reports" / "index.html").read_text("utf-8")}


def _one(lake: Lake, query: str) -> dict[str, Any]:
    [row] = lake.query(query).to_pylist()
    return dict(row)


def test_measures_are_those_of_the_lake(lake: Lake, pages: dict[str, str]) -> None:
    by_name = {"same first three words": "opening_3", "different word pairs": "distinct_2"}
    rows = {row[0]: row for row in parsed(pages[FIRST]).tables[_MEASURED]}
    for name, measure in by_name.items():
        query = f"select value from corpus_measures where measure = '{measure}' and is_within"
        first = lake.query(f"{query} order by bound nulls first limit 1").to_pylist()[0]
        assert rows[name] == [name, formats.percent(first["value"]), "\N{EN DASH}"]
    assert "The recipe sets no limit." in pages[FIRST]


def test_a_stopped_night_says_what_stopped_it(pages: dict[str, str]) -> None:
    page = pages[STOPPED]
    assert "<title>smoke, night 4: stopped</title>" in page
    assert 'href="#diversity">same first five words, compression</a>' in page
    assert "This night has not ended." not in page
    space = "\N{NO-BREAK SPACE}"
    rows = {row[0]: row[1:] for row in parsed(page).tables[_MEASURED]}
    assert rows["same first five words"][:2] == [f"90.0{space}%", f"at most 50{space}%"]
    assert rows["different word pairs"][:2] == [f"62.5{space}%", f"at least 20{space}%"]
    assert rows["compression"][:2] == ["8.50", "at most 8"]
    assert (
        f"The night was stopped before training: same first five words 90.0{space}%, "
        f"at most 50{space}%; compression 8.50, at most 8." in page
    )
    # Markup in the evidence stays text, and the marks beyond a limit have a shape of their own.
    assert "<script" not in page
    drawn = [part for part in page.split("<svg ")[1:] if '<title id="diversity-' in part]
    counts = [part.split("</svg>")[0].count('class="mark control"') for part in drawn]
    assert counts == [3, 3]  # two measures and the legend, in both widths


def test_the_lists_of_nights_name_a_stopped_one(pages: dict[str, str]) -> None:
    [rows] = parsed(pages["index"]).tables.values()
    decisions = {row[0]: row[1] for row in rows[1:]}
    assert decisions["smoke, night 4"] == "stopped (stories too much alike)"
    assert decisions["smoke, night 3"] == "not decided"
    trend = parsed(pages[STOPPED]).tables["Nights of smoke, newest first"]
    assert trend[1][-1] == "stopped (stories too much alike)"


def test_sources_are_counted_as_the_students_read_them(lake: Lake, pages: dict[str, str]) -> None:
    trained = _one(
        lake,
        "select count(*) as n, sum(d.num_tokens) as tokens from training_documents d "
        "join checkpoints c on c.student_id = d.student_id where c.role = 'challenger'",
    )
    [own] = parsed(pages[FIRST]).tables[_SOURCES][1:]
    assert own[:2] == [FIRST, "prompt family story"]
    assert own[4:] == [f"{trained['n']:,}", f"{int(trained['tokens']):,}"]
    imported, first, last = parsed(pages[STOPPED]).tables[_SOURCES][1:]
    assert imported[0] == IMPORT
    assert imported[1].startswith("import, CC-BY-4.0, from a letter of ")
    assert imported[2:] == [str(NUM_IMPORTED), str(3 * NUM_IMPORTED), "0", "0"]
    assert (first[0], first[2:4]) == (FIRST, own[2:4])
    assert last[0] == STOPPED


def test_many_nights_ago_are_one_source(
    lake: Lake, pages: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    imported, *nights = parsed(pages[STOPPED]).tables[_SOURCES][1:]
    monkeypatch.setattr(corpus_questions, "MAX_NIGHT_SOURCES", 1)
    page = write_report(lake, LINE, STOPPED).read_text("utf-8")
    assert len(nights) == 2
    folded = [sum(int(night[place].replace(",", "")) for night in nights) for place in range(2, 6)]
    assert parsed(page).tables[_SOURCES][1:] == [
        imported,
        [f"{FIRST}...{STOPPED}", nights[0][1], *(f"{count:,}" for count in folded)],
    ]


def test_costs_add_up(lake: Lake, pages: dict[str, str]) -> None:
    for night in (FIRST, STOPPED):
        spent = _one(
            lake,
            "select sum(num_prompts) as prompts, sum(num_prompt_tokens) as read, "
            f"sum(num_tokens) as written, sum(wall_s) as s from costs where night = '{night}'",
        )
        *shards, total = parsed(pages[night]).tables[_SHARDS][1:]
        assert [total[1], *total[3:6]] == [
            f"{int(spent['prompts']):,}",
            f"{int(spent['read']):,}",
            f"{int(spent['written']):,}",
            f"{spent['s']:,.1f}",
        ]
        for place in (1, 2, 3, 4):
            numbers = [int(row[place].replace(",", "")) for row in shards]
            assert sum(numbers) == int(total[place].replace(",", ""))


def test_prices_stand_where_the_recipe_names_them(pages: dict[str, str]) -> None:
    price = f"EUR\N{NO-BREAK SPACE}{PRICE:.4f}"
    tables = parsed(pages[STOPPED]).tables
    assert [row[-1] for row in tables[_SHARDS]] == ["price", price, "\N{EN DASH}", price]
    assert tables[_SHARDS][2][0] == "1, not written"
    nights = {row[0]: row for row in tables[_NIGHTS]}
    assert nights[STOPPED][-2] == price
    assert nights[FIRST][-2:] == ["\N{EN DASH}", "\N{EN DASH}"]
    assert "The budget max_price was used up: 36 prompts not written." in pages[STOPPED]
    assert "price" not in parsed(pages[FIRST]).tables[_NIGHTS][0]
    assert "No one price can be named" in pages[FIRST]


def test_a_night_without_such_rows_has_a_page_without_them(pages: dict[str, str]) -> None:
    page = pages[HOSTILE]
    assert "How much alike" not in page
    assert _SHARDS not in page
    assert "Seconds by stage" not in page
    assert '<section id="stories"' in page


def test_every_sql_of_a_stopped_night_runs_as_it_stands(lake: Lake, pages: dict[str, str]) -> None:
    found = commands(pages[STOPPED])
    assert {"corpus_measures", "imports", "costs"} <= set(" ".join(found).split())
    for command in found:
        assert not set('"$`\\!') & set(command), command
        lake.query(command)


def test_every_reason_of_rejection_has_a_meaning() -> None:
    assert set(REASONS) <= set(MEANINGS)


def test_a_claim_of_the_first_versions_has_a_page(lake: Lake, tmp_path: Path) -> None:
    [first] = [night for night in lake.manifest.nights(LINE) if night.night == FIRST]
    asked = json.loads(first.asked)
    asked["versions"] = {"generate": 1, "prompt": 1}
    del asked["allows_instructions"], asked["family_digest"]
    part = {
        name: asked["recipe"][name]
        for name in ("prompts", "sampling", "verdicts", "shards", "teacher")
    }
    run_id = digest(
        "generate",
        {"generate": 1, "prompt": 1},
        asked["teacher_digest"],
        asked["vocabulary_digest"],
        part,
        [0, first.num_indices],
    )
    of_first = unit_of(lake, first)
    prompts = [
        {**row, "family": None, "slots": None} for row in rows_of(lake, "prompts", run_id=of_first)
    ]
    stories = rows_of(lake, "stories", run_id=of_first)
    with Lake.open(tmp_path / "old", create=True) as old:
        text = canonical_json(asked).decode()
        old.manifest.claim_night(NightRequest("old", "1", first.num_indices, "cpu", text))
        commit_rows(
            old,
            run_id,
            stories=[row for row in stories if row["plan_index"] < 8],
            prompts=[row for row in prompts if row["plan_index"] < 8],
        )
        page = write_report(old, "old", "1").read_text("utf-8")
    assert "8 of the 40 prompts" in html.unescape(page)
    assert "32 prompts not tried yet" in page
    assert parsed(page).tables[_SOURCES][1][1] == "written to order"
