"""The command line in a process of its own, as a shell starts it, with the time of every line it
says.
"""

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
    """How a command ended (below 0: by that signal) and what it said."""

    code: int
    lines: tuple[Line, ...]

    @property
    def out(self) -> str:
        return "\n".join(line.text for line in self.lines if not line.is_error)

    @property
    def errors(self) -> list[str]:
        return [line.text for line in self.lines if line.is_error and line.text.strip()]


class Command:
    """A command that runs; a context that is left kills what still runs.

    A variable of the environment that is given as empty is not set.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        settings = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **environment}
        self._lines: list[Line] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [*CONSOLE_SCRIPT, *arguments],
            cwd=ROOT,
            env={name: value for name, value in settings.items() if value},
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
            return Outcome(code, tuple(self._lines))

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
