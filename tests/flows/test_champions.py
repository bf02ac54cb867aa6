"""Champions by hand: who it is, what happened, promotion and rollback, and what they refuse."""

import dataclasses
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.champion_history import champion_history
from flows.champions import link_champion, promote_by_hand, roll_back, standing
from flows.errors import FlowsError
from flows.promote_student import commit_decision
from tests.flows.champion_lake import (
    FIRST,
    LINE,
    SECOND,
    THIRD,
    add_student,
    claim_night,
    decision,
    make_lake,
)
from tests.flows.command import in_process
from tests.flows.smoke import files_of
from warehouse.errors import ChampionChangedError
from warehouse.identity import digest
from warehouse.lake import Lake
from warehouse.nights import ChampionChange
from warehouse.schemas import TABLES


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("champions") / "lake"
    make_lake(root)
    return root


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "lake", symlinks=True))


def _champions(data: Path) -> tuple[str | None, str]:
    """The champion as the manifest has it, and as the link shows it."""
    with Lake.open(data) as lake:
        return lake.manifest.champion(LINE), (data / "champion" / LINE).resolve(strict=True).name


def _rows(data: Path) -> list[dict[str, Any]]:
    with Lake.open(data) as lake:
        rows: list[dict[str, Any]] = champion_history(lake, LINE).to_pylist()
    return rows


def _run(data: Path, *arguments: str) -> tuple[int, str, str]:
    done = in_process("champion", *arguments, "--data", str(data))
    return done.exit_code, done.stdout, done.stderr


def test_show_says_who_since_when_and_how_to_go_back(data: Path) -> None:
    code, out, _ = _run(data, "show", LINE)
    assert code == 0
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert told["champion"] == SECOND
    assert told["since"] == "night 2"
    assert f"before it         {FIRST}" in out
    assert f"stillhouse champion rollback {LINE} --expected {SECOND}" in out
    assert "link" not in told


def test_history_tells_every_decision_and_every_change_by_hand(data: Path) -> None:
    assert _run(data, "rollback", LINE, "--reason", "it babbles")[0] == 0
    assert _run(data, "promote", LINE, THIRD, "--force", "--reason", "a try")[0] == 0
    rows = _rows(data)
    told = [(row["night"], row["reason"], row["promoted"], row["student"]) for row in rows]
    assert told == [
        ("1", "first_student", True, FIRST),
        ("2", "better", True, SECOND),
        ("3", "not_better", False, THIRD),
        ("rolled_back/3", "rolled_back", True, FIRST),
        ("forced/4", "forced", True, THIRD),
    ]
    assert [row["champion_before"] for row in rows] == [None, FIRST, SECOND, SECOND, FIRST]
    assert rows[3]["explanation"].endswith(": it babbles")
    assert all(row["at"].endswith(" UTC") for row in rows)
    code, out, _ = _run(data, "history", LINE, "--json")
    assert (code, len(out.splitlines())) == (0, 5)
    with Lake.open(data) as lake:
        notes = lake.query("select note from promotions where note is not null order by 1")
        assert notes.column("note").to_pylist() == ["a try", "it babbles"]
        assert lake.verify() == []


def test_a_rollback_that_fires_twice_goes_back_once(data: Path) -> None:
    for _ in range(3):
        assert _run(data, "rollback", LINE)[0] == 0
        assert _champions(data) == (FIRST, FIRST)
    assert _run(data, "rollback", LINE, "--expected", SECOND)[0] == 0
    assert _champions(data) == (FIRST, FIRST)
    assert len(_rows(data)) == 4


def test_a_rollback_goes_further_back_only_from_a_named_champion(data: Path) -> None:
    with Lake.open(data) as lake:
        promote_by_hand(lake, LINE, THIRD, is_forced=True, note="a try")
        assert roll_back(lake, LINE)
        assert not roll_back(lake, LINE)
        assert lake.manifest.champion(LINE) == SECOND
        assert roll_back(lake, LINE, expected=SECOND)
        assert lake.manifest.champion(LINE) == FIRST
        with pytest.raises(FlowsError, match=f"a champion before {FIRST}, found none"):
            roll_back(lake, LINE, expected=FIRST)
        assert standing(lake, LINE).num_changes == 5


def test_after_a_rollback_a_promotion_is_rolled_back_to_what_it_replaced(data: Path) -> None:
    with Lake.open(data) as lake:
        roll_back(lake, LINE)
        promote_by_hand(lake, LINE, THIRD, is_forced=True, note="a try")
        assert standing(lake, LINE).before == FIRST
        assert roll_back(lake, LINE)
        assert lake.manifest.champion(LINE) == FIRST


def test_a_student_that_the_rule_promoted_comes_back_without_force(data: Path) -> None:
    assert _run(data, "promote", LINE, FIRST)[0] == 0
    assert _champions(data) == (FIRST, FIRST)
    assert _rows(data)[-1]["reason"] == "put_back"
    code, _, errors = _run(data, "promote", LINE, FIRST)
    assert (code, len(_rows(data))) == (0, 4)
    assert "already; nothing was changed" in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["promote", LINE, THIRD], "night 3 kept: not_better; to put it there all the same: --f"),
        (["promote", LINE, THIRD, "--force"], "--force --reason TEXT"),
        (["promote", LINE, THIRD, "--force", "--reason", " "], "--force --reason TEXT"),
        (["promote", LINE, "nobody"], "expected a student that a night of it measured (as "),
        (["promote", LINE, FIRST, "--expected", THIRD], f"expected the champion {THIRD}, found"),
        (["rollback", LINE, "--expected", FIRST], f"the champion {FIRST}, found {SECOND}; look"),
        (["rollback", "other"], "line other: expected a line of this lake (line)"),
        (["show", "other"], "line other: expected a line of this lake (line)"),
        (["history", "other"], "line other: expected a line of this lake (line)"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    arguments: list[str], said: str, data: Path
) -> None:
    before = files_of(data)
    code, out, errors = _run(data, *arguments)
    assert (code, out) == (2, "")
    assert said in errors
    assert files_of(data) == before


@pytest.mark.parametrize("spoiled", ["weights", "folder"])
def test_a_student_that_is_not_whole_is_put_nowhere(spoiled: str, data: Path) -> None:
    folder = data / "models" / FIRST
    if spoiled == "folder":
        shutil.rmtree(folder)
    else:
        weights = bytearray((folder / "model.safetensors").read_bytes())
        weights[-3] ^= 1
        (folder / "model.safetensors").write_bytes(weights)
    for arguments in (["rollback", LINE], ["promote", LINE, FIRST]):
        code, _, errors = _run(data, *arguments)
        assert code == 2
        assert str(folder) in errors
    assert _champions(data) == (SECOND, SECOND)


def test_a_night_that_met_a_champion_who_was_rolled_back_is_not_promoted(data: Path) -> None:
    with Lake.open(data) as lake:
        claim = claim_night(lake, "4")
        roll_back(lake, LINE)
        commit_decision(lake, claim, "decide-4", decision(THIRD, SECOND, "better"))
        commit_decision(lake, claim, "decide-4", decision(THIRD, SECOND, "better"))
        assert lake.manifest.champion(LINE) == FIRST
    last = _rows(data)[-1]
    assert (last["night"], last["reason"], last["promoted"]) == ("4", "champion_changed", False)
    assert f"met {SECOND}, but the champion is now {FIRST}" in last["explanation"]


def test_a_night_that_fires_often_at_once_is_decided_once(data: Path) -> None:
    with Lake.open(data) as lake, ThreadPoolExecutor(6) as pool:
        claim = claim_night(lake, "4")
        found = decision(THIRD, SECOND, "better")
        for done in [
            pool.submit(commit_decision, lake, claim, "decide-4", found) for _ in range(8)
        ]:
            done.result()
        assert lake.manifest.champion(LINE) == THIRD
        assert standing(lake, LINE).num_changes == 3
        assert [row["night"] for row in champion_history(lake, LINE).to_pylist()].count("4") == 1
        assert lake.verify() == []


def test_of_many_changes_by_hand_from_one_state_one_is_made(data: Path) -> None:
    def change(lake: Lake, number: int) -> bool:
        try:
            return promote_by_hand(
                lake, LINE, THIRD, is_forced=True, note=f"{number}", expected=SECOND
            )
        except (ChampionChangedError, FlowsError):
            return False

    with Lake.open(data) as lake, ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda number: change(lake, number), range(6))) == 1
        assert standing(lake, LINE).num_changes == 3
    assert _champions(data) == (THIRD, THIRD)


def test_a_change_from_another_state_is_refused_though_the_champion_is_the_same(
    data: Path,
) -> None:
    with Lake.open(data) as lake:
        now = standing(lake, LINE)
        promote_by_hand(lake, LINE, FIRST, is_forced=False, note=None)
        promote_by_hand(lake, LINE, SECOND, is_forced=False, note=None)
        late = ChampionChange(LINE, "forced/3", SECOND, THIRD, now.num_changes)
        row: dict[str, object] = {"line": LINE, "night": "forced/3", "run_id": "late"}
        row |= {
            "challenger_id": THIRD,
            "promoted": True,
            "reason": "forced",
            "explanation": "",
            "num_selection": 0,
        }
        rows = pa.Table.from_pylist(
            [{**row, "num_confirmation": 0}], schema=TABLES["promotions"].schema
        )
        files = files_of(data / "lake")
        with pytest.raises(ChampionChangedError, match="decide again"):
            lake.commit_shard("late", 0, {"promotions": rows}, champion=late)
        assert lake.manifest.champion(LINE) == SECOND
        assert files_of(data / "lake") == files


def test_a_link_that_a_kill_left_behind_is_mended(data: Path) -> None:
    link = data / "champion" / LINE
    link.unlink()
    link.symlink_to(Path("../models") / FIRST)
    code, out, _ = _run(data, "show", LINE)
    assert code == 0
    assert f"champion/{LINE} names {FIRST}" in out
    with Lake.open(data) as lake:
        link_champion(lake, LINE)
    assert _champions(data) == (SECOND, SECOND)


def test_the_link_is_never_moved_to_a_folder_that_is_not_there(data: Path) -> None:
    link = data / "champion" / LINE
    link.unlink()
    link.symlink_to(Path("../models") / FIRST)
    (data / "models" / SECOND).rename(data / "away")
    with Lake.open(data) as lake, pytest.raises(FlowsError, match="expected its champion in"):
        link_champion(lake, LINE)
    assert link.resolve(strict=True).name == FIRST


def test_rows_of_promotions_that_an_older_program_wrote_are_read(tmp_path: Path) -> None:
    now = TABLES["promotions"]
    older = pa.schema([field for field in now.schema if field.name != "note"])
    with pytest.MonkeyPatch.context() as patch:
        table = dataclasses.replace(now, version=1, schema=older)
        patch.setitem(TABLES, "promotions", table)
        patch.setattr("flows.promote_student.PROMOTIONS", table)
        with Lake.open(tmp_path, create=True) as lake:
            add_student(lake, FIRST, 0)
            claim = claim_night(lake, "1")
            commit_decision(lake, claim, "decide", decision(FIRST, None, "first_student"))
    with Lake.open(tmp_path) as lake:
        assert lake.query("select note from promotions").to_pylist() == [{"note": None}]
        assert [row["student"] for row in champion_history(lake, LINE).to_pylist()] == [FIRST]
        add_student(lake, digest("new"), 1)
        assert promote_by_hand(lake, LINE, digest("new"), is_forced=True, note="a try")
        assert lake.query("select note from promotions order by 1").num_rows == 2
