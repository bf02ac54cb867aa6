"""A night is claimed once for good, and a champion changes only from the one that the night met."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.warehouse.lake_rows import some_rows
from warehouse.errors import NightConflictError
from warehouse.lake import Lake
from warehouse.nights import NightRequest

_ASKED = NightRequest("quickstart", "1", 100, "cpu", '{"generate":{"seed":1},"train":{"steps":5}}')


def test_nights_of_a_line_get_ordinals_and_blocks_that_follow_each_other(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        claim = lake.manifest.claim_night
        first = claim(_ASKED)
        second = claim(replace(_ASKED, night="2", num_indices=30))
        other = claim(replace(_ASKED, line="other"))
        third = claim(replace(_ASKED, night="2026-01-01"))
        assert [night.ordinal for night in (first, second, third, other)] == [1, 2, 3, 1]
        assert [night.first_index for night in (first, second, third, other)] == [0, 100, 130, 0]
        assert lake.manifest.nights("quickstart") == [first, second, third]
        assert lake.manifest.nights() == [first, second, other, third]


def test_a_night_begins_where_a_budget_stopped_the_last_one(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        claim = lake.manifest.claim_night
        claim(_ASKED)
        second = claim(replace(_ASKED, night="2", num_unwritten=40))
        assert second.first_index == 60
        assert claim(replace(_ASKED, night="2", num_unwritten=0)) == second
        third = claim(replace(_ASKED, night="3"))
        assert third.first_index == 160


def test_a_claim_is_read_back_by_every_rerun(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        lake.commit_shard("run", 0, {"words": some_rows("words", "run")})
        first = lake.manifest.claim_night(_ASKED)
        assert (first.parent_snapshot, first.champion_id) == (1, None)
        lake.commit_shard("run", 1, {"words": some_rows("words", "run")})
        assert lake.manifest.swap_champion("quickstart", expected=None, new="a", night="1")
        snapshot = lake.manifest.snapshot()
        assert lake.manifest.claim_night(_ASKED) == first
        assert lake.manifest.snapshot() == snapshot
        second = lake.manifest.claim_night(replace(_ASKED, night="2"))
        assert (second.parent_snapshot, second.champion_id) == (snapshot, "a")
    with Lake.open(tmp_path) as lake:
        assert lake.manifest.claim_night(_ASKED) == first


def test_a_claim_for_something_else_names_each_difference(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        lake.manifest.claim_night(_ASKED)
        asked = '{"generate":{"seed":2},"train":{"lr":0.1}}'
        with pytest.raises(NightConflictError) as caught:
            lake.manifest.claim_night(replace(_ASKED, asked=asked, numerics="gpu"))
        for part in (
            "night 1 of quickstart",
            "generate.seed was 1, now 2",
            "train.steps was 5, now not set",
            "train.lr was not set, now 0.1",
            'numerics was "cpu", now "gpu"',
        ):
            assert part in str(caught.value)
        assert lake.manifest.snapshot() == 1


def test_one_night_is_claimed_once_by_many_threads(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake, ThreadPoolExecutor(6) as pool:
        nights = list(pool.map(lambda _: lake.manifest.claim_night(_ASKED), range(12)))
        assert len(set(nights)) == 1
        assert lake.manifest.snapshot() == 1


def test_a_champion_changes_only_from_the_expected_one(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        swap = lake.manifest.swap_champion
        assert lake.manifest.champion("line") is None
        assert not swap("line", expected="x", new="a", night="1")
        assert swap("line", expected=None, new="a", night="1")
        assert lake.manifest.champion("line") == "a"
        assert not swap("line", expected=None, new="b", night="2")
        assert swap("line", expected="a", new="b", night="2")
        assert lake.manifest.champion("line") == "b"
        assert lake.manifest.champion("other") is None


def test_a_night_repeats_its_swap_without_effect(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        swap = lake.manifest.swap_champion
        assert swap("line", expected=None, new="a", night="1")
        assert swap("line", expected="a", new="b", night="2")
        snapshot = lake.manifest.snapshot()
        assert swap("line", expected=None, new="a", night="1")
        assert not swap("line", expected=None, new="c", night="1")
        assert lake.manifest.champion("line") == "b"
        assert lake.manifest.snapshot() == snapshot


def test_of_many_swaps_from_one_champion_one_wins(tmp_path: Path) -> None:
    with Lake.open(tmp_path, create=True) as lake, ThreadPoolExecutor(6) as pool:
        results = list(
            pool.map(
                lambda i: lake.manifest.swap_champion(
                    "l", expected=None, new=f"s{i}", night=f"{i}"
                ),
                range(8),
            )
        )
        assert sum(results) == 1
        assert lake.manifest.champion("l") == f"s{results.index(True)}"
