"""The command line in a process of its own, as a shell starts it, with the time of every line it
says.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from typer.testing import CliRunner, Result

from flows.cli import app

ROOT = Path(__file__).parents[2]
CONSOLE_SCRIPT = (sys.executable, "-c", "from flows.cli import main; main()")
PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line on standard output or error, and when it came (time.monotonic)."""

    text: str
    is_error: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended (below 0: by that signal), and its lines on standard output and error."""

    code: int
    out: tuple[str, ...]
    errors: tuple[str, ...]
    lines: tuple[Line, ...] = ()


class Command:
    """A command that runs; a context that is left kills what still runs."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._lines: list[Line] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [*CONSOLE_SCRIPT, *arguments],
            cwd=ROOT,
            env=_settings(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        streams = ((self._process.stdout, False), (self._process.stderr, True))
        self._readers = [
            threading.Thread(target=self._listen, args=stream, daemon=True) for stream in streams
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, is_it: Callable[[str], bool]) -> bool:
        """Whether such a line came; False once the process has ended without one."""
        deadline_s = time.monotonic() + PATIENCE_S
        with self._news:
            while not any(is_it(line.text) for line in self._lines):
                if not any(reader.is_alive() for reader in self._readers):
                    return False
                assert time.monotonic() < deadline_s, self._lines
                self._news.wait(0.2)
        return True

    def kill(self) -> bool:
        """SIGKILL to this process alone; whether it hit a live one."""
        self._process.send_signal(signal.SIGKILL)
        return self.wait().code == -signal.SIGKILL

    def wait(self) -> Outcome:
        code = self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        with self._news:
            lines = tuple(self._lines)
        out, errors = (
            tuple(line.text for line in lines if line.is_error is is_error)
            for is_error in (False, True)
        )
        return Outcome(code, out, errors, lines)

    def _listen(self, stream: IO[str], is_error: bool) -> None:
        with stream:
            for text in stream:
                with self._news:
                    self._lines.append(Line(text.rstrip(), is_error, time.monotonic()))
                    self._news.notify_all()


def stillhouse(arguments: Sequence[str], environment: Mapping[str, str]) -> Outcome:
    """How the command ended."""
    with Command(arguments, environment) as command:
        return command.wait()


def several(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> list[Outcome]:
    """How the commands ended, run one after the other in one process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.several"],
        cwd=ROOT,
        env=_settings(environment),
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * len(commands),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        Outcome(told["code"], *(tuple(told[key].splitlines()) for key in ("out", "errors")))
        for told in json.loads(done.stdout)
    ]


def in_process(*arguments: str) -> Result:
    """A command that runs no night, in this process."""
    return CliRunner().invoke(app, [*arguments])


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    """This process's environment and those variables; one that is given as empty is not set."""
    settings = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **environment}
    return {name: value for name, value in settings.items() if value}
