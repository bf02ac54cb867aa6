"""A night and its prompt family: by name or path, part of the claim, refused in one line."""

from pathlib import Path

import pytest

from datagen.errors import DatagenError, FamilyError, VocabularyError
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


@pytest.mark.parametrize(
    ("family", "words", "said"),
    [
        ("reply", "thank", r"reply, opening: .* vocabulary words, .* 'you', .* in 'Thank you for"),
        (
            "{note}",
            "a\nwarm\nbrief\nnote",
            r"'A warm-note.', which leaves it after 'A warm-' \(a sign",
        ),
        ("{note}", "a\nwarm\nbrief\nnote\n,", "vocabulary words: expected a sign that ends"),
    ],
)
def test_openings_outside_are_refused_before_a_constrained_night_is_claimed(
    family: str, words: str, said: str, tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    """The tiny teacher only continues."""
    (tmp_path / "words.txt").write_text(words)
    note = tmp_path / "note.toml"
    note.write_text(NOTE.replace("tone }} note", "tone }}-note"))
    settings = (tiny_teacher_folder, family.format(note=note))
    vocabulary = f"prompts.vocabulary={tmp_path / 'words.txt'}"
    with open_night(_recipe(*settings, vocabulary), "1", tmp_path / "free", print):
        pass
    kept = _recipe(*settings, vocabulary, "sampling.constrain=true")
    with pytest.raises(DatagenError, match=said), open_night(kept, "1", tmp_path / "lake", print):
        pass
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("vocabulary", ["age3", "age5"])
def test_the_openings_of_stories_stand_in_our_vocabularies(
    vocabulary: str, tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    settings = ("sampling.constrain=true", f"prompts.vocabulary={vocabulary}")
    recipe = _recipe(tiny_teacher_folder, "story", *settings)
    with open_night(recipe, "1", tmp_path / "lake", print) as tonight:
        assert tonight.vocabulary.name == vocabulary
