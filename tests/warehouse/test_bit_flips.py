"""A single flipped bit anywhere in the lake is never read as other rows, and `verify` names
its file.

Each flip is either harmless (the same rows) or an error; pages, page headers, footers and the
manifest are told apart by the files' own structure, so that each kind is hit as often as the
others.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.warehouse.lake_rows import some_rows
from tests.warehouse.parquet_layout import Layout, layout_of
from warehouse.errors import FileDamagedError, ManifestDamagedError
from warehouse.lake import Lake
from warehouse.nights import NightRequest
from warehouse.verification import verify_lake

NUM_FLIPS = 50
_TABLES = ("promotions", "stories", "targets", "words")

_PLACES: dict[str, Callable[[Layout], list[int]]] = {
    "pages": lambda layout: [offset for page in layout.pages for offset in page],
    "page_headers": lambda layout: [offset for header in layout.page_headers for offset in header],
    "footers": lambda layout: list(layout.footer),
    "magic": lambda layout: list(layout.rest),
}


@dataclass(frozen=True, slots=True)
class Before:
    """What an undamaged lake answers."""

    root: Path
    read: dict[str, pa.Table]
    asked: dict[str, pa.Table]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Before:
    root = tmp_path_factory.mktemp("flips") / "lake"
    with Lake.open(root, create=True) as lake:
        lake.manifest.claim_night(NightRequest("line", "1", 10, "cpu", "{}"))
        for shard in range(3):
            rows = {name: some_rows(name, "run", num_rows=60, seed=shard) for name in _TABLES}
            lake.commit_shard("run", shard, rows)
        lake.manifest.swap_champion("line", expected=None, new="student", night="1")
        return Before(
            root,
            {name: lake.read(name) for name in _TABLES},
            {name: lake.query(f"SELECT * FROM {name}") for name in _TABLES},
        )


@contextmanager
def _flipped(path: Path, offset: int, bit: int) -> Iterator[None]:
    intact = path.read_bytes()
    damaged = bytearray(intact)
    damaged[offset] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        yield
    finally:
        path.write_bytes(intact)


def _is_refused(answer: Callable[[], object], expected: object, name: str) -> bool:
    """True for an error that names the file, False for the expected answer; anything else fails."""
    try:
        assert answer() == expected
    except (FileDamagedError, ManifestDamagedError) as exc:
        if name not in str(exc):
            raise
        return True
    return False


def _all_of(root: Path) -> object:
    with Lake.open(root) as lake:
        rows = [lake.read(name) for name in _TABLES]
        return rows, lake.query("FROM nights"), lake.manifest.champion("line"), lake.digest()


def test_the_layout_covers_every_byte(before: Before) -> None:
    for path in before.root.rglob("*.parquet"):
        layout = layout_of(path)
        assert layout.rest == (0, 1, 2, 3)
        assert len(layout.pages) >= pq.read_metadata(path).num_columns


@pytest.mark.parametrize("place", _PLACES)
def test_a_flip_in_a_parquet_file_is_harmless_or_an_error_and_is_named(
    place: str, before: Before
) -> None:
    chance = random.Random(f"flips {place}")
    files = sorted(before.root.rglob("*.parquet"))
    num_errors = 0
    with Lake.open(before.root) as lake:
        num_flips = len(_PLACES) if place == "magic" else NUM_FLIPS
        for _ in range(num_flips):
            path = chance.choice(files)
            table = path.parent.parent.name
            offset = chance.choice(_PLACES[place](layout_of(path)))
            with _flipped(path, offset, chance.randrange(8)):
                for answer, expected in (
                    (partial(lake.read, table), before.read[table]),
                    (partial(lake.query, f"SELECT * FROM {table}"), before.asked[table]),
                ):
                    num_errors += _is_refused(answer, expected, path.name)
                assert [defect.path for defect in lake.verify()] == [path], offset
        assert lake.verify() == []
    assert num_errors >= num_flips / 2


def test_a_flip_in_the_manifest_is_harmless_or_an_error_and_is_named(before: Before) -> None:
    chance = random.Random("flips manifest")
    path = before.root / "manifest.sqlite"
    expected = _all_of(before.root)
    num_errors = 0
    for _ in range(NUM_FLIPS):
        offset = chance.randrange(path.stat().st_size)
        with _flipped(path, offset, chance.randrange(8)):
            num_errors += _is_refused(partial(_all_of, before.root), expected, path.name)
            assert verify_lake(before.root)[0].path == path, offset
    assert verify_lake(before.root) == []
    assert 0 < num_errors < NUM_FLIPS


def test_damaged_files_are_still_named_when_the_manifest_is_damaged_too(before: Before) -> None:
    manifest = before.root / "manifest.sqlite"
    data = manifest.read_bytes()
    file = sorted(before.root.rglob("*.parquet"))[0]
    # The stored digest of a night: one row changes, the rows that name files stay sound.
    with _flipped(manifest, data.index(b"line1") + 1, 0), _flipped(file, 100, 0):
        with pytest.raises(ManifestDamagedError, match=r"manifest\.sqlite is damaged.*backup"):
            Lake.open(before.root)
        assert [defect.path for defect in verify_lake(before.root)] == [manifest, file]


def test_a_changed_seal_is_named_and_the_next_commit_mends_it(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        lake.commit_shard("run", 0, {"words": some_rows("words", "run")})
        seal = tmp_path / "manifest.seal"
        for offset in range(0, len(seal.read_bytes()), 6):
            with _flipped(seal, offset, 3):
                assert [defect.path for defect in lake.verify()] == [seal], offset
        earlier = seal.read_bytes()
        seal.write_bytes(b"")
        lake.commit_shard("run", 1, {"words": some_rows("words", "run", seed=1)})
        assert lake.verify() == []
        # As after a kill between a commit and its seal.
        seal.write_bytes(earlier)
        assert lake.verify() == []
        lake.commit_shard("run", 2, {"words": some_rows("words", "run", seed=2)})
        assert seal.read_bytes() != earlier
        assert lake.verify() == []
