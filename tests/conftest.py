"""What holds for every test: no hub, no home folder, no chance."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Two busy cores miss wall-clock deadlines by accident; a failure must be the same on every run.
settings.register_profile("stillhouse", deadline=None, derandomize=True, database=None)
settings.load_profile("stillhouse")


def pytest_configure() -> None:
    """Set what libraries read once, at their import, and what no test may inherit."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ.pop("STILLHOUSE_DATA", None)


@pytest.fixture(scope="session", autouse=True)
def _prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep Prefect's profile and database out of the user's home, here and in child processes."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def tiny_teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder of a small teacher, trained once for all tests (some ten
    CPU-seconds).
    """
    from tests.tiny_teacher import make_tiny_teacher

    folder = tmp_path_factory.mktemp("tiny_teacher")
    make_tiny_teacher(folder)
    return folder
