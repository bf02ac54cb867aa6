"""What the house remembers between commands: its processes, its lake, the profile it stands in for.

One JSON file, replaced as a whole, in <PREFECT_HOME>/stillhouse; the logs lie beside it. A process
is its pid together with the moment it began: pids are given out again.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from flows.errors import FlowsError

POOL = "stillhouse"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Started:
    """A process that the house started; `created` in seconds since the epoch, as the system says
    it.
    """

    pid: int
    created: float
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class State:
    """What stands.

    `url`: the API that the house uses; `server` is None where that is a team's. `port`: where its
    own was last. `data`: the lake's folder. `former_profile`: Prefect's active profile before the
    house's took its place.
    """

    url: str | None = None
    port: int | None = None
    data: Path | None = None
    server: Started | None = None
    worker: Started | None = None
    former_profile: str | None = None


@dataclass(frozen=True, slots=True)
class House:
    """The folder that makes a house, one in each PREFECT_HOME."""

    folder: Path

    @classmethod
    def here(cls) -> Self:
        """The house of the current PREFECT_HOME; its folder is made if there is none."""
        from prefect.settings import PREFECT_HOME

        folder = Path(PREFECT_HOME.value()).absolute() / "stillhouse"
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    def log(self, name: str) -> Path:
        """Where the server's or the worker's output goes."""
        return self.folder / f"{name}.log"

    def load(self) -> State:
        """What was saved last; the empty state if nothing was.

        Raises FlowsError for a file that is none of ours.
        """
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return State()
        except ValueError as exc:
            raise self._unreadable(str(exc)) from exc
        if not isinstance(values, dict) or values.get("version") != _VERSION:
            raise self._unreadable(f"no state of version {_VERSION}")
        try:
            return _state_from(values)
        except (KeyError, TypeError) as exc:
            raise self._unreadable(repr(exc)) from exc

    def save(self, state: State) -> None:
        """Put the state in the place of the one before, whole or not at all."""
        values = {"version": _VERSION, **asdict(state)}
        values["data"] = str(state.data) if state.data else None
        temporary = self._path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(values, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    def change(self, state: State, **changed: Any) -> State:
        """The state with those fields changed, saved."""
        state = replace(state, **changed)
        self.save(state)
        return state

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the house while the block runs.

        Raises FlowsError if another `up` or `down` is at it.
        """
        with (self.folder / "lock").open("a", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise FlowsError(
                    f"{self.folder}: expected nobody else at work on it, found another "
                    "`stillhouse up` or `down`; wait for it to end"
                ) from exc
            yield

    @property
    def _path(self) -> Path:
        return self.folder / "state.json"

    def _unreadable(self, found: str) -> FlowsError:
        return FlowsError(
            f"{self._path}: expected what `stillhouse up` wrote, found {found}; remove the file, "
            "then `stillhouse down` ends what still runs"
        )


def _state_from(values: dict[str, Any]) -> State:
    known = {field.name: values.get(field.name) for field in fields(State)}
    for name in ("server", "worker"):
        process = known[name]
        if process is not None:
            known[name] = Started(process["pid"], process["created"], tuple(process["command"]))
    known["data"] = Path(known["data"]) if known["data"] else None
    return State(**known)
