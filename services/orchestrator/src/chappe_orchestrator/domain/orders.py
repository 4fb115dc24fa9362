"""What people ask of a contact's enrollments from outside: to leave, or to change version.

An order is a record in ``events`` as any other, so that the shard's owner alone changes anything.
Each may come twice. An enrollment that has ended already is left alone.
"""

from collections.abc import Mapping
from typing import Any

from chappe.events import Event
from chappe.ids import StepId
from chappe.journey import as_mapping
from chappe_orchestrator.domain.leaving import leave
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.upgrading import upgrade
from chappe_orchestrator.domain.walking import tell_finished
from chappe_orchestrator.domain.watching import look_again

EXIT = "enrollment.exit_requested"
UPGRADE = "enrollment.upgrade_requested"
RELEASE = "contact.release_requested"
LOOK = "contact.look_requested"
ORDERS = frozenset({EXIT, UPGRADE, RELEASE, LOOK})

REASON_LENGTH_MAX = 100


def obey(run: Run, event: Event) -> None:
    """Do what the order says. A release is done before the contact takes any step."""
    if event.name == LOOK:
        look_again(run)
        return
    enrollment = run.contact.enrollments.get(event.data.get("enrollment", ""))
    if enrollment is None or enrollment.status != "active":
        return
    if event.name == EXIT:
        said = event.data.get("reason")
        reason = said[:REASON_LENGTH_MAX] if isinstance(said, str) else "asked"
        leave(run, enrollment, reason, {"by": event.data.get("by")})
        tell_finished(run, enrollment, reason)
    elif event.name == UPGRADE:
        to = run.journeys.programs.get((enrollment.journey, event.data.get("to", 0)))
        if to is None:
            run.decide("not_upgraded", reason="no_version", enrollment=enrollment)
        elif to.version != enrollment.version:
            upgrade(run, enrollment, to, _moves(event.data))


def _moves(data: Mapping[str, Any]) -> dict[StepId, StepId | None]:
    said = as_mapping(data.get("moves")) or {}
    return {StepId(step): StepId(to) if isinstance(to, str) else None for step, to in said.items()}
