"""What the tests of flows share: a finished smoke night, made once by the real command line, and a
Prefect server for the nights after it.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.flows.command import ROOT
from tests.flows.smoke import Night, run_night

# A server of flows.serverless's own making: it ends with the process that is told to keep it.
_KEEP_SERVER = """
import sys
from flows.serverless import ensure_server, set_prefect_defaults
set_prefect_defaults()
ensure_server()
from prefect.server.api.server import SubprocessASGIServer
print(SubprocessASGIServer().api_url, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a command that has no server and an empty cache of teachers."""
    return {"STILLHOUSE_CACHE": str(tmp_path_factory.mktemp("cache")), "PREFECT_API_URL": ""}


@pytest.fixture(scope="session")
def served(alone: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The same with one server for all commands, whose start would else be a third of each night's
    cost.
    """
    command = [sys.executable, "-c", _KEEP_SERVER]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as keeper:
        assert keeper.stdout is not None
        yield {**alone, "PREFECT_API_URL": keeper.stdout.readline().strip()}
        keeper.communicate()


@pytest.fixture(scope="session")
def smoke_night(
    tiny_teacher_folder: Path,
    alone: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Night:
    """Night 1 of the smoke recipe, run without a server; tests that go on from it take a copy of
    its lake.
    """
    return run_night(tmp_path_factory.mktemp("smoke") / "lake", tiny_teacher_folder, alone)
