"""What a night claims and sees: its own block, the finished nights before it, a line that holds."""

from pathlib import Path

import pytest

from flows.errors import FlowsError
from flows.night import Tonight, open_night, shard_key
from flows.recipes import load_recipe
from warehouse.schemas import VERDICTS


def _finish_stories(tonight: Tonight) -> None:
    rows = VERDICTS.schema.empty_table()
    assert tonight.lake.commit_shard(tonight.unit.pass_id, 0, {VERDICTS.name: rows})


def _settings(teacher: Path, *more: str) -> list[str]:
    return [f"teacher.model={teacher}", *more]


def test_a_night_sees_the_nights_that_were_finished_when_it_began(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    recipe = load_recipe("smoke", _settings(tiny_teacher_folder))
    with open_night(recipe, "1", tmp_path, print) as first:
        with open_night(recipe, "2", tmp_path, print) as second:
            _finish_stories(second)
        _finish_stories(first)
    with open_night(recipe, "3", tmp_path, print) as third:
        assert third.units[:-1] == (first.unit, second.unit)
        assert third.indices == range(80, 120)
    with open_night(recipe, "2", tmp_path, print) as again:
        assert again.units == (second.unit,)
        assert again.claim == second.claim
        assert shard_key(again.unit.run_id, 3).endswith("/00003")


def test_a_line_keeps_its_split(tiny_teacher_folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe("smoke", _settings(tiny_teacher_folder))
    with open_night(recipe, "1", tmp_path, print):
        pass
    other = load_recipe("smoke", _settings(tiny_teacher_folder, "night.held_out_share=0.3"))
    with (
        pytest.raises(FlowsError, match=r"held_out_share 0\.2, as on night 1, found 0\.3"),
        open_night(other, "2", tmp_path, print),
    ):
        pass


@pytest.mark.parametrize("label", ["", "../x", "a b", "x" * 64, "2\n", "\udcff"])
def test_odd_labels_are_refused_before_anything_is_made(
    label: str, tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    recipe = load_recipe("smoke", _settings(tiny_teacher_folder))
    with (
        pytest.raises(FlowsError, match="expected 1 to 63 letters"),
        open_night(recipe, label, tmp_path / "lake", print),
    ):
        pass
    assert not (tmp_path / "lake").exists()
