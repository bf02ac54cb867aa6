"""Which server is asked next: all in turn, a failing one left out for a while.

A server is left out for as long as it asks for (Retry-After), or, after three failures on end, for
a time that doubles with each further one. While it is out, answers to what it was asked before
count neither way, so that one outage with many requests under way is one failure, not many.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

_PATIENCE = 3
_MOST_DOUBLINGS = 30


@dataclass(slots=True)
class _Server:
    url: str
    num_failures: int = 0
    out_until_s: float = 0.0


@dataclass(slots=True)
class Rotation:
    """The servers, each with when it may be asked again. Times are seconds of one clock."""

    first_wait_s: float
    max_wait_s: float
    _servers: list[_Server] = field(default_factory=list)
    _turn: int = 0

    @classmethod
    def of(cls, urls: Sequence[str], first_wait_s: float, max_wait_s: float) -> "Rotation":
        """All servers in, the first one next."""
        return cls(first_wait_s, max_wait_s, [_Server(url) for url in urls])

    def take(self, now_s: float) -> tuple[str, float]:
        """The server to ask, and how many seconds from now: 0 unless all are left out."""
        count = len(self._servers)
        turns = [self._servers[(self._turn + step) % count] for step in range(count)]
        chosen = min(turns, key=lambda server: max(server.out_until_s, now_s))
        self._turn = (self._servers.index(chosen) + 1) % count
        return chosen.url, max(chosen.out_until_s - now_s, 0.0)

    def worked(self, url: str, now_s: float) -> None:
        """Take note that the server answered well; while it is out, that says nothing of now."""
        server = self._named(url)
        if server.out_until_s <= now_s:
            server.num_failures = 0

    def failed(self, url: str, now_s: float, asked_wait_s: float | None) -> float:
        """Take note that the server failed; for how many seconds it is now left out.

        asked_wait_s: what it asked for itself, obeyed up to max_wait_s.
        """
        server = self._named(url)
        if server.out_until_s <= now_s:
            server.num_failures += 1
        wait_s = 0.0
        if asked_wait_s is not None:
            wait_s = min(asked_wait_s, self.max_wait_s)
        elif server.num_failures >= _PATIENCE and server.out_until_s <= now_s:
            doublings = min(server.num_failures - _PATIENCE, _MOST_DOUBLINGS)
            wait_s = min(self.first_wait_s * 2**doublings, self.max_wait_s)
        server.out_until_s = max(server.out_until_s, now_s + wait_s)
        return wait_s

    def _named(self, url: str) -> _Server:
        return next(server for server in self._servers if server.url == url)
