"""Prefect without a server of one's own: its temporary one, made to end when this process does,
however it ends.

Prefect stops its temporary server on a clean exit only. A process that is killed would leave it
behind, so a small watcher holds the other end of a pipe and stops the server once this end is gone.
"""

import os
import subprocess
import sys

_QUIET = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}
_WATCHER = """
import os, signal, sys
process = os.pidfd_open(int(sys.argv[1])) if hasattr(os, "pidfd_open") else None
sys.stdin.read()
try:
    if process is None:
        os.kill(int(sys.argv[1]), signal.SIGTERM)
    else:
        signal.pidfd_send_signal(process, signal.SIGTERM)
except ProcessLookupError:
    pass
"""


def set_prefect_defaults() -> None:
    """Quiet Prefect and give its temporary server time to start; to be called before Prefect is
    imported.

    What the user has set stays.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def ensure_server() -> None:
    """Start Prefect's temporary server for this process, unless one is configured (PREFECT_API_URL,
    or the profile's).
    """
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        return
    server = SubprocessASGIServer()
    server.start()
    if server.server_process is not None:
        _watch(server.server_process.pid)


def _watch(pid: int) -> None:
    """The pipe's end stays open in this process until it is gone; the watcher has a session of its
    own, so Ctrl-C passes it by.
    """
    subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WATCHER, str(pid)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
