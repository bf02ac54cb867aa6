"""Prefect without a server of one's own: its temporary one, made to end when this process does,
however it ends.

Prefect would start it inside this process's group, where Ctrl-C stops it before the flow has said
goodbye, and would leave it behind when this process is killed. So a keeper process of its own
session holds it, until the pipe from this process closes.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from flows.errors import FlowsError

_QUIET = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}
# The first line read is what the caller waits for; the end of its input is the end of the server.
_KEEPER = """
import sys
from prefect.server.api.server import SubprocessASGIServer
server = SubprocessASGIServer()
server.start()
try:
    print(server.api_url, flush=True)
    sys.stdin.read()
except BrokenPipeError:  # whoever asked for it has gone
    sys.stdout = None
finally:
    server.stop()
"""


def set_prefect_defaults() -> None:
    """Quiet Prefect and give its temporary server time to start; to be called before Prefect is
    imported.

    What the user has set stays.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


@contextmanager
def some_server() -> Iterator[str]:
    """The URL of the server that flows in the block talk to: the configured one (PREFECT_API_URL,
    or the profile's), else a temporary one.

    Raises FlowsError if the configured one does not answer, or a temporary one does not start.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.house.configured import answers, named_by, unreachable

    configured = PREFECT_API_URL.value()
    if configured:
        if not answers(configured):
            raise unreachable(configured, named_by())
        yield configured
        return
    keeper = subprocess.Popen(
        [sys.executable, "-c", _KEEPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    url = ""
    try:
        url = keeper.stdout.readline().strip()
        if not url:
            raise FlowsError(
                "expected Prefect's temporary server to start, found that it did not (see above); "
                "run again, or name a running server with PREFECT_API_URL"
            )
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
    finally:
        keeper.stdin.close()
        keeper.stdout.close()
        if url:  # else it ends by itself, once its server is there: Ctrl-C waits for nobody
            keeper.wait()
