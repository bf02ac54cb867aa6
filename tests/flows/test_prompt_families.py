"""A night and its prompt family: by name or path, part of the claim, refused in one line."""

from pathlib import Path

import pytest

from datagen.errors import FamilyError, VocabularyError
from flows.night import open_night
from flows.recipes import Recipe, load_recipe
from warehouse.errors import NightConflictError

NOTE = """
name = "note"
version = 1
description = "Notes."
instruction = "Write a {{ tone }} note."
opening = "A {{ tone }} note."
[slots.tone]
kind = "choice"
values = ["warm", "brief"]
"""


def _recipe(teacher: Path, family: Path | str, *more: str) -> Recipe:
    return load_recipe("smoke", [f"teacher.model={teacher}", f"prompts.family={family}", *more])


def test_a_changed_family_is_another_night(tiny_teacher_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "note.toml"
    path.write_text(NOTE)
    recipe = _recipe(tiny_teacher_folder, path)
    with open_night(recipe, "1", tmp_path / "lake", print) as tonight:
        unit = tonight.unit
        assert tonight.plan[0].words == ()
        assert tonight.plan.family.name == "note"
    moved = tmp_path / "elsewhere.toml"
    moved.write_text(NOTE.replace("Notes.", "Other prose."))
    again = _recipe(tiny_teacher_folder, moved)
    with open_night(again, "1", tmp_path / "lake", print) as tonight:
        assert tonight.unit == unit
    path.write_text(NOTE.replace("warm", "kind"))
    with (
        pytest.raises(NightConflictError, match="family_digest"),
        open_night(recipe, "1", tmp_path / "lake", print),
    ):
        pass


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("stroy", r"expected the name of a prompt family \(message, reply, simple-story, story\)"),
        ("/no/such.toml", r"/no/such\.toml.*expected a readable prompt family"),
    ],
)
def test_a_family_that_is_nowhere_is_refused_before_anything_is_made(
    family: str, said: str, tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    with (
        pytest.raises(FamilyError, match=said),
        open_night(_recipe(tiny_teacher_folder, family), "1", tmp_path / "lake", print),
    ):
        pass
    assert not (tmp_path / "lake").exists()


def test_a_vocabulary_needs_only_what_its_family_asks_for(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words.tsv"
    words.write_text("lemma\tpart_of_speech\tforms\nlamp\tnoun\tlamp,lamps\n")
    vocabulary = f"prompts.vocabulary={words}"
    recipe = _recipe(tiny_teacher_folder, "reply", vocabulary)
    with open_night(recipe, "1", tmp_path / "lake", print) as tonight:
        assert tonight.plan[5].required == ()
    story = _recipe(tiny_teacher_folder, "story", vocabulary)
    with (
        pytest.raises(VocabularyError, match="found no verb and no adjective"),
        open_night(story, "1", tmp_path / "other", print),
    ):
        pass
