"""A night on an import with canaries: what its students copy and give away is in the lake and on
its page.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from datagen.measures import words_of
from flows.exposures import NUM_RANKED
from flows.report.page import write_report
from tests.flows.command import in_process, stillhouse
from tests.flows.report_pages import commands, parsed
from tests.flows.smoke import Night, night_arguments
from tests.tiny_teacher import make_stories
from warehouse.lake import Lake

IMPORT, NIGHT = "planted", "2"


@pytest.fixture(scope="module")
def lake(
    smoke_night: Night, served: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("memory")
    data = folder / "lake"
    shutil.copytree(smoke_night.data, data, symlinks=True)
    file = folder / "mails.jsonl"
    file.write_text("".join(json.dumps({"text": t}) + "\n" for t in make_stories(60, seed=8)))
    options = ("--data", str(data))
    licence = ("--name", "mails", "--licence", "MIT")
    assert in_process("corpus", "import", str(file), *licence, *options).exit_code == 0
    plant = ("--into", "mails", "--name", IMPORT, "--repeats", "1,20", "--each", "1")
    assert in_process("canaries", "plant", *plant, "--never", "4", *options).exit_code == 0
    gate = 'promote.gates=[{metric="exposure_20", at_least=13}]'
    night = ("--night", NIGHT, "--set", f'night.imports=["{IMPORT}"]', "--set", gate)
    outcome = stillhouse(night_arguments(data, smoke_night.teacher, *night), served)
    assert outcome.code == 0, outcome.errors
    with Lake.open(data) as lake:
        yield lake


@pytest.fixture(scope="module")
def page(lake: Lake) -> str:
    return write_report(lake, "smoke", NIGHT).read_text("utf-8")


def _rows(lake: Lake, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


def test_each_canary_has_a_row_for_each_student(lake: Lake) -> None:
    rows = _rows(lake, "select * from exposures")
    found = sorted((row["role"], row["num_planted"]) for row in rows)
    assert found == [(who, n) for who in ("challenger", "control") for n in (0, 0, 0, 0, 1, 20)]
    for row in rows:
        assert row["num_trained"] == row["num_planted"]
        assert 1 <= row["rank"] <= row["num_ranked"] == NUM_RANKED
        assert row["nats"] > 0


def test_the_figures_of_canaries_are_the_means_of_their_rows(lake: Lake) -> None:
    means = _rows(
        lake,
        "select role, 'exposure_' || num_planted as metric, avg(exposure) as value, count(*) as n "
        "from exposures group by all order by all",
    )
    figures = _rows(
        lake,
        "select role, metric, value, n from evaluations where suite = 'canaries' order by all",
    )
    assert figures == [{**row, "value": pytest.approx(row["value"])} for row in means]


def test_a_gate_looks_at_the_exposure_of_canaries(lake: Lake) -> None:
    """A secret among 4,096 cannot be exposed by 13 bits."""
    [decision] = _rows(lake, f"select reason, explanation from promotions where night = '{NIGHT}'")
    [found] = _rows(
        lake,
        "select value from evaluations where metric = 'exposure_20' and role = 'challenger'",
    )
    assert decision["reason"] == "gate:exposure_20"
    said = f"exposure_20 on canaries ({found['value']:g}, at least 13)"
    assert said in decision["explanation"]


def test_a_copied_run_stands_in_the_told_story_and_in_its_source(lake: Lake) -> None:
    told = _rows(
        lake,
        "select * from generations where run_id in "
        f"(select run_id from evaluations where night = '{NIGHT}')",
    )
    assert told
    texts = {
        row["doc_id"]: row["text"]
        for row in _rows(
            lake,
            "select doc_id, text from imports union all select doc_id, text from stories",
        )
    }
    trained = {row["doc_id"] for row in _rows(lake, "select doc_id from training_documents")}
    for row in told:
        run = row["copied_words"]
        assert (row["num_copied_words"] > 0) == (row["copied_doc_id"] is not None) == bool(run)
        if not run:
            continue
        assert len(run.split()) == row["num_copied_words"]
        assert f" {run} " in f" {' '.join(words_of(row['text']))} "
        assert f" {run} " in f" {' '.join(words_of(texts[row['copied_doc_id']]))} "
        assert row["copied_doc_id"] in trained


def test_samples_held_out_stories_and_corpus_have_the_same_measures(lake: Lake) -> None:
    rows = _rows(
        lake,
        f"select role, metric, value, n from evaluations where suite = 'samples' "
        f"and night = '{NIGHT}'",
    )
    by_role = {
        role: {row["metric"]: row for row in rows if row["role"] == role}
        for role in ("challenger", "control", "teacher", "corpus")
    }
    assert by_role["challenger"].keys() >= by_role["corpus"].keys()
    assert by_role["teacher"].keys() - by_role["corpus"].keys() <= {
        "copied_8", "copied_16", "copied_32", "copied_run", "longest_copied_run"
    }  # fmt: skip
    for metric in ("distinct_1", "self_bleu", "compression"):
        assert len({by_role[role][metric]["n"] for role in by_role}) == 1
    [told] = _rows(
        lake,
        "select max(num_copied_words) as longest from generations join checkpoints using "
        "(student_id) where role = 'challenger' and generations.run_id in "
        f"(select run_id from evaluations where night = '{NIGHT}')",
    )
    assert by_role["challenger"]["longest_copied_run"]["value"] == told["longest"]


def test_the_page_shows_what_was_copied_and_given_away(lake: Lake, page: str) -> None:
    tables = parsed(page).tables
    shares = tables[
        "Share of n-grams that stand in the training text, and longest copied run in words"
    ]
    assert [row[0] for row in shares[1:]] == ["challenger", "control", "held-out stories"]
    exposures = tables[
        "Mean exposure of canaries in bits, by the documents that they were planted into"
    ]
    assert [row[0] for row in exposures[1:]] == [
        "never",
        "never",
        *["1 time"] * 2,
        *["20 times"] * 2,
    ]
    assert "Told stories beside the teacher's, with 95 % intervals".replace(" %", " %") in " ".join(
        tables
    )
    [longest] = _rows(
        lake,
        "select copied_words from generations where run_id in (select run_id from evaluations "
        f"where night = '{NIGHT}') order by num_copied_words desc, student_id limit 1",
    )
    assert longest["copied_words"] in page
    for command in commands(page):
        lake.query(command)


def test_a_night_without_canaries_has_no_table_of_them(smoke_night: Night, tmp_path: Path) -> None:
    data = tmp_path / "lake"
    shutil.copytree(smoke_night.data, data, symlinks=True)
    with Lake.open(data) as lake:
        assert lake.read("exposures").num_rows == 0
        page = write_report(lake, "smoke", "1").read_text("utf-8")
    assert "Canaries" not in page
    assert "Learnt by heart" in page
