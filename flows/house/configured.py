"""Which Prefect server the user's settings name, and whether it answers."""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.errors import FlowsError
from flows.house.versions import versions_hint

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PROFILE = "stillhouse"
_BY_HOUSE = f"Prefect's profile {PROFILE}"


@dataclass(frozen=True, slots=True)
class Configured:
    """The API address that the user named, and where."""

    url: str
    by: str


def configured_api() -> Configured | None:
    """The address that the user set; None where only the house's own profile names one, or
    nothing.
    """
    from prefect.settings import PREFECT_API_URL

    url, by = PREFECT_API_URL.value(), named_by()
    return Configured(url, by) if url and by != _BY_HOUSE else None


def named_by() -> str:
    """What names the API address that Prefect's settings hold."""
    from prefect.context import get_settings_context

    if os.environ.get("PREFECT_API_URL"):
        return "PREFECT_API_URL"
    return f"Prefect's profile {get_settings_context().profile.name}"


def answers(url: str, within_s: float = 5.0) -> bool:
    """Whether a Prefect server is at that address and well."""
    import httpx

    try:
        reply = httpx.get(f"{url.rstrip('/')}/health", headers=_credentials(), timeout=within_s)
    except httpx.HTTPError:
        return False
    return reply.status_code == 200 and reply.text.strip() == "true"


def unreachable(url: str, by: str) -> FlowsError:
    """What to say of a configured server that does not answer."""
    without = (
        "`unset PREFECT_API_URL`" if by == "PREFECT_API_URL" else "`prefect profile use ephemeral`"
    )
    return FlowsError(
        f"expected a Prefect server at {url} (set by {by}), found no answer; `stillhouse up` "
        f"starts one on this machine, {without} goes without"
    )


@contextmanager
def client_of(url: str) -> Iterator["SyncPrefectClient"]:
    """A client of the server at that address; what the server refuses is a FlowsError."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        try:
            yield client
        except httpx.HTTPError as exc:
            found = str(exc).splitlines() or [repr(exc)]
            raise FlowsError(
                f"expected the Prefect server at {url} to do what its client asks, found: "
                f"{found[0]}; {versions_hint()}"
            ) from exc


def _credentials() -> dict[str, str]:
    """What a team's server or Prefect Cloud asks its clients for."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY

    key, secret = PREFECT_API_KEY.value(), PREFECT_API_AUTH_STRING.value()
    if key:
        return {"Authorization": f"Bearer {key.get_secret_value()}"}
    if secret:
        token = base64.b64encode(secret.get_secret_value().encode()).decode()
        return {"Authorization": f"Basic {token}"}
    return {}
