"""What the house says where it cannot do as it was told: one line, exit code 2, nothing started."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.errors import FlowsError
from flows.house import versions
from flows.house.processes import end, find, of_house, start
from flows.house.state import House, Started, State
from tests.flows.house_machine import Machine, free_port

NOBODY = "http://127.0.0.1:9/api"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, free_port())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "stillhouse")
    house.folder.mkdir()
    yield house
    end(of_house(house), patience_s=1)


def test_a_port_of_another_program_is_named(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.port)):
        done = machine.stillhouse("up", "--port", str(machine.port))
    assert done.code == 2
    assert done.errors == (
        f"stillhouse: port {machine.port}: expected it free for the house's server, found another "
        "program on it; take another one with `stillhouse up --port N`",
    )
    assert machine.processes() == []


def test_a_team_server_that_does_not_answer_is_named(machine: Machine) -> None:
    url = "http://prefect.invalid/api"
    done = machine.stillhouse("up", PREFECT_API_URL=url)
    assert done.code == 2
    (line,) = done.errors
    assert line.startswith(
        f"stillhouse: expected a Prefect server at {url} (set by PREFECT_API_URL), found no answer"
    )
    assert machine.processes() == []


def test_a_night_without_its_server_says_what_to_do(
    machine: Machine, tiny_teacher_folder: Path
) -> None:
    asked = ["run", "smoke", "--set", f"teacher.model={tiny_teacher_folder}"]
    done = machine.stillhouse(*asked, "--data", str(machine.data), PREFECT_API_URL=NOBODY)
    assert done.code == 2
    assert done.errors[-1] == (
        f"stillhouse: expected a Prefect server at {NOBODY} (set by PREFECT_API_URL), found no "
        "answer; `stillhouse up` starts one on this machine, `unset PREFECT_API_URL` goes without"
    )


def test_a_folder_that_cannot_be_made_is_named(machine: Machine) -> None:
    (machine.root / "file").touch()
    folder = machine.root / "file" / "lake"
    done = machine.stillhouse("up", "--data", str(folder), "--port", str(machine.port))
    assert done.code == 2
    (line,) = done.errors
    assert line.startswith(f"stillhouse: --data {folder}: expected a folder to write the lake into")
    assert machine.processes() == []


def test_status_without_a_house_is_well(machine: Machine) -> None:
    done = machine.stillhouse("status")
    assert done.code == 0, done.errors
    assert done.out[0] == "server     does not run, and should not: `stillhouse up` starts it"
    assert any(line.startswith("disk ") for line in done.out)


def test_status_of_a_house_that_died_is_not_well(machine: Machine) -> None:
    machine.house.folder.mkdir(parents=True)
    gone = Started(2**22 + 1, 0.0, ("prefect",))
    machine.house.save(State(url=NOBODY, server=gone, worker=gone, data=machine.data))
    done = machine.stillhouse("status")
    assert done.code == 1
    told = "\n".join(done.out)
    assert f"! server   no answer from {NOBODY}" in told
    assert "! worker   its process has ended" in told


def test_two_at_once_are_refused(house: House) -> None:
    with (
        house.alone(),
        pytest.raises(FlowsError, match="another `stillhouse up` or `down`"),
        house.alone(),
    ):
        pass


def test_the_state_is_read_as_it_was_saved(house: House, tmp_path: Path) -> None:
    assert house.load() == State()
    state = State(
        url=NOBODY,
        port=9,
        data=tmp_path,
        server=Started(1, 2.5, ("a", "b")),
        worker=None,
        former_profile="local",
    )
    house.save(state)
    assert house.load() == state


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 99}', '{"version": 1, "server": 3}'])
def test_a_state_of_something_else_is_refused(house: House, text: str) -> None:
    (house.folder / "state.json").write_text(text)
    with pytest.raises(FlowsError, match=r"state\.json: expected what `stillhouse up` wrote"):
        house.load()


def test_a_process_is_known_by_its_birth_too(house: House) -> None:
    me = psutil.Process()
    assert find(Started(me.pid, me.create_time(), ())) == me
    assert find(Started(me.pid, me.create_time() - 60, ())) is None
    assert find(None) is None


def test_a_process_heeds_signals_whatever_it_inherits(house: House) -> None:
    """As from `nohup stillhouse up &`, which leaves interrupts ignored in all that it starts."""
    code = (
        "import os, signal, sys; from pathlib import Path; "
        "from flows.house.processes import start; from flows.house.state import House; "
        "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, "
        "signal.SIG_IGN); "
        "sleep = 'import time; print(1, flush=True); time.sleep(60)'; "
        "print(start(House(Path(sys.argv[1])), 'worker', ['-c', sleep], os.environ).pid)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(house.folder)], capture_output=True, text=True, check=True
    )
    process = psutil.Process(int(done.stdout))
    while not house.log("worker").read_text():
        pass
    assert os.getsid(process.pid) == process.pid
    process.send_signal(signal.SIGINT)
    process.wait(10)


def test_the_mark_finds_children_of_a_dead_parent_and_nobody_else(house: House) -> None:
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    started = start(house, "worker", ["-c", code], os.environ)
    psutil.wait_procs([psutil.Process(started.pid)], timeout=10)
    (orphan,) = of_house(house)
    assert orphan.pid == int(house.log("worker").read_text())
    with subprocess.Popen(["sleep", "60"]) as stranger:
        assert end(of_house(house), patience_s=5) == 0
        assert of_house(house) == []
        assert stranger.poll() is None
        stranger.kill()


def test_a_library_that_breaks_the_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "none of them known to break it" in versions.versions_hint()
    installed = {"prefect": "3.7.7", "fastapi": "0.154.0", "sqlalchemy": "2.1.9"}
    monkeypatch.setattr(versions, "version", installed.__getitem__)
    hint = versions.versions_hint()
    assert "fastapi 0.154.0 is known to break Prefect 3.7.7" in hint
    assert "pip install 'sqlalchemy<2.1'" in hint


def test_up_keeps_the_users_other_profiles(machine: Machine) -> None:
    """`down` with nothing up touches none of them either."""
    machine.home.mkdir()
    profiles = 'active = "mine"\n\n[profiles.mine]\nPREFECT_LOGGING_LEVEL = "DEBUG"\n'
    (machine.home / "profiles.toml").write_text(profiles)
    assert machine.stillhouse("down").code == 0
    assert (machine.home / "profiles.toml").read_text() == profiles


def test_state_file_is_json_that_people_can_read(house: House) -> None:
    house.save(State(url=NOBODY))
    assert json.loads((house.folder / "state.json").read_text())["url"] == NOBODY
