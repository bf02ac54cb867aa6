"""prefect.yaml and what it asks of the package."""

import os
from pathlib import Path

import pytest
import yaml
from prefect.flows import Flow, load_flow_from_entrypoint

from flows.deployments import enter_data_folder, recipe_parameters
from flows.errors import FlowsError
from flows.recipes import Recipe, load_recipe, recipe_names
from tests.flows.command import ROOT
from tests.flows.house_machine import OUR_FILE

CONTENT = yaml.safe_load(OUR_FILE.read_text("utf-8"))


def test_a_clone_has_the_packages_file_at_its_root() -> None:
    assert (ROOT / "prefect.yaml").resolve() == OUR_FILE


@pytest.mark.parametrize(
    "deployment", CONTENT["deployments"], ids=lambda each: f"{each['entrypoint']}/{each['name']}"
)
def test_each_deployment_names_a_flow_and_says_what_it_is(deployment: dict[str, object]) -> None:
    flow: Flow[..., object] = load_flow_from_entrypoint(str(deployment["entrypoint"]))
    assert str(deployment["entrypoint"]).endswith(f":{flow.name}")
    assert str(deployment["description"]).endswith(".")
    assert "stillhouse" in str(deployment["tags"])
    assert deployment["enforce_parameter_schema"] is True


def test_nights_of_a_deployment_never_overlap() -> None:
    nightly = [each for each in CONTENT["deployments"] if "nightly" in each["tags"]]
    assert {each["name"] for each in nightly} == {"quickstart", "production"}
    for each in nightly:
        assert each["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_production_is_scheduled_and_off() -> None:
    (production,) = [each for each in CONTENT["deployments"] if each["name"] == "production"]
    (schedule,) = production["schedules"]
    assert schedule["cron"] == "0 2 * * *"
    assert schedule["active"] is False


def test_every_recipe_but_the_test_one_is_offered() -> None:
    (step,) = CONTENT["build"]
    asked = step["flows.deployments.recipe_parameters"]["recipes"]
    assert sorted(asked) == sorted(set(recipe_names()) - {"smoke"})


def test_parameters_are_the_whole_recipe_by_its_name(tmp_path: Path) -> None:
    own = tmp_path / "file.toml"
    text = (ROOT / "flows/recipes/smoke.toml").read_text("utf-8")
    own.write_text(text.replace('name = "smoke"', 'name = "ours"'))
    found = recipe_parameters(["quickstart", str(own)])
    assert sorted(found) == ["ours", "quickstart"]
    assert Recipe.model_validate(found["quickstart"]) == load_recipe("quickstart")


def test_two_recipes_of_one_name_are_refused() -> None:
    with pytest.raises(FlowsError, match="found quickstart twice"):
        recipe_parameters(["quickstart", "quickstart"])


def test_a_run_stands_in_the_lakes_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STILLHOUSE_DATA", str(tmp_path / "new" / "lake"))
    assert enter_data_folder() == {"directory": str(tmp_path / "new" / "lake")}
    assert os.getcwd() == str(tmp_path / "new" / "lake")


@pytest.mark.parametrize("named", ["", "lake"])
def test_a_worker_without_a_lasting_folder_is_refused(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STILLHOUSE_DATA", named)
    with pytest.raises(FlowsError, match=r"STILLHOUSE_DATA, the absolute path .* start the worker"):
        enter_data_folder()
