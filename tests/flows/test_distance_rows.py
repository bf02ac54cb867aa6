"""What a finished night's lake says of its students beside their teacher."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.recipes import identity_of, load_recipe
from tests.flows.command import stillhouse
from tests.flows.smoke import Night, night_arguments
from warehouse.lake import Lake

ROLES = ["challenger", "control"]  # the smoke night's students
SUMS = ("forward_kl", "reverse_kl", "accepted", "kept_mass")


def _rows(data: Path, query: str) -> list[dict[str, Any]]:
    with Lake.open(data) as lake:
        rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


def test_every_held_out_document_has_its_bands_for_every_student(smoke_night: Night) -> None:
    rows = _rows(smoke_night.data, "select * from distances order by subject_id, doc_id, band")
    scored = _rows(
        smoke_night.data,
        "select subject_id, doc_id, num_tokens from scores where subject = 'student' "
        "order by subject_id, doc_id",
    )
    assert [(row["subject_id"], row["doc_id"], row["band"]) for row in rows] == [
        (score["subject_id"], score["doc_id"], band) for score in scored for band in (1, 2, 3, 4)
    ]
    assert {row["context"] for row in rows} == {"start"}  # the tiny teacher continues a text
    whole = {(row["subject_id"], row["doc_id"]): row["num_tokens"] for row in scored}
    for key, num_tokens in whole.items():
        mine = [row for row in rows if (row["subject_id"], row["doc_id"]) == key]
        assert sum(row["num_positions"] for row in mine) in (0, num_tokens)
    for row in rows:
        assert sum(row["bin_num_tokens"]) == row["num_positions"]
        assert 0 <= row["accepted"] <= row["kept_mass"] + 1e-9
        assert row["kept_mass"] <= row["num_positions"] + 1e-9
        assert all(row[name] >= 0 for name in SUMS)


def test_compared_positions_are_those_of_the_agreement(smoke_night: Night) -> None:
    """Agreement comes from the scores, distances from a pass of their own: of the same places."""
    compared = _rows(
        smoke_night.data,
        "select subject_id, sum(num_positions) as n from distances group by all order by all",
    )
    agreed = _rows(
        smoke_night.data,
        "select distinct subject_id, n from evaluations where metric = 'top1_agreement' "
        "order by subject_id",
    )
    assert compared == agreed


def test_figures_follow_from_the_sums_by_sql(smoke_night: Night) -> None:
    [*sums] = _rows(
        smoke_night.data,
        "select subject_id, sum(forward_kl) / sum(num_positions) as forward_kl, "
        "sum(reverse_kl) / sum(num_positions) as reverse_kl, "
        "sum(accepted) / sum(num_positions) as accepted_share, "
        "sum(kept_mass) / sum(num_positions) as kept_mass from distances group by all",
    )
    found = _rows(smoke_night.data, "select * from evaluations where suite = 'confirmation'")
    figures = {(row["subject_id"], row["metric"]): row for row in found}
    assert len(sums) == len(ROLES)
    for row in sums:
        for metric in ("forward_kl", "reverse_kl", "accepted_share", "kept_mass"):
            figure = figures[row["subject_id"], metric]
            assert figure["value"] == pytest.approx(row[metric], rel=1e-9)
            assert figure["low"] <= figure["value"] <= figure["high"]
            assert figure["role"] in ROLES


def test_the_error_of_a_band_follows_from_its_bins_by_sql(smoke_night: Night) -> None:
    from_bins = _rows(
        smoke_night.data,
        "select role, 'ece_band_' || band as metric, "
        "sum(abs(num_right - num_tokens * coalesce(mean_confidence, 0))) / sum(num_tokens) "
        "as value from band_reliability group by all having sum(num_tokens) > 0",
    )
    found = _rows(
        smoke_night.data, "select * from evaluations where starts_with(metric, 'ece_band_')"
    )
    assert len(found) == len(from_bins) >= 2 * len(ROLES)
    figures = {(row["role"], row["metric"]): row["value"] for row in found}
    for row in from_bins:
        assert figures[row["role"], row["metric"]] == pytest.approx(row["value"], rel=1e-9)


def test_bands_are_beside_each_other_and_hold_every_position(smoke_night: Night) -> None:
    bounds = _rows(
        smoke_night.data,
        "select distinct band, min_entropy, max_entropy from band_reliability order by band",
    )
    assert [row["band"] for row in bounds] == [1, 2, 3, 4]
    assert bounds[0]["min_entropy"] == 0
    assert bounds[-1]["max_entropy"] is None
    assert [row["max_entropy"] for row in bounds[:-1]] == [row["min_entropy"] for row in bounds[1:]]
    binned = _rows(
        smoke_night.data,
        "select subject_id, sum(num_tokens) as n from band_reliability group by all order by all",
    )
    compared = _rows(
        smoke_night.data,
        "select subject_id, sum(num_positions) as n from distances group by all order by all",
    )
    assert binned == compared


def test_a_later_night_compares_champion_and_new_students_on_the_same_few_documents(
    smoke_night: Night, served: Mapping[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "lake"
    shutil.copytree(smoke_night.data, data, symlinks=True)
    few = ["--set", "evaluate.num_distance_documents=3", "--set", "night.num_prompts=40"]
    arguments = night_arguments(data, smoke_night.teacher, "--night", "2", *few)
    outcome = stillhouse(arguments, served)
    assert outcome.code == 0, outcome.errors
    found = _rows(data, "select * from evaluations where night = '2' and metric = 'forward_kl'")
    assert sorted((row["role"], row["suite"]) for row in found) == sorted(
        (role, suite) for role in (*ROLES, "champion") for suite in ("selection", "confirmation")
    )
    for suite in ("selection", "confirmation"):
        assert len({row["suite_digest"] for row in found if row["suite"] == suite}) == 1
    assert all(row["n"] <= 3 for row in found)


def test_the_usual_number_of_documents_is_no_part_of_what_was_asked() -> None:
    """So a night that was claimed before there was one goes on; another number is another night."""
    key = "num_distance_documents"
    assert key not in identity_of(load_recipe("smoke"))["evaluate"]
    assert identity_of(load_recipe("smoke", [f"evaluate.{key}=0"]))["evaluate"][key] == 0
