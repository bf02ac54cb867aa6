"""Which night is meant where a person leaves line or night open."""

from flows.errors import FlowsError
from warehouse.lake import Lake
from warehouse.ledger import Night


def chosen_night(lake: Lake, line: str | None, night: str | None) -> tuple[str, str]:
    """Line and night: without a line the one whose night was decided last, without a night the
    line's newest.

    Raises FlowsError that names the nights there are.
    """
    claims = lake.manifest.nights()
    if not claims:
        raise FlowsError(
            f"{lake.root}: expected a night to report on, found none; "
            "run one first: stillhouse run quickstart"
        )
    of_line = [claim for claim in claims if claim.line == (line or _last_line(lake, claims))]
    found = [claim for claim in of_line if night in (None, claim.night)]
    if not found:
        raise FlowsError(unknown_night(claims, line, night))
    newest = max(found, key=lambda claim: claim.ordinal)
    return newest.line, newest.night


def unknown_night(claims: list[Night], line: str | None, night: str | None) -> str:
    """The message for a night that was never claimed, with those that were."""
    asked = " ".join(
        f"{name} {value}" for name, value in (("line", line), ("night", night)) if value is not None
    )
    lines = dict.fromkeys(claim.line for claim in claims)
    there = "; ".join(
        f"{name}: {', '.join(claim.night for claim in claims if claim.line == name)}"
        for name in lines
    )
    return f"expected a night of this lake, found {asked}; its nights are {there or 'none'}"


def _last_line(lake: Lake, claims: list[Night]) -> str:
    """The line of the night that was claimed last among the decided ones, or among all."""
    rows = lake.query("SELECT line, night FROM promotions").to_pylist()
    decided = {(row["line"], row["night"]) for row in rows}
    of_decided = [claim for claim in claims if (claim.line, claim.night) in decided]
    return (of_decided or claims)[-1].line
