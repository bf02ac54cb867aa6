"""`up` and `down`: the steps, in the order in which one needs the other."""

from pathlib import Path

from flows.commands.common import say
from flows.errors import FlowsError
from flows.house.automations import set_automations
from flows.house.checks import check
from flows.house.deploying import deploy
from flows.house.processes import end, find, of_house, wait_until_gone
from flows.house.profiles import enter_profile, leave_profile
from flows.house.server import stand_up_server
from flows.house.state import House
from flows.house.sweeping import sweep
from flows.house.worker import data_folder, make_pool, stand_up_worker

# A worker asks its runs to end, and gives them half a minute.
_RUN_ENDS_WITHIN_S = 45.0
_SERVER_ENDS_WITHIN_S = 15.0


def up(data: Path | None, port: int | None) -> str:
    """Everything stands and was seen to work; the address of Prefect's page.

    What stands already is left alone. Raises FlowsError at the first step that cannot be done.
    """
    house = House.here()
    with house.alone():
        state = house.load()
        folder = data_folder(state, data)
        state = stand_up_server(house, state, port)
        assert state.url is not None
        make_pool(state.url)
        deploy(house, state.url)
        set_automations(state.url)
        sweep(state)
        state = stand_up_worker(house, state, folder)
        state = enter_profile(house, state)
        assert state.url is not None
        check(house, state)
    return state.url.removesuffix("/api")


def down() -> None:
    """No process of the house is left, and Prefect's former profile is active again.

    A night at work is stopped first, while the server can still be told; the next `up` goes on
    with it.
    """
    house = House.here()
    with house.alone():
        state = house.load()
        worker, server = find(state.worker), find(state.server)
        if worker is not None:
            end([worker], _RUN_ENDS_WITHIN_S)
        # Runs of a worker that was killed, and what a forced end left.
        left = of_house(house, "worker")
        end(left, _RUN_ENDS_WITHIN_S)
        say("worker    " + ("ended" if worker or left else "none was running"))
        servers = [server] if server is not None else of_house(house, "server")
        end(servers, _SERVER_ENDS_WITHIN_S)
        end(of_house(house), 5.0)
        stubborn = [] if wait_until_gone(house, 5.0) else of_house(house)
        if state.url and state.server is None and worker is not None:
            say(f"server    {state.url} is not the house's own: left alone")
        else:
            say("server    " + ("ended" if servers else "none was running"))
        leave_profile(house, house.change(state, worker=None, server=None))
    if stubborn:
        pids = ", ".join(str(process.pid) for process in stubborn)
        raise FlowsError(
            f"expected no process of the house after SIGKILL, found {pids}; they wait for the "
            "system (a disk that does not answer?): look at them with `ps`"
        )
    say("down      no process of the house is left; `stillhouse up` goes on where it was")
