"""The README's commands do what it says, with the quickstart swapped for the smoke recipe."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from typer.main import get_command

from flows.cli import app
from tests.flows.command import several
from tests.flows.readme import README, SERVER_SECTION, commands_of, sections
from tests.flows.smoke import night_arguments

# Those that need a server are run by the tests that are marked so.
COMMANDS = [
    command
    for section in sections()
    if section != SERVER_SECTION
    for command in commands_of(section)
]


def _swapped(command: Sequence[str], data: Path, teacher: Path) -> list[str]:
    """The command's arguments, on the smoke recipe's line and this test's lake."""
    program, *arguments = command
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
    lake = tmp_path / "lake"
    arguments = [_swapped(command, lake, tiny_teacher_folder) for command in COMMANDS]
    for command, outcome in zip(COMMANDS, several(arguments, served), strict=True):
        assert outcome.code == 0, (command, outcome.errors)
        assert "".join(outcome.out).strip(), command


def test_the_server_section_begins_with_up_and_ends_with_down() -> None:
    commands = commands_of(SERVER_SECTION)
    assert commands[0] == ["stillhouse", "up"]
    assert ["prefect", "deployment", "run", "nightly/quickstart", "--watch"] in commands
    assert any("--cron" in command for command in commands)
    assert commands[-1] == ["stillhouse", "down"]
    assert {command[0] for command in commands} == {"stillhouse", "prefect"}


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


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200
