"""Canaries planted into an import: what comes into the lake, and what is refused."""

import json
from pathlib import Path

import pytest

from datagen.canaries import sentence_of
from flows.canaries import MOST_HELD_OUT, Planted, PlantRequest, plant_canaries
from flows.errors import FlowsError
from tests.flows.command import in_process
from tests.tiny_teacher import make_stories
from warehouse.errors import ExchangeError
from warehouse.exchange import ImportRequest, import_corpus, open_source
from warehouse.identity import digest_bytes
from warehouse.lake import Lake
from warehouse.split import is_held_out, text_split_digest

STORIES = make_stories(80, seed=9)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "mails.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*STORIES, ""]))
    request = ImportRequest("mails", "the house", "MIT", 100_000, lambda text: len(text.split()))
    with Lake.open(tmp_path / "lake", create=True) as lake:
        import_corpus(lake, open_source(str(file), "auto", "text"), request, lambda _: None)
    return tmp_path / "lake"


def _plant(data: Path, **changes: object) -> Planted:
    asked = {
        "into": "mails", "name": "mails-planted", "num_repeats": (1, 10), "num_each": 2,
        "num_never": 5, "seed": 1, "max_bytes": 900, **changes,
    }  # fmt: skip
    with Lake.open(data) as lake:
        return plant_canaries(lake, PlantRequest(**asked))  # type: ignore[arg-type]


def test_every_row_comes_again_and_some_with_a_canary(data: Path) -> None:
    done = _plant(data)
    assert (done.is_new, done.num_canaries, done.num_documents) == (True, 9, 22)
    with Lake.open(data) as lake:
        rows = lake.query("select * from imports where name = 'mails-planted'").to_pylist()
        before = lake.query("select * from imports where name = 'mails'").to_pylist()
        canaries = lake.read("canaries").to_pylist()
        assert lake.verify() == []
    assert [row["source_row"] for row in rows] == [row["source_row"] for row in before]
    assert {row["origin"] for row in rows} == {"the house, with canaries"}
    changed = [
        (old, new) for old, new in zip(before, rows, strict=True) if old["text"] != new["text"]
    ]
    assert len(changed) == 22
    by_text = {old["text"]: new for old, new in changed}
    holders = {doc_id: row for row in canaries for doc_id in row["doc_ids"]}
    for text, new in by_text.items():
        assert new["text"] == f"{holders[new['doc_id']]['sentence']} {text}"
        assert new["doc_id"] == digest_bytes(new["text"].encode())
        assert new["num_bytes"] == len(new["text"].encode()) <= 900
        assert new["split_digest"] == text_split_digest(new["text"])
        assert not is_held_out(new["split_digest"], MOST_HELD_OUT)
    assert sorted(row["num_planted"] for row in canaries) == [0] * 5 + [1, 1, 10, 10]
    for row in canaries:
        assert len(row["doc_ids"]) == row["num_planted"]
        assert row["sentence"] == sentence_of(row["secret"])
        assert row["space_size"] == len(row["words"]) ** 4


def test_planting_again_adds_nothing_and_another_seed_needs_another_name(data: Path) -> None:
    first = _plant(data)
    again = _plant(data)
    assert (again.run_id, again.is_new, again.num_documents) == (first.run_id, False, 22)
    with pytest.raises(ExchangeError, match="--name mails-planted: expected a name that no other"):
        _plant(data, seed=2)
    assert _plant(data, seed=2, name="more").is_new


def test_what_cannot_be_planted_is_refused_and_nothing_is_added(data: Path) -> None:
    with Lake.open(data) as lake:
        before = lake.digest()
    with pytest.raises(FlowsError, match=r"expected 1100 documents .* found \d+ of 80; lower"):
        _plant(data, num_repeats=(1_000, 100), num_each=1)
    with pytest.raises(FlowsError, match="expected 22 documents of at most 40 bytes"):
        _plant(data, max_bytes=40)
    with pytest.raises(FlowsError, match="whole numbers of at least 1, found 0,10, 2, 5"):
        _plant(data, num_repeats=(0, 10))
    with pytest.raises(FlowsError, match="each number of repeats once"):
        _plant(data, num_repeats=(10, 10))
    with pytest.raises(ExchangeError, match="import 'letters': expected one of mails"):
        _plant(data, into="letters")
    with pytest.raises(ExchangeError, match="--name 'My Mails': expected 1 to 63"):
        _plant(data, name="My Mails")
    with Lake.open(data) as lake:
        assert lake.digest() == before


def test_the_command_plants_and_says_what_it_did(data: Path) -> None:
    command = ["canaries", "plant", "--into", "mails", "--name", "planted", "--data", str(data)]
    done = in_process(*command, "--repeats", "1,5", "--each", "2", "--never", "3")
    assert done.exit_code == 0
    assert "7 canaries, planted into 12 documents" in done.stderr
    with Lake.open(data) as lake:
        [row] = lake.query(
            "select count(*) as n, any_value(run_id) as run from canaries"
        ).to_pylist()
    assert (row["n"], row["run"]) == (7, done.stdout.strip())
    wrong = in_process(*command, "--repeats", "1,many")
    assert wrong.exit_code == 2
    assert "--repeats 1,many: expected whole numbers with commas between" in wrong.stderr
