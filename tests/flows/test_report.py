"""The night's page: its numbers are the lake's, its SQL runs, and no text of a model gets out of
its place.
"""

import html
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.errors import FlowsError
from flows.report import formats
from flows.report.page import report_path, write_report
from tests.flows.command import in_process
from tests.flows.report_lake import BEGUN, FIRST, HOSTILE, LINE, MARKUP, add_nights
from tests.flows.report_pages import commands, parsed
from tests.flows.smoke import Night, files_of
from warehouse.lake import Lake

MAX_BYTES = 2_000_000
# What a page may be made of; everything else would come out of a story.
_TAGS = set(
    "html head meta title style body a header p span strong h1 h2 h3 dl div dt dd nav ul li main "
    "section details summary pre code table caption thead tbody tr th td figure figcaption "
    "blockquote footer svg desc text line polyline polygon circle rect".split()
)


@pytest.fixture(scope="module")
def lake(smoke_night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    data = tmp_path_factory.mktemp("report") / "lake"
    shutil.copytree(smoke_night.data, data, symlinks=True)
    add_nights(data)
    with Lake.open(data) as lake:
        yield lake


@pytest.fixture(scope="module")
def pages(lake: Lake) -> dict[str, str]:
    """The page of each night, and the index."""
    nights = (FIRST, HOSTILE, BEGUN)
    pages = {night: write_report(lake, LINE, night).read_text("utf-8") for night in nights}
    return {**pages, "index": (lake.root / "reports" / "index.html").read_text("utf-8")}


def _rows(lake: Lake, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


@pytest.mark.parametrize("night", [FIRST, HOSTILE])
def test_bits_per_byte_are_those_of_the_lake(lake: Lake, pages: dict[str, str], night: str) -> None:
    [challenger] = _rows(
        lake,
        "select value, low, high, n from evaluations where suite = 'confirmation' and metric = "
        f"'bits_per_byte' and role = 'challenger' and line = 'smoke' and night = '{night}'",
    )
    rows = parsed(pages[night]).tables["Bits per byte on the confirmation stories"]
    assert rows[1] == [
        "challenger",
        f"{challenger['value']:.3f}",
        f"{challenger['low']:.3f} to {challenger['high']:.3f}",
        f"{challenger['n']}",
    ]


def test_subjects_come_in_the_order_of_the_night(pages: dict[str, str]) -> None:
    rows = parsed(pages[HOSTILE]).tables["Bits per byte on the selection stories"]
    assert [row[0] for row in rows[1:]] == [
        "challenger", "control", "champion", "unigram", "teacher",
    ]  # fmt: skip


def test_the_funnel_is_that_of_the_lake(lake: Lake, pages: dict[str, str]) -> None:
    found = _rows(
        lake,
        "select coalesce(s.reason, v.reason, 'accepted') as outcome, count(*) as n from stories s "
        "left join verdicts v on v.story_id = s.story_id join prompts p on p.prompt_id = "
        "s.prompt_id and p.run_id = s.run_id where p.plan_index < 40 group by outcome",
    )
    total = sum(row["n"] for row in found)
    rows = parsed(pages[FIRST]).tables[f"{total} attempts by outcome"]
    shown = {row[0].replace(" ", "_"): row[1] for row in rows[1:]}
    assert shown == {row["outcome"]: str(row["n"]) for row in found}
    assert rows[1][0] == "accepted"


def test_losses_and_costs_are_those_of_the_lake(lake: Lake, pages: dict[str, str]) -> None:
    tables = parsed(pages[FIRST]).tables
    last = tables["Mean loss of the steps up to this one, nats per target token"][-1]
    [steps] = _rows(lake, "select max(step) as step, max(num_tokens) as seen from train_steps")
    assert last[:2] == [str(steps["step"]), f"{steps['seen']:,}"]
    stages = {row[0]: row for row in tables["Seconds by stage"]}
    for row in _rows(lake, "select stage, wall_s, cpu_s from runs where night = '1'"):
        assert stages[row["stage"]][1:3] == [f"{row['wall_s']:,.1f}", f"{row['cpu_s']:,.1f}"]


def test_the_decision_is_shown_with_its_figures(pages: dict[str, str]) -> None:
    tables = parsed(pages[HOSTILE]).tables
    minus = "\N{MINUS SIGN}"
    assert tables["Challenger less champion, bits per byte"][1:] == [
        ["selection", "31", "+0.125", f"{minus}0.500 to +0.750"],
        ["confirmation", "7", f"{minus}0.062", "\N{EN DASH}"],
        ["margin to beat", "", f"{minus}0.010", ""],
    ]
    assert "<title>smoke, night 2: not promoted</title>" in pages[HOSTILE]
    assert "<title>smoke, night 1: promoted</title>" in pages[FIRST]


def test_copied_runs_stand_beside_the_document_that_holds_them(
    lake: Lake, pages: dict[str, str]
) -> None:
    source = min(row["doc_id"] for row in lake.read("stories").to_pylist() if row["accepted"])
    page = pages[HOSTILE]
    assert "9 words in a row" in page
    assert f"document {source}" in page
    copied = html.escape(MARKUP[1:]).split("&quot;")[0]
    assert f"copied: \N{REPLACEMENT CHARACTER}{copied}" in page


def test_every_sql_on_a_page_runs_as_it_stands(lake: Lake, pages: dict[str, str]) -> None:
    for name, page in pages.items():
        found = commands(page)
        assert len(found) > (1 if name in (FIRST, HOSTILE) else 0)
        for command in found:
            assert not set('"$`\\!') & set(command), command
            lake.query(command)


def test_a_copied_command_answers_in_a_shell(lake: Lake, pages: dict[str, str]) -> None:
    [query] = [text for text in commands(pages[HOSTILE]) if "FROM promotions" in text]
    script = f'printf %s "{query}"'
    shell = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout == query
    answer = in_process("sql", query, "--json", "--data", str(lake.root))
    assert answer.exit_code == 0
    assert '"difference": 0.125' in answer.stdout


def test_no_text_gets_out_of_its_place(pages: dict[str, str]) -> None:
    for page in pages.values():
        tags = parsed(page).tags
        assert {tag for tag, _ in tags} <= _TAGS
        assert not [a for _, attributes in tags for a in attributes if a.startswith("on")]
        assert not [1 for _, attributes in tags if {"src", "style"} & set(attributes)]
        assert "<script" not in page
        assert not set(map(chr, range(32))) & set(page) - {"\n"}
    shown = "\N{REPLACEMENT CHARACTER}" + html.escape(MARKUP[1:]).split("&quot;")[0]
    assert pages[HOSTILE].count(shown) > 8


def test_the_page_refers_to_nothing_outside_the_lake(pages: dict[str, str]) -> None:
    for page in pages.values():
        links = [a["href"] for tag, a in parsed(page).tags if tag == "a"]
        assert all(link and "://" not in link and not link.startswith("/") for link in links)
        assert "default-src 'none'; style-src 'sha256-" in html.unescape(page)
        assert "@import" not in page
        assert "url(" not in page


def test_links_inside_a_page_have_their_targets(lake: Lake, pages: dict[str, str]) -> None:
    for night in (FIRST, HOSTILE, BEGUN):
        tags = parsed(pages[night]).tags
        keys = [attributes["id"] for _, attributes in tags if "id" in attributes]
        assert len(keys) == len(set(keys))
        for tag, attributes in tags:
            link = attributes.get("href") or ""
            if tag == "a" and link.startswith("#"):
                assert link[1:] in keys
            elif tag == "a":
                assert (report_path(lake, LINE, night).parent / link).exists(), link


def test_pages_are_small(pages: dict[str, str]) -> None:
    assert max(len(page.encode()) for page in pages.values()) < MAX_BYTES


def test_equal_rows_give_an_equal_page(lake: Lake, pages: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(lake.root, tmp_path / "elsewhere", symlinks=True)
    with Lake.open(tmp_path / "elsewhere") as other:
        for night in (FIRST, HOSTILE, BEGUN):
            assert write_report(other, LINE, night).read_text("utf-8") == pages[night]
        index = other.root / "reports" / "index.html"
        assert index.read_text("utf-8") == pages["index"]


def test_writing_a_report_changes_nothing_else(lake: Lake, pages: dict[str, str]) -> None:
    before = files_of(lake.root)
    write_report(lake, LINE, FIRST)
    assert files_of(lake.root) == before
    assert not list((lake.root / "reports").rglob(".*"))


def test_a_night_that_has_begun_says_what_is_missing(pages: dict[str, str]) -> None:
    page = pages[BEGUN]
    assert "<title>smoke, night 3: not decided yet</title>" in page
    assert (
        "40 prompts not tried yet, no targets, no trained students, no figures, no decision" in page
    )
    assert "This night has not ended." not in pages[FIRST]
    assert "Bits per byte on the confirmation stories" not in page


def test_the_index_names_every_night_newest_first(pages: dict[str, str]) -> None:
    [rows] = parsed(pages["index"]).tables.values()
    assert [row[:2] for row in rows[1:]] == [
        ["smoke, night 3", "not decided"],
        ["smoke, night 2", "not promoted (not better)"],
        ["smoke, night 1", "promoted (first student)"],
    ]


def test_a_later_night_leaves_the_page_of_an_earlier_one_alone(
    smoke_night: Night, pages: dict[str, str], tmp_path: Path
) -> None:
    shutil.copytree(smoke_night.data, tmp_path / "one", symlinks=True)
    with Lake.open(tmp_path / "one") as alone:
        assert write_report(alone, LINE, FIRST).read_text("utf-8") == pages[FIRST]


def test_the_command_takes_the_newest_night_of_the_line_decided_last(lake: Lake) -> None:
    done = in_process("report", "--data", str(lake.root))
    assert done.exit_code == 0
    assert Path(done.stdout.strip()) == report_path(lake, LINE, BEGUN)
    done = in_process("report", "--night", HOSTILE, "--line", LINE, "--data", str(lake.root))
    assert Path(done.stdout.strip()) == report_path(lake, LINE, HOSTILE)


def test_writing_a_report_loads_neither_torch_nor_prefect(lake: Lake) -> None:
    code = (
        "import sys; from flows.cli import app; "
        "app(['report', '--data', sys.argv[1]], standalone_mode=False); "
        "print({'torch', 'transformers', 'prefect', 'playwright'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(lake.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(report_path(lake, LINE, BEGUN)), "set()"]


@pytest.mark.parametrize("asked", [["--night", "9"], ["--line", "other"]])
def test_a_night_that_is_not_there_is_one_line_with_those_that_are(
    lake: Lake, asked: list[str]
) -> None:
    done = in_process("report", *asked, "--data", str(lake.root))
    assert done.exit_code == 2
    assert not done.stdout
    [message] = done.stderr.splitlines()
    assert message == (
        f"stillhouse: expected a night of this lake, found {asked[0][2:]} {asked[1]}; "
        "its nights are smoke: 1, 2, 3"
    )


def test_an_empty_lake_has_no_night_to_report_on(tmp_path: Path) -> None:
    with Lake.open(tmp_path / "empty", create=True) as lake:
        with pytest.raises(FlowsError, match="its nights are none"):
            write_report(lake, LINE, FIRST)
        assert not (lake.root / "reports").exists()
    done = in_process("report", "--data", str(tmp_path / "empty"))
    assert done.exit_code == 2
    assert "expected a night to report on, found none" in done.stderr


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (formats.number(-0.0625), "\N{MINUS SIGN}0.062"),
        (formats.signed(0.5), "+0.500"),
        (formats.percent(0.4726), "47.3\N{NO-BREAK SPACE}%"),
        (formats.duration(59.94), "59.9 s"),
        (formats.duration(59.96), "1 min 00 s"),
        (formats.duration(3599.6), "1 h 00 min"),
        (formats.duration(86400 + 59), "24 h 00 min"),
        (formats.count(1234567), "1,234,567"),
        (formats.number(None), "\N{EN DASH}"),
    ],
)
def test_numbers_are_written_for_people(value: str, shown: str) -> None:
    assert value == shown
