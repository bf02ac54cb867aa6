"""What the tests of flows share: a finished smoke night, made once by the real command line, and a
Prefect server for tests that run many commands.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from flows.serverless import set_prefect_defaults, some_server
from tests.flows.smoke import Night, run_night


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a command that has no Prefect server and an empty cache of teachers."""
    return {"STILLHOUSE_CACHE": str(tmp_path_factory.mktemp("cache")), "PREFECT_API_URL": ""}


@pytest.fixture(scope="session")
def served(alone: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The same with a server, whose start would else be a third of each night's cost."""
    set_prefect_defaults()
    with some_server() as url:
        yield {**alone, "PREFECT_API_URL": url}


@pytest.fixture(scope="session")
def smoke_night(
    tiny_teacher_folder: Path,
    alone: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Night:
    """Night 1 of the smoke recipe; tests that go on from it take a copy of its lake."""
    return run_night(tmp_path_factory.mktemp("smoke") / "lake", tiny_teacher_folder, alone)
