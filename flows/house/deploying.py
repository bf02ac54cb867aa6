"""`prefect deploy --all`, with the folder's own prefect.yaml or the packaged one."""

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

from flows.commands.common import say
from flows.errors import FlowsError
from flows.house.server import QUIET
from flows.house.state import House
from flows.house.versions import versions_hint

_PATIENCE_S = 600.0
# Another project's file would deploy another project.
_NIGHTLY = "flows.nightly:nightly"


def prefect_file() -> Path:
    """The current folder's prefect.yaml, if there is one and it deploys nights, else the packaged
    one.
    """
    own = Path("prefect.yaml").absolute()
    if own.is_file() and _NIGHTLY in own.read_text(encoding="utf-8"):
        return own
    return Path(str(resources.files("flows") / "prefect.yaml"))


def deploy(house: House, url: str) -> None:
    """All deployments of the file are on the server, as the file says now.

    Raises FlowsError with the end of Prefect's own message.
    """
    file = prefect_file()
    log = house.log("deploy")
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [*command, "--prefect-file", str(file)],
            env={**os.environ, **QUIET, "PREFECT_API_URL": url, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE_S,
            check=False,
        )
    text = log.read_text(encoding="utf-8")
    if done.returncode != 0:
        raise FlowsError(
            f"{file}: expected `prefect deploy --all` to take it, found: {_reason(text)}; "
            f"{versions_hint()}; the whole of it is in {log}"
        )
    say(f"deployed  {text.count('successfully created')} deployments from {file}")


def _reason(text: str) -> str:
    """The last line that says what went wrong, without Prefect's closing words."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line != "An exception occurred."]
    return told[-1] if told else "nothing said"
