"""The house's server: the one that Prefect is told of, or one of the house's own."""

import os
import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from flows.commands.common import say
from flows.errors import FlowsError
from flows.house.configured import Configured, answers, configured_api, unreachable
from flows.house.processes import end, find, last_lines, of_house, start
from flows.house.state import House, State

PART = "server"
DEFAULT_PORT = 4200
_HOST = "127.0.0.1"
# A first start makes the database, which takes half a minute on a busy machine.
_STARTS_WITHIN_S = 180.0
# Prefect would report each start and each command to its makers.
QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
# What Prefect's server would lose by default: with a restart, or under load.
_LASTING = {
    # Who holds a deployment's one slot: a night could not renew its claim, and would be stopped.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # Which events it has seen: each event of a run waits for the one before it, for a quarter of
    # an hour, and so would the rule that has a crashed run run again.
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "flows.house.ordering",
    # Events that met a locked database: it would lose them after four tries within milliseconds.
    "PREFECT_MESSAGING_BROKER": "flows.house.messaging",
}


def stand_up_server(house: House, state: State, port: int | None) -> State:
    """The state with the URL of a server that answers: the configured one, else the house's own,
    which is started if it does not run.

    Raises FlowsError if a server elsewhere does not answer, the port is taken, or the house's own
    does not start.
    """
    configured = configured_api()
    url = configured.url if configured else _own_url(port or state.port or DEFAULT_PORT)
    _check_port(configured, state, port, url)
    running = find(state.server)
    if running is not None:
        _wait_for(house, state)
        say(f"server    runs at {state.url} (pid {running.pid})")
        return state
    if configured and answers(url):
        say(f"server    {url} answers; it is not the house's own ({configured.by})")
        return house.change(state, url=url, server=None)
    if configured and not _is_local(url):
        raise unreachable(configured.url, configured.by)
    # A server that was killed can leave a part of itself behind, which would hold the port.
    end(of_house(house, PART), patience_s=5)
    _check_free(url)
    address = urlsplit(url)
    arguments = ["-m", "prefect", "server", "start"]
    arguments += ["--host", address.hostname or _HOST, "--port", str(address.port or DEFAULT_PORT)]
    started = start(house, PART, arguments, _environment(url))
    state = house.change(state, url=url, port=address.port, server=started)
    say("server    starts; the first time takes half a minute")
    _wait_for(house, state)
    say(f"server    started at {url} (pid {started.pid}, log {house.log(PART)})")
    return state


def _own_url(port: int) -> str:
    return f"http://{_HOST}:{port}/api"


def _check_port(configured: Configured | None, state: State, port: int | None, url: str) -> None:
    if configured and port and urlsplit(url).port != port:
        raise FlowsError(
            f"--port {port}: expected the port of {url}, which {configured.by} names; leave --port "
            "out, or unset that address"
        )
    at_work = find(state.server) or find(state.worker)
    if at_work is not None and state.url != url:
        raise FlowsError(
            f"expected the house to use {url}, found that it runs with {state.url}; "
            "`stillhouse down` ends that first"
        )


def _is_local(url: str) -> bool:
    address = urlsplit(url)
    return address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost")


def _check_free(url: str) -> None:
    address = urlsplit(url)
    host, port = address.hostname or _HOST, address.port or DEFAULT_PORT
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return
        except OSError:
            pass
    if answers(url, within_s=2.0):
        raise FlowsError(
            f"port {port}: expected it free for the house's server, found another Prefect server "
            f"on it; `export PREFECT_API_URL={url}` uses that one, `--port N` takes another port"
        )
    raise FlowsError(
        f"port {port}: expected it free for the house's server, found another program on it; "
        "take another one with `stillhouse up --port N`"
    )


def _environment(url: str) -> Mapping[str, str]:
    address = urlsplit(url)
    return {
        **os.environ,
        **QUIET,
        **_LASTING,
        # The page asks the address that the server believes to have.
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_API_HOST": address.hostname or _HOST,
        "PREFECT_SERVER_API_PORT": str(address.port or DEFAULT_PORT),
    }


def _wait_for(house: House, state: State) -> None:
    assert state.url is not None
    deadline_s = time.monotonic() + _STARTS_WITHIN_S
    while not answers(state.url, within_s=2.0):
        log = house.log(PART)
        if find(state.server) is None:
            raise FlowsError(
                f"expected Prefect's server to start, found that it ended; {log} ends with:\n"
                f"{last_lines(log)}"
            )
        if time.monotonic() > deadline_s:
            raise FlowsError(
                f"expected Prefect's server to answer at {state.url} within "
                f"{_STARTS_WITHIN_S:.0f} s, found no answer; see {log}, then `stillhouse down` "
                "and `stillhouse up` again"
            )
        time.sleep(0.5)
