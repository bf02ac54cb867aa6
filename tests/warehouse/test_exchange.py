"""Corpora in: every document is a row with a reason if it cannot be used, the import is there as a
whole or not at all, and the same import again adds nothing.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.warehouse.lake_rows import commit_row
from warehouse import exchange
from warehouse.errors import ExchangeError
from warehouse.exchange import Imported, ImportRequest, import_corpus, import_run, open_source
from warehouse.identity import digest_bytes
from warehouse.lake import Lake
from warehouse.split import text_split_digest

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with Lake.open(tmp_path / "lake", create=True) as opened:
        yield opened


def _bring_in(lake: Lake, source: Path | str, **given: Any) -> Imported:
    """Import with the options given, the others as the command line has them."""
    opened = open_source(str(source), given.pop("form", "auto"), given.pop("text_column", "text"))
    usual: dict[str, Any] = dict(name="mine", origin="tests", licence="MIT", max_bytes=100_000)
    request = ImportRequest(**usual | given, count_words=lambda text: len(text.split()))
    return import_corpus(lake, opened, request, lambda _: None)


def _rows(lake: Lake) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.read("imports").to_pylist()
    return rows


def _told(lake: Lake) -> list[tuple[str, str | None]]:
    return [(row["text"], row["reason"]) for row in _rows(lake)]


def test_each_line_of_jsonl_is_a_row_with_its_reason(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "mails.jsonl"
    lines = [
        b'\xef\xbb\xbf{"text": " A boat.\\r\\nIt sank. "}',
        b'{"text": "  "}',
        b"",
        b'{"text": null}',
        b'{"text": "bad \xff byte"}',
        b'{"text": "half \\ud83d"}',
        b'{"text": "bell \\u0007"}',
        b'{"text": "A boat.\\nIt sank."}',
        '{"text": "caf\u00e9 \U0001f600"}'.encode(),
        b'{"text": "' + b"x" * 90 + b'"}',
    ]
    file.write_bytes(b"\n".join(lines) + b"\n")
    done = _bring_in(lake, file, max_bytes=80)
    assert _told(lake) == [
        ("A boat.\nIt sank.", None),
        ("", "empty"),
        ("", "empty"),
        ("bad \ufffd byte", "not_utf8"),
        ("half \ufffd\ufffd\ufffd", "not_utf8"),
        ("bell \x07", "control_character"),
        ("A boat.\nIt sank.", "duplicate"),
        ("caf\u00e9 \U0001f600", None),
        ("x" * 90, "too_long"),
    ]
    assert [row["source_row"] for row in _rows(lake)] == [1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert (done.num_documents, done.num_accepted) == (9, 2)
    assert done.reasons == {
        "control_character": 1,
        "duplicate": 1,
        "empty": 2,
        "not_utf8": 2,
        "too_long": 1,
    }


def test_a_row_says_where_it_comes_from_and_on_which_side_of_the_split_it_is(
    lake: Lake, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_text("A red boat.")
    done = _bring_in(lake, tmp_path / "a", origin="https://example.org/'; DROP TABLE imports")
    assert _rows(lake) == [
        {
            "doc_id": digest_bytes(b"A red boat."),
            "run_id": done.run_id,
            "name": "mine",
            "origin": "https://example.org/'; DROP TABLE imports",
            "licence": "MIT",
            "source_file": "one.txt",
            "source_row": 1,
            "text": "A red boat.",
            "num_words": 3,
            "num_bytes": 11,
            "split_digest": text_split_digest("A red boat."),
            "accepted": True,
            "reason": None,
        }
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"One.\n\nStill one.\n", [("One.\n\nStill one.", 1)]),
        (b"", [("", 1)]),
        (b"One.\n<|endoftext|>\nTwo.\n<|endoftext|>\n", [("One.", 1), ("Two.", 3)]),
        (b"One.\r\n<|endoftext|>\r\n\r\nTwo.", [("One.", 1), ("Two.", 3)]),
        (b"One. <|endoftext|>\n", [("One. <|endoftext|>", 1)]),
        (b"<|endoftext|>\nOne.\n", [("", 1), ("One.", 2)]),
    ],
)
def test_a_text_file_is_one_document_unless_separator_lines_end_several(
    lake: Lake, tmp_path: Path, content: bytes, expected: list[tuple[str, int]]
) -> None:
    (tmp_path / "f.txt").write_bytes(content)
    _bring_in(lake, tmp_path / "f.txt")
    assert [(row["text"], row["source_row"]) for row in _rows(lake)] == expected


def test_of_a_long_text_only_the_beginning_is_kept(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_bytes(b"y" * 5_000_000 + b"\n<|endoftext|>\nshort\n")
    _bring_in(lake, tmp_path / "f.txt", max_bytes=10_000)
    long, short = _rows(lake)
    assert (long["text"], long["reason"], long["num_bytes"]) == ("y" * 1000, "too_long", 5_000_001)
    assert (short["text"], short["source_row"]) == ("short", 3)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_parquet_text_of_any_arrow_type_is_read(lake: Lake, tmp_path: Path, kind: Any) -> None:
    column = pa.array(["One.", None, "Two."], pa.string()).cast(kind)
    pq.write_table(pa.table({"n": [1, 2, 3], "body": column}), tmp_path / "t.parquet")
    _bring_in(lake, tmp_path / "t.parquet", text_column="body")
    assert _told(lake) == [("One.", None), ("", "empty"), ("Two.", None)]


def test_parquet_that_calls_bytes_a_string_gives_not_utf8(lake: Lake, tmp_path: Path) -> None:
    column = pa.array([b"fine", b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "t.parquet")
    _bring_in(lake, tmp_path / "t.parquet")
    assert [reason for _, reason in _told(lake)] == [None, "not_utf8"]


def test_a_story_that_the_lake_has_already_is_not_accepted_again(
    lake: Lake, tmp_path: Path
) -> None:
    story = {"accepted": True, "reason": None, "text": "Two.", "doc_id": digest_bytes(b"Two.")}
    commit_row(lake, "night", "stories", **story)
    (tmp_path / "b.txt").write_text("Two.\n<|endoftext|>\nThree.\n<|endoftext|>\nTwo.\n")
    done = _bring_in(lake, tmp_path / "b.txt", name="b")
    assert done.reasons == {"duplicate": 1, "in_lake": 1}
    assert import_run(lake, "b") == done.run_id


def test_an_import_with_a_wrong_option_is_made_again_under_another_name(
    lake: Lake, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("One.\n<|endoftext|>\nTwo.\n")
    _bring_in(lake, tmp_path / "a.txt", licence="MIT")
    done = _bring_in(lake, tmp_path / "a.txt", name="mine-2", licence="CC-BY-4.0")
    assert (done.num_accepted, done.reasons) == (2, {})


def test_the_same_import_again_adds_nothing_wherever_the_file_lies(
    lake: Lake, tmp_path: Path
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "f.jsonl").write_text('{"text": "One."}\n')
    first = _bring_in(lake, tmp_path / "here" / "f.jsonl")
    before = lake.digest(), lake.manifest.snapshot()
    second = _bring_in(lake, tmp_path / "there" / "f.jsonl")
    assert (first.is_new, second.is_new) == (True, False)
    assert (lake.digest(), lake.manifest.snapshot()) == before
    assert (second.run_id, second.num_accepted) == (first.run_id, 1)


def test_a_name_is_never_given_twice(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("One.")
    _bring_in(lake, tmp_path / "f.txt")
    with pytest.raises(ExchangeError, match="--name mine: expected a name that no other import"):
        _bring_in(lake, tmp_path / "f.txt", licence="CC0-1.0")
    assert len(_rows(lake)) == 1


def test_many_documents_become_shards_of_bounded_size_in_one_snapshot(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_ROWS_PER_SHARD", 7)
    texts = [f"Story {number}." for number in range(30)]
    (tmp_path / "f.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    _bring_in(lake, tmp_path / "f.jsonl")
    assert [rows.num_rows for rows in lake.shards("imports")] == [7, 7, 7, 7, 2]
    assert lake.manifest.snapshot() == 1
    assert [text for text, _ in _told(lake)] == texts
    assert lake.verify() == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.jsonl", b'{"text": "a"}\n{"text": \n', r"f\.jsonl: expected a JSON object in line 2"),
        ("f.jsonl", b'{"text": "a"}\n["b"]\n', r"a JSON object in line 2, found: list"),
        ("f.jsonl", b'{"body": "a"}\n', r"the column 'text' in line 1, found: body; .*--text-col"),
        ("f.jsonl", b'{"text": 7}\n', r"text under 'text' in line 1, found: int"),
        ("f.jsonl", b"[" * 100_000, r"a JSON object in line 1, found: "),
        ("f.jsonl", b"\n\n", r"expected at least one document, found none"),
        ("f.parquet", b"PAR1 no", r"f\.parquet: expected a readable parquet file"),
        ("f.csv", b"text\na\n", r"expected one kind of file .* say which with --format"),
    ],
)
def test_bad_input_is_one_line_with_its_place_and_leaves_nothing(
    lake: Lake, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ExchangeError, match=message) as caught:
        _bring_in(lake, tmp_path / name)
    assert "\n" not in str(caught.value)
    assert lake.manifest.snapshot() == 0
    assert not list(lake.root.rglob("*.parquet"))
    assert not list((lake.root / "work").glob("*"))


def test_a_bad_line_behind_whole_shards_leaves_none_of_them(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_ROWS_PER_SHARD", 2)
    (tmp_path / "f.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n{"text": "c"}\nno\n')
    with pytest.raises(ExchangeError, match="in line 4"):
        _bring_in(lake, tmp_path / "f.jsonl")
    assert (_rows(lake), list(lake.root.rglob("*.parquet"))) == ([], [])


_KILLED = """
import os, signal, sys
from pathlib import Path
from warehouse import exchange
from warehouse.lake import Lake

exchange._ROWS_PER_SHARD = 5
kill_at = int(sys.argv[3])
def killed(place, done=[0]):
    done[0] += 1
    if done[0] == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
source = exchange.open_source(sys.argv[2], "auto", "text")
request = exchange.ImportRequest("mine", "tests", "MIT", 1000, len)
with Lake.open(Path(sys.argv[1]), create=True) as lake:
    exchange.import_corpus(lake, source, request, killed)
"""


def test_a_killed_import_is_not_seen_and_the_next_one_has_the_same_rows(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    file.write_text("".join(f'{{"text": "Story {number}."}}\n' for number in range(23)))

    def run(root: str, kill_at: int) -> int:
        command = [sys.executable, "-c", _KILLED, str(tmp_path / root), str(file), str(kill_at)]
        return subprocess.run(command, cwd=_ROOT, env=os.environ, timeout=120).returncode

    assert run("killed", 17) == -signal.SIGKILL
    with Lake.open(tmp_path / "killed") as lake:
        assert _rows(lake) == []
    assert len(list((tmp_path / "killed").rglob("*.parquet"))) == 3
    assert run("killed", -1) == run("whole", -1) == 0
    with Lake.open(tmp_path / "killed") as killed, Lake.open(tmp_path / "whole") as whole:
        assert killed.digest() == whole.digest()
        assert len(_rows(killed)) == 23
        assert killed.verify() == []
