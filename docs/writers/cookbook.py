"""docs/cookbook.md: its commands are run on a lake, and what they answered is put under them.

A question of the page is a fence of `sh` or `python` and, right behind it, a fence of `text` with
the answer.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_FENCE = r"```{}\n((?:(?!```).)*)```\n"
_ASKED = re.compile(_FENCE.format("(sh|python)") + r"\n" + _FENCE.format("text"), re.DOTALL)
_CONSOLE_SCRIPT = "from flows.cli import main; main()"
_WIDTH = "100"
_PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Question:
    """A command (or a piece of Python) of the page, and the answer that the page shows."""

    language: str
    source: str
    answer: str


def questions(page: str) -> list[Question]:
    """Those of the page, in their order."""
    return [Question(*match.groups()) for match in _ASKED.finditer(page)]


def answered(page: str, lake: Path) -> str:
    """The page with the lake's answers; each is asked in an empty folder in which the lake is
    `stillhouse-data`, as on the page.
    """
    answers = iter(answers_of(questions(page), lake))
    return _ASKED.sub(
        lambda match: f"```{match[1]}\n{match[2]}```\n\n```text\n{next(answers)}\n```\n", page
    )


def answers_of(asked: list[Question], lake: Path) -> Iterator[str]:
    """What the lake answers to each; RuntimeError, with what it said, for one that fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "stillhouse-data").symlink_to(lake)
        programs = folder / "programs"
        programs.mkdir()
        program = programs / "stillhouse"
        python = shlex.quote(sys.executable)
        program.write_text(f'#!/bin/sh\nexec {python} -c "{_CONSOLE_SCRIPT}" "$@"\n')
        program.chmod(0o755)
        for question in asked:
            yield _answer(question, folder, programs)


def _answer(question: Question, folder: Path, programs: Path) -> str:
    interpreter = ["sh", "-e"] if question.language == "sh" else [sys.executable]
    settings = {
        "COLUMNS": _WIDTH,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(_ROOT),
    }
    kept = {name: value for name, value in os.environ.items() if name != "STILLHOUSE_DATA"}
    done = subprocess.run(
        [*interpreter, "-c", question.source],
        cwd=folder,
        env={**kept, **settings},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{question.source}\nended with {done.returncode}: {done.stderr}")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return "\n".join(lines).strip("\n")
