"""Which nights an export holds: finished ones that keep their limits, as the lake was then."""

import json
from pathlib import Path

from flows.corpora import chosen_corpora
from flows.night import BREAKS
from tests.flows.command import in_process
from tests.flows.corpus_lake import LINE, corpus_lake, write_night
from tests.warehouse.lake_rows import commit_row


def test_a_commit_that_changes_no_content_changes_no_export(tmp_path: Path) -> None:
    data, out = tmp_path / "lake", tmp_path / "out"
    with corpus_lake(data) as lake:
        _corpus("export", "--to", out, data=data)
        before = lake.digest()
        commit_row(lake, "a-run", "runs")
        assert lake.digest() == before
    assert "all of it was there already" in _corpus("export", "--to", out, data=data)


def test_a_night_beyond_its_limits_is_left_out(tmp_path: Path) -> None:
    data, out = tmp_path / "lake", tmp_path / "out"
    with corpus_lake(data) as lake:
        [third] = [claim for claim in lake.manifest.nights() if claim.night == "3"]
        write_night(lake, third, **{BREAKS: ["distinct_2"]})
    told = _corpus("export", "--to", out, "--format", "jsonl", "--rejected", data=data)
    reason = f"{LINE}, night 3: beyond its limits of distinct_2"
    assert f"left out: {reason}" in told
    assert f"- Left out: {reason}.\n" in (out / "README.md").read_text()
    rows = [
        json.loads(line) for file in out.glob("*.jsonl") for line in file.read_text().splitlines()
    ]
    assert {row["night"] for row in rows} == {"1", "2"}
    told = _corpus("export", "--to", tmp_path / "3", "--night", "3", data=data, code=2)
    assert f"found {reason}" in told


def test_a_night_that_ends_while_it_is_exported_is_not_in_the_export(tmp_path: Path) -> None:
    with corpus_lake(tmp_path / "lake") as lake:
        snapshot = lake.manifest.snapshot()
        [third] = [claim for claim in lake.manifest.nights() if claim.night == "3"]
        write_night(lake, third)
        before, now = (
            chosen_corpora(lake, LINE, None, seen) for seen in (snapshot, lake.manifest.snapshot())
        )
    assert [night.night for night in before.nights] == ["1", "2"]
    assert [night.night for night in now.nights] == ["1", "2", "3"]


def _corpus(*arguments: str | Path, data: Path, code: int = 0) -> str:
    """What the command says on both streams."""
    result = in_process("corpus", *(str(a) for a in arguments), "--data", str(data))
    assert result.exit_code == code, result.output
    return result.output
