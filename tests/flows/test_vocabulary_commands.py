"""`stillhouse vocabulary`: what a team sees of its own list, ours, and how they cover a corpus."""

import csv
import io
import json
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datagen.measures import words_of
from datagen.vocabulary import load_vocabulary
from flows import corpus_words
from flows.corpus_words import words_of_file
from tests.flows.command import in_process
from warehouse.lake import Lake
from warehouse.schemas import WORDS

DATA = Path(__file__).parents[3] / "shared" / "data"
CDI, STORIES = DATA / "cdi_babylm_word_list.csv", DATA / "tinystories" / "stories.jsonl"
TEXTS = ("The cat sat on the mat.", "The cat zorbled; the Zorbs did not.")


def _answer(*arguments: str) -> str:
    result = in_process("vocabulary", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def _refusal(*arguments: str) -> str:
    result = in_process("vocabulary", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def _object(*arguments: str) -> dict[str, object]:
    told: dict[str, object] = json.loads(_answer(*arguments, "--json"))
    return told


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.txt"
    path.write_text("# ours\ncat noun 3 pets\nsit v\nfound adj\nfind v\nthe\non\n")
    return path


def test_list_names_what_comes_with_the_package() -> None:
    rows = [json.loads(line) for line in _answer("list", "--json").splitlines()]
    assert [row["name"] for row in rows] == ["age3", "age5"]
    assert rows[0]["words"] == len(load_vocabulary("age3").words)


def test_check_prints_counts_proposals_and_warnings(mine: Path) -> None:
    told = _answer("check", str(mine))
    assert f"6 words, digest {load_vocabulary(str(mine)).digest}" in told.replace("\n", " ")
    assert re.search(r"verb +2 +\d+ +find, sit", told)
    assert "line 2: noun cat, cats" in told
    assert "line 3: verb sit, sits, sat, sitting" in told
    assert "1 forms belong to two lemmas" in told
    assert "found (find, found)" in told
    assert "no punctuation named" in told


def test_check_says_which_parts_prompts_would_miss(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("cat n\n")
    assert "warning: no verb and no adjective: " in _answer("check", str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat noun\ncat noun\n", "mine.txt, line 2: expected each lemma once per part of speech"),
        ("cat noun\n{{x}}\n", "mine.txt, line 2: expected words of letters and digits"),
        ("", "mine.txt: expected at least one word, found none"),
    ],
)
def test_check_refuses_in_one_line_with_exit_code_2(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    assert said in _refusal("check", str(path))


def test_what_show_writes_into_a_file_is_the_vocabulary_again(mine: Path, tmp_path: Path) -> None:
    for name in ("age3", str(mine)):
        again = tmp_path / "again.tsv"
        again.write_text(_answer("show", name), "utf-8")
        same = load_vocabulary(str(again), needs=())
        assert same.digest == load_vocabulary(name).digest


def test_show_chooses_by_part_of_speech_and_topic() -> None:
    told = _answer("show", "age3", "--part", "noun", "--topic", "animals", "--csv")
    rows = list(csv.DictReader(io.StringIO(told)))
    assert {row["part_of_speech"] for row in rows} == {"noun"}
    assert {row["topic"] for row in rows} == {"animals"}
    assert {"mouse,mice"} <= {row["forms"] for row in rows}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "age4"), "expected the name of a vocabulary (age3, age5) or the path"),
        (("show", "age3", "--part", "nouns"), "--part: expected a part of speech (verb, noun"),
        (("show", "age3", "--topic", "pets"), "--topic: expected a topic of age3 (animals, body"),
        (("show", "age3", "--csv", "--json"), "--csv and --json: expected one of them"),
        (("coverage", "age3", "--against", "none.txt"), "none.txt: expected a file (text, "),
        (("coverage", "age3", "--data", "none"), "/none: manifest.sqlite is not there"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    assert said in _refusal(*arguments)


def _corpora(folder: Path) -> dict[str, Path]:
    paths = {kind: folder / f"c.{kind}" for kind in ("txt", "jsonl", "parquet", "csv")}
    paths["txt"].write_text("\n".join(TEXTS), "utf-8")
    paths["jsonl"].write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    pq.write_table(pa.table({"n": [1, 2, 3], "text": [*TEXTS, None]}), paths["parquet"])
    paths["csv"].write_text("".join(f'"{text}"\n' for text in ("text", *TEXTS)))
    return paths


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet", "csv", "lake"])
def test_coverage_is_the_same_whatever_holds_the_texts(kind: str, tmp_path: Path) -> None:
    if kind == "lake":
        _lake_of(TEXTS, tmp_path / "lake")
        told = _object("coverage", "age3", "--data", str(tmp_path / "lake"))
    else:
        told = _object("coverage", "age3", "--against", str(_corpora(tmp_path)[kind]))
    assert (told["num_running"], told["num_running_inside"]) == (13, 11)
    assert (told["num_distinct"], told["num_distinct_inside"]) == (9, 7)
    assert told["outside"] == [{"word": "zorbled", "times": 1}, {"word": "zorbs", "times": 1}]
    assert told["share_running"] == pytest.approx(11 / 13)


def test_rows_of_a_word_list_are_entries(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("definition,age\nice cream,2\ndog,1\ndog,3\nzorb cream,4\n")
    told = _object("coverage", "age3", "--against", str(path))
    assert told["unit"] == "entries"
    assert (told["num_running"], told["num_running_inside"]) == (4, 3)
    assert (told["num_distinct"], told["num_distinct_inside"]) == (3, 2)
    assert told["outside"] == [{"word": "zorb cream", "times": 1}]


def test_csv_is_the_words_outside_and_top_how_many(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("zorb zorb zib cat")
    told = _answer("coverage", "age3", "--against", str(path), "--top", "1", "--csv")
    assert told == '"word","times"\n"zorb",2\n'
    table = _answer("coverage", "age3", "--against", str(path))
    assert re.search(r"running words +4 +1 +3 +25", table)


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_a_text_that_is_read_in_pieces_loses_and_cuts_no_word(
    piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_words, "_PIECE_CHARS", piece)
    lines = [f"A caf\u00e9 stood here, no. {number}.\n" for number in range(200)]
    text = "".join(lines) + "end"
    path = tmp_path / "c.txt"
    path.write_text(text, "utf-8")
    counted = words_of_file(path).counts
    if piece == 1:  # a word is longer than a piece: it is cut, never kept without bound
        assert sum(counted.values()) >= len(words_of(text))
    else:
        assert counted == Counter(words_of(text))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', 'c.jsonl, line 2: expected a JSON object'),
        ("c.jsonl", b"nonsense\n", "c.jsonl, line 1: expected a JSON object in UTF-8"),
        ("c.jsonl", b"[1]\n", "c.jsonl, line 1: expected a JSON object with a text"),
        ("c.txt", b"caf\xe9 noir", "c.txt: expected UTF-8, found byte 0xe9"),
        ("c.txt", b" \n \n", "c.txt: expected a corpus with words in it, found none"),
        ("c.txt", b"", "c.txt: expected a corpus with words in it, found none"),
        ("c.csv", b"a,b\n1,2\n", "c.csv: expected a header with a column word_clean, definition"),
        ("c.csv", b"", "c.csv: expected a header with a column word_clean, definition"),
        ("c.csv", b"text\ncaf\xe9\n", "c.csv: expected UTF-8, found byte 0xe9"),
        ("c.parquet", b"PAR1 no", "c.parquet: expected a whole Parquet file, found: "),
    ],
)  # fmt: skip
def test_a_corpus_that_cannot_be_read_is_one_line(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert said in _refusal("coverage", "age3", "--against", str(path))


def test_a_parquet_file_without_texts_names_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    pq.write_table(pa.table({"n": [1], "text": [2]}), path)
    assert "expected a column text of strings, found the columns n, text" in _refusal(
        "coverage", "age3", "--against", str(path)
    )


@pytest.mark.skipif(not CDI.is_file(), reason="shared/data is not here")
@pytest.mark.parametrize(
    ("name", "least_entries", "most_outside"), [("age3", 0.98, 0.04), ("age5", 0.98, 0.02)]
)
def test_the_shipped_ones_cover_what_they_promise(
    name: str, least_entries: float, most_outside: float
) -> None:
    children = _object("coverage", name, "--against", str(CDI))
    stories = _object("coverage", name, "--against", str(STORIES))
    assert float(str(children["share_running"])) >= least_entries
    assert 1 - float(str(stories["share_running"])) <= most_outside


def _lake_of(texts: tuple[str, ...], root: Path) -> None:
    counts = sorted(Counter(word for text in texts for word in words_of(text)).items())
    row = {"run_id": "0" * 32, "shard": 0, "in_vocabulary": True, "story_ids": []}
    rows = [{**row, "word": word, "num_occurrences": times} for word, times in counts]
    table = pa.Table.from_pylist(rows, WORDS.schema)
    with Lake.open(root, create=True) as lake:
        assert lake.commit_shard("0" * 32, 0, {WORDS.name: table})
