"""A line is held by one process at a time; another one says who holds it, and waits."""

import os
import subprocess
import sys
from pathlib import Path

from flows.holding import hold_line

HOLDER = """
import sys
from pathlib import Path
from flows.holding import hold_line
with hold_line(Path(sys.argv[1]), "smoke", "7", print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_says_who_holds_the_line_and_waits_for_its_end(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said: list[str] = []

        def say(message: str) -> None:
            said.append(message)
            holder.kill()

        with hold_line(tmp_path, "smoke", "8", say):
            assert holder.wait() != 0
    assert len(said) == 1
    assert f"line smoke is held by process {holder.pid} on " in said[0]
    assert "(night 7, since 2" in said[0]


def test_the_stages_of_a_night_hold_its_line_with_it(tmp_path: Path) -> None:
    said: list[str] = []
    with hold_line(tmp_path, "smoke", "1", said.append):
        with hold_line(tmp_path, "smoke", "1", said.append):
            pass
        assert f"process {os.getpid()} on" in (tmp_path / "work/smoke.lock").read_text()
        with hold_line(tmp_path, "other", "1", said.append):
            pass
    assert said == []
