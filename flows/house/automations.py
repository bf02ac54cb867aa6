"""What Prefect's server does by itself when a run dies: call it dead, and have it run again.

A process that was killed says nothing, so its run would stay Running and hold its line's only slot
for ever. Both automations are ours by name, touch runs of our pool or tag alone, and are put right
if someone changed them.
"""

from typing import TYPE_CHECKING, Any

from flows.commands.common import say
from flows.house.configured import client_of
from flows.house.state import POOL

if TYPE_CHECKING:
    from prefect.events.schemas.automations import Automation, AutomationCore

TAG = "stillhouse"
# Three heartbeats of prefect.yaml's PREFECT_FLOWS_HEARTBEAT_FREQUENCY: with fewer, a busy machine
# would be taken for a dead one.
_SILENT_S = 90
_ALIVE = "prefect.flow-run.heartbeat"
# A run that waits to be run again is silent too.
_ENDED = [
    f"prefect.flow-run.{state}"
    for state in (
        "Completed",
        "Failed",
        "Cancelled",
        "Crashed",
        "AwaitingRetry",
        "AwaitingConcurrencySlot",
    )
]
_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
_ZOMBIES: dict[str, Any] = {
    "name": "stillhouse: a silent run has crashed",
    "description": f"A run that gave no heartbeat for {_SILENT_S} s was killed: it is Crashed.",
    "trigger": {
        "type": "event",
        "posture": "Proactive",
        "match": _RUNS,
        "match_related": {"prefect.resource.id": f"prefect.tag.{TAG}"},
        "for_each": ["prefect.resource.id"],
        "after": [_ALIVE],
        "expect": [_ALIVE, *_ENDED],
        "threshold": 1,
        "within": _SILENT_S,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "message": f"no heartbeat for {_SILENT_S} s",
        }
    ],
}
_AGAIN: dict[str, Any] = {
    "name": "stillhouse: a crashed run is run again",
    "description": "A run of the pool that crashed is scheduled again and goes on where it was.",
    "trigger": {
        "type": "event",
        "posture": "Reactive",
        "match": _RUNS,
        "match_related": {
            "prefect.resource.role": "work-pool",
            "prefect.resource.name": POOL,
        },
        "for_each": ["prefect.resource.id"],
        "expect": ["prefect.flow-run.Crashed"],
        "threshold": 1,
        "within": 0,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "SCHEDULED",
            "name": "AwaitingRetry",
            "message": "crashed; it is run again and goes on where it was",
        }
    ],
}


def set_automations(url: str) -> None:
    """Both automations are on the server, as they are here."""
    from prefect.events.schemas.automations import AutomationCore

    done: dict[str, int] = {"made": 0, "put right": 0, "there": 0}
    with client_of(url) as client:
        known = {found.name: found for found in client.read_automations(limit=200)}
        for values in (_ZOMBIES, _AGAIN):
            wanted = AutomationCore.model_validate(values)
            found = known.get(wanted.name)
            if found is None:
                client.create_automation(wanted)
                done["made"] += 1
            elif _content(found) != _content(wanted):
                client.update_automation(found.id, wanted)
                done["put right"] += 1
            else:
                done["there"] += 1
    told = ", ".join(f"{count} {what}" for what, count in done.items() if count)
    say(f"rules     a run that crashed is run again: {told}")


def _content(automation: "Automation | AutomationCore") -> dict[str, Any]:
    """What both kinds say, without the ids that the server adds."""
    content = automation.model_dump(exclude={"id", "owner_resource"})  # sets have no order
    content["trigger"].pop("id", None)
    return content
