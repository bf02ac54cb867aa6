"""What prefect.yaml asks of this package: recipes as the parameters of deployments, and a place for
a run to stand in.

A recipe's TOML file stays the one truth: `prefect deploy` reads it through recipe_parameters, so
Prefect's page shows a filled form, and its server refuses a wrong key when a run is submitted.
"""

import logging
import os
from pathlib import Path
from typing import Any

from flows.defaults import OUR_LOGGERS
from flows.errors import FlowsError
from flows.recipes import load_recipe


def recipe_parameters(recipes: list[str]) -> dict[str, dict[str, Any]]:
    """A build step: of each recipe (a shipped one's name, or the path of a .toml file) its whole
    content as JSON values, by the recipe's own name.

    Raises FlowsError for a recipe that cannot be read, or two of one name.
    """
    found: dict[str, dict[str, Any]] = {}
    for name_or_path in recipes:
        recipe = load_recipe(name_or_path)
        if recipe.name in found:
            raise FlowsError(
                f"prefect.yaml: expected recipes of different names, found {recipe.name} twice "
                f"(the second time in {name_or_path}); give one of them another name"
            )
        found[recipe.name] = recipe.model_dump(mode="json")
    return found


def enter_data_folder() -> dict[str, str]:
    """A pull step: the run stands in the folder of the lake, STILLHOUSE_DATA of its worker, and
    what our packages log goes to its page.

    A worker starts its runs in a temporary folder: a lake there would be lost with it. Raises
    FlowsError if the variable is missing or relative, or the folder cannot be made.
    """
    for name in OUR_LOGGERS:  # Prefect adds its handler, and leaves the level at WARNING
        logging.getLogger(name).setLevel(logging.INFO)
    named = os.environ.get("STILLHOUSE_DATA", "")
    folder = Path(named)
    if not named or not folder.is_absolute():
        raise FlowsError(
            "expected STILLHOUSE_DATA, the absolute path of the lake's folder, in the worker's "
            f"environment, found {named or 'nothing'}; start the worker again, as in "
            "`STILLHOUSE_DATA=/srv/stillhouse prefect worker start --pool stillhouse`"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
    except OSError as exc:
        raise FlowsError(
            f"STILLHOUSE_DATA {folder}: expected a folder to write the lake into, found: "
            f"{exc.strerror}; name another one in the worker's environment"
        ) from exc
    return {"directory": str(folder)}
