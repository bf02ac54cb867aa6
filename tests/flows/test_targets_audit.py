"""`stillhouse targets audit`: a night's targets pass, others beside them do not."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from distill.targets import CapturedDocument, from_table, to_table
from tests.flows.command import in_process, stillhouse
from tests.flows.smoke import MAX_WORDS, Night
from warehouse.lake import Lake
from warehouse.schemas import TARGETS

AUDIT = ("targets", "audit", "--json")


def rows_of(answer: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.splitlines() if line.startswith("{")]


def bad_checks(answer: str) -> list[str]:
    return [row["check"] for row in rows_of(answer) if row["verdict"] == "bad"]


@pytest.fixture
def lake_copy(smoke_night: Night, tmp_path: Path) -> Path:
    return Path(shutil.copytree(smoke_night.data, tmp_path / "lake"))


def plant(data: Path, change: Callable[[CapturedDocument], dict[str, Any]]) -> None:
    """Another capture of the night's texts beside the first, changed."""
    with Lake.open(data) as lake:
        rows = lake.read(TARGETS.name)
        [run_id] = set(rows.column("run_id").to_pylist())
        [teacher] = set(rows.column("teacher_digest").to_pylist())
        facts = lake.facts(TARGETS.name, run_id)
        vocab_size = facts["vocab_size"]
        assert isinstance(vocab_size, int)
        documents = from_table(rows, num_draws=50, vocab_size=vocab_size)
        changed = [
            CapturedDocument(
                **{name: getattr(document, name) for name in CapturedDocument.__slots__}
                | change(document)
            )
            for document in documents
        ]
        table: pa.Table = to_table(changed, run_id="planted", teacher_digest=teacher)
        lake.commit_shard("planted", 0, {TARGETS.name: table}, facts=facts)


def one_position_late(document: CapturedDocument) -> dict[str, Any]:
    last = int(document.n_targets[-1])
    return {
        "n_targets": np.roll(document.n_targets, 1),
        "target_ids": np.roll(document.target_ids, last),
        "target_counts": np.roll(document.target_counts, last),
    }


def test_a_nights_targets_pass_and_the_same_documents_are_taken_again(smoke_night: Night) -> None:
    arguments = (*AUDIT, "--teacher", str(smoke_night.teacher), "--data", str(smoke_night.data))
    done = in_process(*arguments)
    assert done.exit_code == 0, done.output
    found = rows_of(done.stdout)
    assert len(found) == 7
    assert bad_checks(done.stdout) == []
    assert found == rows_of(in_process(*arguments).stdout)
    table = in_process(*(part for part in arguments if part != "--json"), "--documents", "2")
    assert table.exit_code == 0, table.output
    assert "7 rows" in table.stdout


def test_draws_of_the_wrong_place_are_a_defect(lake_copy: Path, smoke_night: Night) -> None:
    plant(lake_copy, one_position_late)
    done = in_process(*AUDIT, "--teacher", str(smoke_night.teacher), "--data", str(lake_copy))
    assert done.exit_code == 1
    bad = bad_checks(done.stdout)
    assert len(bad) == 2
    assert bad[0].startswith("draws, all together")


def test_rows_of_bad_form_or_another_text_are_a_defect(lake_copy: Path, smoke_night: Night) -> None:
    def without_a_draw(document: CapturedDocument) -> dict[str, Any]:
        counts = document.target_counts.copy()
        counts[0] += 1
        return {"target_counts": counts}

    plant(lake_copy, without_a_draw)
    done = in_process(*AUDIT, "--teacher", str(smoke_night.teacher), "--data", str(lake_copy))
    assert done.exit_code == 1
    assert bad_checks(done.stdout) == ["form of every row"]
    assert "counts that sum to R = 50" in done.stdout


def test_targets_of_another_text_or_context_are_a_defect(
    lake_copy: Path, smoke_night: Night
) -> None:
    plant(lake_copy, lambda document: {"num_context_tokens": 9, "doc_id": f"x{document.doc_id}"})
    many = ("--documents", "1000", "--teacher", str(smoke_night.teacher))
    done = in_process(*AUDIT, *many, "--data", str(lake_copy))
    assert done.exit_code == 1
    [check] = bad_checks(done.stdout)
    assert check.startswith("text of ")
    assert "expected a context of 1 tokens" in done.stdout


def test_what_cannot_be_audited_is_said_in_a_line(
    smoke_night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STILLHOUSE_CACHE", str(tmp_path / "cache"))
    done = in_process(*AUDIT, "--data", str(smoke_night.data))
    assert done.exit_code == 2
    assert "pulled here: none of them; say which with --teacher" in done.stderr
    with Lake.open(tmp_path / "empty", create=True):
        pass
    done = in_process(*AUDIT, "--data", str(tmp_path / "empty"))
    assert done.exit_code == 2
    assert "expected targets to audit, found none" in done.stderr
    other = shutil.copytree(smoke_night.teacher, tmp_path / "other")
    config = json.loads((other / "generation_config.json").read_text())
    (other / "generation_config.json").write_text(json.dumps({**config, "max_length": 99}))
    done = in_process(*AUDIT, "--teacher", str(other), "--data", str(smoke_night.data))
    assert done.exit_code == 2
    assert "expected a teacher that the targets of" in done.stderr


def test_a_night_of_top_k_targets_trains_and_passes_its_audit(
    tiny_teacher_folder: Path, served: Mapping[str, str], tmp_path: Path
) -> None:
    shipped = Path("flows/recipes/smoke.toml").read_text(encoding="utf-8")
    recipe = tmp_path / "top-k.toml"
    lines = [line for line in shipped.splitlines() if not line.startswith("vocab_size")]
    recipe.write_text("\n".join(lines).replace("[token_space]", '[token_space]\nkind = "teacher"'))
    settings = [
        f"teacher.model={tiny_teacher_folder}",
        f"verdicts.max_words={MAX_WORDS}",
        "capture.mode=top_k",
        "capture.k=16",
    ]
    options = [part for setting in settings for part in ("--set", setting)]
    data = str(tmp_path / "lake")
    stages = ("--only", "generate,capture,train")
    night = stillhouse(["run", str(recipe), *options, *stages, "--data", data], served)
    assert night.code == 0, night.errors
    with Lake.open(Path(data)) as lake:
        rows = lake.read(TARGETS.name)
        [run_id] = set(rows.column("run_id").to_pylist())
        facts = lake.facts(TARGETS.name, run_id)
        assert (facts["mode"], facts["k"], facts["num_draws"]) == ("top_k", 16, 0)
        assert set(lake.read("checkpoints").column("role").to_pylist()) == {"challenger", "control"}
    done = in_process(*AUDIT, "--teacher", str(tiny_teacher_folder), "--data", data)
    assert done.exit_code == 0, done.output
    assert len(rows_of(done.stdout)) == 8
    trimmed = in_process("run", "smoke", *options, "--data", data)
    assert trimmed.exit_code == 2
    assert 'expected token_space.kind = "teacher", found "trimmed"' in trimmed.stderr
