"""A student of the lake is loaded only if it is what was trained: weights, ids and dimensions."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distill.errors import DistillError
from distill.students.save import load_student
from distill.tokens import make_space
from flows.errors import FlowsError
from flows.night import open_night
from flows.nightly import is_finished
from flows.recipes import load_recipe
from flows.students import load_checked_student, student_folder
from flows.verification import lake_defects
from tests.flows.report_lake import rows_of
from tests.flows.smoke import MAX_WORDS, Night
from warehouse.lake import Lake


@pytest.fixture
def lake(smoke_night: Night, tmp_path: Path) -> Lake:
    return Lake.open(Path(shutil.copytree(smoke_night.data, tmp_path / "lake", symlinks=True)))


def _edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _other_heads(folder: Path) -> None:
    _edit(folder / "config.json", num_attention_heads=2, num_key_value_heads=2, head_dim=64)


def _more_positions(folder: Path) -> None:
    _edit(folder / "config.json", max_position_embeddings=1024)


def _other_space(folder: Path) -> None:
    """Whole in itself, but of another teacher's tokenizer."""
    facts = json.loads((folder / "token_space.json").read_text())
    other = make_space(
        (folder / "tokenizer.json").read_text(),
        start_id=facts["start_id"],
        end_id=facts["end_id"],
        to_teacher=np.array(facts["to_teacher"], np.int32),
        from_teacher=np.array(facts["from_teacher"], np.int32),
        teacher_tokenizer_sha256="0" * 64,
    )
    changes = {"digest": other.digest, "teacher_tokenizer_sha256": "0" * 64}
    _edit(folder / "token_space.json", **changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_heads, "expected the dimensions of preset stlm-1m, found none"),
        (_more_positions, "expected the dimensions of preset stlm-1m, found none"),
        (_other_space, r"expected a token space of digest \w+, found \w+;"),
    ],
)
def test_a_folder_that_is_whole_but_another_student_is_refused(
    lake: Lake, change: Callable[[Path], None], said: str
) -> None:
    [student] = (row["student_id"] for row in rows_of(lake, "checkpoints", role="challenger"))
    load_checked_student(lake, student)
    change(student_folder(lake, student))
    load_student(student_folder(lake, student))
    with pytest.raises(FlowsError, match=said):
        load_checked_student(lake, student)
    [defect] = lake_defects(lake.root)
    assert defect.path == student_folder(lake, student)
    assert re.match(said, defect.what)


def test_a_student_whose_bytes_changed_or_that_is_gone_is_found(lake: Lake) -> None:
    kept, gone = sorted(row["student_id"] for row in rows_of(lake, "checkpoints"))
    weights = student_folder(lake, kept) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3] + b"\0\1\0")
    shutil.rmtree(student_folder(lake, gone))
    defects = {defect.path.name: defect.what for defect in lake_defects(lake.root)}
    assert defects[gone] == "expected its folder, found none; run night 1 of smoke again"
    assert re.match(r"expected weights of digest \w+, found \w+; remove the folder", defects[kept])


@pytest.mark.parametrize("role", ["challenger", "control"])
def test_a_night_whose_student_is_gone_is_not_finished(
    lake: Lake, smoke_night: Night, role: str
) -> None:
    [student] = (row["student_id"] for row in rows_of(lake, "checkpoints", role=role))
    settings = [f"teacher.model={smoke_night.teacher}", f"verdicts.max_words={MAX_WORDS}"]
    with open_night(load_recipe("smoke", settings), "1", lake.root, print) as tonight:
        assert is_finished(tonight)
        shutil.rmtree(student_folder(lake, student))
        assert not is_finished(tonight)


@pytest.mark.parametrize(
    "rubbish", ["[" * 200_000, "{}", '{"start_id": Infinity}', '{"to_teacher": [1000000000000]}']
)
def test_a_token_space_that_is_none_is_refused(lake: Lake, rubbish: str) -> None:
    [student] = (row["student_id"] for row in rows_of(lake, "checkpoints", role="challenger"))
    path = student_folder(lake, student) / "token_space.json"
    known = json.loads(path.read_text())
    try:
        path.write_text(json.dumps({**known, **json.loads(rubbish)}) if rubbish != "{}" else "{}")
    except RecursionError:
        path.write_text(rubbish)
    with pytest.raises(DistillError, match=r"expected token_space\.json and tokenizer\.json"):
        load_checked_student(lake, student)
