"""What an import is asked for: sources that stay as they are and have names, and options that are
plain.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from warehouse.errors import ExchangeError
from warehouse.exchange import ImportRequest, import_corpus, open_source
from warehouse.exchange_folder import place_folder
from warehouse.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with Lake.open(tmp_path / "lake", create=True) as opened:
        yield opened


def test_a_file_that_changes_while_it_is_read_is_refused(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "f.txt"
    file.write_text("One.")
    source = open_source(str(file), "auto", "text")
    file.write_text("One and more.")
    request = ImportRequest("mine", "tests", "MIT", 100, len)
    with pytest.raises(ExchangeError, match="it changed while it was read"):
        import_corpus(lake, source, request, lambda _: None)
    assert lake.manifest.snapshot() == 0


def test_a_dataset_folder_that_changes_while_it_is_read_is_refused(
    lake: Lake, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `datasets`")
    folder = tmp_path / "set"
    datasets.Dataset.from_dict({"text": ["One.", "Two."]}).save_to_disk(str(folder))
    source = open_source(str(folder), "hf", "text")
    state = folder / "state.json"
    state.write_text(state.read_text() + "\n")
    request = ImportRequest("mine", "tests", "MIT", 100, len)
    with pytest.raises(ExchangeError, match=r"state\.json: .* it changed while it was read"):
        import_corpus(lake, source, request, lambda _: None)
    assert lake.manifest.snapshot() == 0


def test_a_file_whose_name_is_no_utf8_comes_in(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"one\xff.txt")).write_text("One.")
    source = open_source(str(folder), "auto", "text")
    request = ImportRequest("mine", source.origin, "MIT", 100, len)
    import_corpus(lake, source, request, lambda _: None)
    [row] = lake.read("imports").to_pylist()
    assert (row["origin"], row["source_file"]) == (r"caf\xe9", r"one\xff.txt")


@pytest.mark.parametrize("name", ["data/mails.jsonl", "data/a.txt", "data/a.parquet"])
def test_a_mistyped_path_is_not_taken_for_a_hub_id(name: str) -> None:
    with pytest.raises(ExchangeError, match="expected a file, a folder, or a hub id"):
        open_source(name, "auto", "text")


def test_the_root_of_all_is_no_folder_to_write_to() -> None:
    with pytest.raises(ExchangeError, match="expected a folder with a name of its own"):
        place_folder(Path("/"), lambda _: None)


@pytest.mark.parametrize("origin", ["", "a\nb", "\x1b[2J", "caf\udce9", "o" * 1_001])
def test_an_origin_is_printable_and_bounded(origin: str) -> None:
    with pytest.raises(ExchangeError, match=r"--origin .*: expected 1 to 1000 printable") as error:
        ImportRequest("n", origin, "MIT", 1, len)
    assert str(error.value).isascii()
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["", "../up", "a/b", "A", "x'; DROP TABLE imports;--", "a\n"])
def test_a_name_from_outside_is_plain(name: str) -> None:
    with pytest.raises(ExchangeError, match=r"--name .*: expected 1 to 63 lower-case letters"):
        ImportRequest(name, "o", "MIT", 1, len)


@pytest.mark.parametrize("licence", ["", "public domain", "MIT; rm", "MIT OR", "M" * 201])
def test_a_licence_is_an_spdx_expression(licence: str) -> None:
    with pytest.raises(ExchangeError, match=r"--licence .*: expected an SPDX expression"):
        ImportRequest("n", "o", licence, 1, len)
