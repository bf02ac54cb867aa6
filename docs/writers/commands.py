"""docs/reference/commands.md: every command with its arguments and options, from the typer app."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from docs.writers.markdown import code, table
from flows.cli import app
from flows.commands.common import DEFECT_FOUND, IMPOSSIBLE, NOBODY_READS, STOPPED

_BEGINNING = """\
# Commands

`stillhouse --help` and `stillhouse COMMAND --help` say the same on the terminal. What a command
answers goes to standard output, what happens meanwhile to standard error.

"""
_EXIT_CODES = {
    0: "done",
    DEFECT_FOUND: "a defect was found, or something that should run does not",
    IMPOSSIBLE: "what was asked for cannot be; one line on standard error says what was expected, "
    "what was found, where, and what to do",
    STOPPED: "stopped by Ctrl-C; the same command goes on where it was",
    NOBODY_READS: "whoever read the output had enough of it, as in `stillhouse sql ... | head`",
}
_ENVIRONMENT = {
    "STILLHOUSE_DATA": "where the lake is, where `--data` does not say it (else "
    "`./stillhouse-data`)",
    "STILLHOUSE_CACHE": "where teachers are kept, shared by lakes (else `stillhouse` in the user's "
    "cache folder)",
    "PREFECT_API_URL": "the Prefect server that flows report to, where Prefect's profile does not "
    "name one; without any, each `run` starts its own for as long as it needs it",
    "PREFECT_HOME": "Prefect's folder (else `~/.prefect`): its profiles and, under `stillhouse`, "
    "the logs and the state of what `up` started",
    "STILLHOUSE_HOUSE": "set by `up` on the processes that it starts, so that `down` finds them",
    "STILLHOUSE_PART": "the same: which part of the house a process is",
    "COLUMNS": "how wide a table of `sql` may be where the terminal does not say it",
}


def commands_page() -> str:
    """The page's text."""
    return _BEGINNING + "\n".join([*_commands(), _variables(), _codes()])


def _commands() -> Iterator[str]:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for verb, inner in getattr(command, "commands", {"": command}).items():
            if not inner.hidden:
                yield _section(f"stillhouse {name} {verb}".strip(), inner)


def _section(name: str, command: Any) -> str:
    shown = [parameter for parameter in command.params if not parameter.hidden]
    rows = [(_usage(each), _about(each), _default(each), each.envvar or "") for each in shown]
    head = ["argument or option", "meaning", "default", "environment"]
    listed = table(
        head, ((what, about, default, code(name)) for what, about, default, name in rows)
    )
    about = " ".join((command.help or "").split())
    return f"## {name}\n\n{about}\n" + (f"\n{listed}" if rows else "")


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code((parameter.metavar or parameter.name).upper())
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag:
        return code(names)
    return code(f"{names} {parameter.metavar or parameter.name.upper()}")


def _about(parameter: Any) -> str:
    said = parameter.help or ""
    return f"{said} (repeatable)" if parameter.multiple and "repeatable" not in said else said


def _default(parameter: Any) -> str:
    if parameter.required:
        return "*required*"
    is_unset = parameter.default is None or parameter.default is False or parameter.multiple
    return "" if is_unset else code(parameter.default)


def _variables() -> str:
    rows = [(code(name), about) for name, about in _ENVIRONMENT.items()]
    return "## Environment variables\n\n" + table(["variable", "says"], rows)


def _codes() -> str:
    rows = [(str(number), about) for number, about in _EXIT_CODES.items()]
    return "## Exit codes\n\n" + table(["code", "means"], rows)
