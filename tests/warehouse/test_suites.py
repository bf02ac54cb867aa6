"""Frozen suites: a name means one content for good, and a line that is no pair is said with its
place.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.errors import ExchangeError, SuiteError, WarehouseError
from warehouse.lake import Lake
from warehouse.pair_files import Pair, read_pairs
from warehouse.suites import (
    SuiteRequest,
    find_suite,
    first_pairs,
    freeze_pairs,
    freeze_texts,
    frozen_suites,
    pairs_digest,
    pairs_of,
    read_texts,
    texts_of,
)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with Lake.open(tmp_path / "lake", create=True) as opened:
        yield opened


def _line(number: int, **more: Any) -> dict[str, Any]:
    return {
        "sentence_good": f"The dog {number} is happy.",
        "sentence_bad": f"The dog {number} are happy.",
        **more,
    }


def _write(path: Path, *lines: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def _request(name: str = "mine", **more: str) -> SuiteRequest:
    return SuiteRequest(**{"name": name, "origin": "tests", "licence": "MIT", **more})


def test_the_set_and_the_phenomenon_come_from_the_line_or_from_the_file(tmp_path: Path) -> None:
    _write(tmp_path / "b" / "told.jsonl", _line(1, UID="is_are", linguistics_term="agreement"))
    _write(tmp_path / "b" / "more.ndjson", _line(1), _line(2))
    named = _write(tmp_path / "c.txt", _line(3, phenomenon="order"))
    _write(tmp_path / "b" / "README.md")
    pairs = read_pairs([tmp_path / "b", named])
    assert [(pair.set_name, pair.phenomenon, pair.place) for pair in pairs] == [
        ("more", "more", 1),
        ("more", "more", 2),
        ("is_are", "agreement", 1),
        ("c", "order", 1),
    ]
    assert pairs[0].sentence_good == "The dog 1 is happy."


def test_a_suite_is_what_is_in_it_and_not_its_order(lake: Lake, tmp_path: Path) -> None:
    lines = [_line(number, UID=f"set{number % 2}") for number in range(6)]
    pairs = read_pairs([_write(tmp_path / "a.jsonl", *lines)])
    turned = read_pairs([_write(tmp_path / "b.jsonl", *reversed(lines))])
    assert pairs_digest(pairs) == pairs_digest(turned)
    assert freeze_pairs(lake, _request(), pairs)
    before = lake.digest()
    assert not freeze_pairs(lake, _request(), turned)
    assert lake.digest() == before
    [suite] = frozen_suites(lake)
    assert (suite.name, suite.kind, suite.num_items) == ("mine", "pairs", 6)
    assert suite.digest == pairs_digest(pairs)
    assert (suite.origin, suite.licence) == ("tests", "MIT")
    assert sorted(pairs_of(lake, suite), key=lambda p: p.pair_id) == sorted(
        pairs, key=lambda p: p.pair_id
    )


def test_other_content_under_a_frozen_name_is_refused(lake: Lake, tmp_path: Path) -> None:
    pairs = read_pairs([_write(tmp_path / "a.jsonl", *map(_line, range(3)))])
    freeze_pairs(lake, _request(), pairs)
    before = lake.digest()
    text = tmp_path / "a.txt"
    text.write_text("A text.")
    others: list[Callable[[], bool]] = [
        lambda: freeze_pairs(lake, _request(), pairs[:2]),
        lambda: freeze_pairs(lake, _request(licence="CC-BY-4.0"), pairs),
        lambda: freeze_texts(lake, _request(), read_texts([text])),
    ]
    for freeze in others:
        with pytest.raises(SuiteError, match="never replaced: choose another name"):
            freeze()
    assert lake.digest() == before
    assert freeze_pairs(lake, _request("other"), pairs[:2])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "../x"}, "1 to 63 lower-case letters"),
        ({"name": "a b"}, "1 to 63 lower-case letters"),
        ({"name": "'; drop table runs"}, "1 to 63 lower-case letters"),
        ({"name": "x" * 64}, "1 to 63 lower-case letters"),
        ({"name": ""}, "1 to 63 lower-case letters"),
        ({"name": "confirmation"}, "expected another name than confirmation, samples, selection"),
        ({"origin": "two\nlines"}, "printable characters on one line"),
        ({"licence": "free, I think"}, "expected an SPDX expression"),
    ],
)
def test_hostile_names_are_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(WarehouseError, match=said):
        _request(**values)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "expected a JSON object in UTF-8, found: "),
        ("[1]", "expected a JSON object, found: list"),
        ('{"good": "x"}', "a sentence under 'sentence_good', found: the keys 'good'"),
        ('{"sentence_good": 3, "sentence_bad": "x"}', "under 'sentence_good', found: int"),
        ('{"sentence_good": "x", "sentence_bad": " "}', "printable text under 'sentence_bad'"),
        ('{"sentence_good": "x\\ny", "sentence_bad": "x"}', "one line of printable text"),
        ('{"sentence_good": "\\ud800", "sentence_bad": "x"}', "one line of printable text"),
        ('{"sentence_good": "x", "sentence_bad": "x"}', "two different sentences, found: the same"),
        ('{"sentence_good": "x", "sentence_bad": "y", "UID": "a\\u001b[2J"}', "under 'UID'"),
        ('{"sentence_good": "x", "sentence_bad": "y", "phenomenon": 7}', "under 'phenomenon'"),
        (f'{{"sentence_good": "{"x" * 5000}", "sentence_bad": "y"}}', "at most 4096 bytes"),
        (f'{{"sentence_good": "{"x" * 70000}"}}', "at most 65536 bytes"),
        ("[" * 60000, "expected a JSON object in UTF-8"),
    ],
)
def test_a_bad_line_is_one_clear_error_with_its_place(line: str, said: str, tmp_path: Path) -> None:
    file = _write(tmp_path / "pairs.jsonl", _line(1))
    file.write_text(f"{file.read_text()}\n{line}\n")
    with pytest.raises(SuiteError) as refusal:
        read_pairs([file])
    told = str(refusal.value)
    assert told.startswith(f"{file}, line 3: ")
    assert said in told
    assert told.endswith("; mend that line")
    assert len(told.splitlines()) == 1


def test_a_set_has_one_phenomenon(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.jsonl", _line(1, phenomenon="x"), _line(2, phenomenon="y"))
    with pytest.raises(SuiteError, match="line 2: expected 'x', as the phenomenon of a was before"):
        read_pairs([file])


def test_paths_without_pairs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, said in (
        (tmp_path / "nowhere", "expected a file or a folder"),
        (tmp_path / "empty", r"expected \.jsonl or \.ndjson files, found none"),
        (_write(tmp_path / "none.jsonl"), "expected at least one pair, found none"),
    ):
        with pytest.raises(SuiteError, match=said):
            read_pairs([path])


def test_a_pair_that_stands_there_twice_counts_twice(tmp_path: Path) -> None:
    pairs = read_pairs([_write(tmp_path / "a.jsonl", _line(1), _line(1), _line(2))])
    assert len({pair.pair_id for pair in pairs}) == 3


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.integers(1, 8),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_a_larger_subset_keeps_the_pairs_of_a_smaller_one(
    sets: list[int], first: int, more: int, chance: Any
) -> None:
    pairs = [Pair(f"{i:04x}", f"s{s}", "p", i, "g", "b") for i, s in enumerate(sets)]
    turned = chance.sample(pairs, len(pairs))
    small, large = first_pairs(pairs, first), first_pairs(turned, first + more)
    assert set(small) <= set(large)
    assert small == first_pairs(turned, first)
    for name in {pair.set_name for pair in pairs}:
        num = sum(pair.set_name == name for pair in pairs)
        assert sum(pair.set_name == name for pair in small) == min(num, first)
    assert first_pairs(pairs, None) == pairs


def test_texts_are_frozen_once_each(lake: Lake, tmp_path: Path) -> None:
    _write(tmp_path / "a.jsonl", {"text": " One. "}, {"text": "Two."}, {"text": "One."})
    (tmp_path / "b.txt").write_text("Three.\n")
    texts = read_texts([tmp_path / "a.jsonl", tmp_path / "b.txt"])
    assert [(text.text, text.place, text.num_bytes) for text in texts] == [
        ("One.", 1, 4),
        ("Two.", 2, 4),
        ("Three.", 3, 6),
    ]
    assert freeze_texts(lake, _request(), texts)
    assert not freeze_texts(lake, _request(), texts)
    suite = find_suite(lake, "mine")
    assert suite is not None
    assert (suite.kind, suite.num_items) == ("text", 3)
    assert texts_of(lake, suite) == texts


def test_a_text_that_cannot_be_scored_is_said_with_its_place(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.jsonl", {"text": "One."}, {"text": "  "})
    with pytest.raises(SuiteError, match=r"a\.jsonl, line 2: expected a text .* found: empty"):
        read_texts([file])
    with pytest.raises(ExchangeError, match="expected a file, a folder"):
        read_texts([tmp_path / "nowhere.jsonl"])
