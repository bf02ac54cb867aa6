"""Several commands in one process, so that what they load, and Prefect's server, is paid for once.

Reads a JSON list of argument lists, writes a JSON list of how each ended and what it said.
"""

import json
import sys
import traceback

from typer.testing import CliRunner

from flows.cli import app


def run(arguments: list[str]) -> dict[str, object]:
    result = CliRunner().invoke(app, arguments)
    errors = result.stderr
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        errors += "".join(traceback.format_exception(result.exception))
    return {"code": result.exit_code, "out": result.stdout, "errors": errors}


if __name__ == "__main__":
    json.dump([run(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
