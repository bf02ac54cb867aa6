"""A recipe's imports: a night keeps to the runs that it began with, and uses the texts that fit its
students, without a prompt.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from flows.capture_targets import capture_run_id, context_ids
from flows.corpus import accepted_stories, held_out_stories, token_counts
from flows.errors import FlowsError
from flows.night import Tonight, open_night
from flows.recipes import Recipe, load_recipe
from flows.split_repeats import find_split_repeats
from flows.teachers import Teacher, TeacherTokenizer, find_teacher, load_tokenizer
from tests.flows.trained import training_stories
from tests.tiny_teacher import make_stories
from warehouse.errors import ExchangeError, NightConflictError
from warehouse.exchange import ImportRequest, import_corpus, open_source
from warehouse.lake import Lake

SHORT = make_stories(20, seed=5)
LONG = " ".join(make_stories(60, seed=6))


def _bring_in(data: Path, name: str, texts: Sequence[str]) -> str:
    file = data.parent / f"{name}.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    source = open_source(str(file), "auto", "text")
    request = ImportRequest(name, "tests", "MIT", 100_000, len)
    with Lake.open(data, create=True) as lake:
        return import_corpus(lake, source, request, lambda _: None).run_id


def _recipe(teacher: Path, *imports: str) -> Recipe:
    return load_recipe(
        "smoke", [f"teacher.model={teacher}", f"night.imports={json.dumps(imports)}"]
    )


def _asked(tonight: Tonight) -> Mapping[str, object]:
    asked: Mapping[str, object] = json.loads(tonight.claim.asked)
    return asked


def _said(_: str) -> None:
    """What a night says while it opens is not looked at here."""


def test_the_accepted_texts_that_fit_are_used_without_a_prompt(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "lake"
    special = json.loads((tiny_teacher_folder / "tokenizer.json").read_text())["added_tokens"]
    bad = [LONG, f"A cat sat. {special[0]['content']} It ran.", ""]
    run_id = _bring_in(data, "mine", [*SHORT, SHORT[0], *bad])
    with open_night(_recipe(tiny_teacher_folder, "mine"), "1", data, _said) as tonight:
        brought_in, own = tonight.units
        assert (brought_in.run_id, brought_in.is_import, own.is_import) == (run_id, True, False)
        texts = accepted_stories(tonight, brought_in)
        assert [text.text for text in texts] == SHORT
        assert {(text.prompt, text.words) for text in texts} == {("", ())}
        held_out = held_out_stories(tonight, brought_in)
        find_split_repeats.fn(tonight)
        trained = training_stories(tonight)
        assert 0 < len(held_out) < len(SHORT)
        assert len(trained) + len(held_out) == len(SHORT)
        assert not {t.doc_id for t in trained} & {t.doc_id for t in held_out}
        reads = load_tokenizer(tonight.teacher)
        assert context_ids(tonight, reads, texts[0].prompt) == [reads.start_id]
        assert capture_run_id(tonight, brought_in) != capture_run_id(tonight, own)


def test_tokens_are_counted_once_for_all_that_open_the_lake(
    tiny_teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "lake"
    run_id = _bring_in(data, "mine", SHORT)
    teacher = find_teacher(str(tiny_teacher_folder), _said)
    loads: list[Teacher] = []

    def load(teacher: Teacher) -> TeacherTokenizer:
        loads.append(teacher)
        return load_tokenizer(teacher)

    monkeypatch.setattr("flows.corpus.load_tokenizer", load)
    for _ in range(2):
        with Lake.open(data) as lake:
            assert len(token_counts(lake, run_id, teacher)) == len(SHORT)
    assert len(loads) == 1


def test_a_night_keeps_to_the_import_that_it_began_with(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "lake"
    first, second = (_bring_in(data, name, texts) for name, texts in (("a", SHORT), ("b", [LONG])))
    with open_night(_recipe(tiny_teacher_folder, "a"), "1", data, _said) as tonight:
        assert _asked(tonight)["imports"] == {"a": first}
    other = pytest.raises(NightConflictError, match=r"imports\.a was .*, now not set; imports\.b")
    with other, open_night(_recipe(tiny_teacher_folder, "b"), "1", data, _said):
        pass
    with open_night(_recipe(tiny_teacher_folder, "a", "b"), "2", data, _said) as tonight:
        assert [unit.run_id for unit in tonight.units[:2]] == [first, second]


def test_a_night_without_imports_is_asked_for_as_before(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    with open_night(_recipe(tiny_teacher_folder), "1", tmp_path / "lake", _said) as tonight:
        asked = _asked(tonight)
        assert "imports" not in asked
        assert "imports" not in asked["recipe"]["night"]  # type: ignore[index]
        [unit] = tonight.units
        with_imports = unit.pass_id
    data = tmp_path / "other"
    _bring_in(data, "mine", SHORT)
    with open_night(_recipe(tiny_teacher_folder, "mine"), "1", data, _said) as tonight:
        assert tonight.unit.pass_id == with_imports


def test_an_unknown_import_names_the_ones_there_are(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "lake"
    _bring_in(data, "mine", SHORT)
    wrong = pytest.raises(ExchangeError, match="import 'yours': expected one of mine; bring it in")
    with wrong, open_night(_recipe(tiny_teacher_folder, "yours"), "1", data, _said):
        pass


def test_the_key_is_a_list_of_names(tiny_teacher_folder: Path) -> None:
    with pytest.raises(FlowsError, match=r"night\.imports"):
        load_recipe("smoke", [f"teacher.model={tiny_teacher_folder}", "night.imports=3"])
