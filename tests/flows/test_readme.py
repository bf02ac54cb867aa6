"""The README's commands do what it says, with the quickstart swapped for the smoke recipe."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.main import get_command

from flows.cli import app
from tests.flows.command import ROOT, stillhouse
from tests.flows.smoke import night_arguments

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


def _swapped(command: str, data: Path, teacher: Path) -> list[str]:
    """The command's arguments, on the smoke recipe's line and this test's lake."""
    program, *arguments = shlex.split(command)
    assert program == "stillhouse"
    if arguments[0] == "run":
        assert arguments[1] == "quickstart"
        return night_arguments(data, teacher, *arguments[2:])
    line = ["--line", "smoke"] if arguments[0] == "tell" else []
    return [*arguments, *line, "--data", str(data)]


@pytest.mark.readme
def test_readme_commands_run_in_their_order(
    tiny_teacher_folder: Path, served: Mapping[str, str], tmp_path: Path
) -> None:
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        outcome = stillhouse(_swapped(command, tmp_path / "lake", tiny_teacher_folder), served)
        assert outcome.code == 0, (command, outcome.errors)
        assert "".join(outcome.out).strip(), command


def test_every_command_stands_in_the_readme() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    verbs = {
        f"{name} {verb}" if hasattr(command, "commands") else name
        for name, command in commands.items()
        for verb in getattr(command, "commands", {name: None})
    }
    assert {"run", "sql", "tell", "lake verify", "teacher pull"} <= verbs
    assert [
        verb
        for verb in sorted(verbs)
        if f"`stillhouse {verb}" not in README and f"`{verb}" not in README
    ] == []
