"""The heart: what was, what came, what time it is; out come what is now, and what to do.

No I/O, no clock, no randomness: the orchestrator, a simulation and a journey's own tests all
call this one function.
"""

import datetime as dt
from collections.abc import Sequence

from chappe.events import Event
from chappe_orchestrator.domain.effects import Effects, Input, Timer
from chappe_orchestrator.domain.entering import enter
from chappe_orchestrator.domain.hearing import hear, is_repeat, message_of
from chappe_orchestrator.domain.journeys import Journeys
from chappe_orchestrator.domain.leaving import exit_on, reach_goals
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import Contact
from chappe_orchestrator.domain.walking import answer_waits, fire

_FATES = {
    "email.accepted": "accepted",
    "email.delivered": "accepted",
    "email.skipped": "over",
    "email.cancelled": "over",
    "email.failed": "over",
    "email.rejected": "over",
    "email.bounced": "over",
    "email.in_doubt": "over",
}


def step(
    state: Contact, inputs: Sequence[Input], *, now: dt.datetime, journeys: Journeys
) -> tuple[Contact, Effects]:
    """Apply ``inputs`` to one contact in their order: events as the log has them, then timers.

    The state is handed over: the one returned is the same, moved on. Raises only when a journey or
    the state is broken; nothing that an event contains makes it raise.
    """
    run = Run(contact=state, journeys=journeys, now=now)
    for one in inputs:
        if isinstance(one, Timer):
            fire(run, one)
        else:
            _apply(run, one)
    return state, run.effects


def _apply(run: Run, event: Event) -> None:
    """One fact. Exits come before entries: an order ends a cart before it starts anything."""
    if event.flags.derived or is_repeat(run.contact.profile, event):
        return
    run.effects.profile_changed = True
    run.take_up(event.id, event)
    if event.flags.test and not _is_test_recipient(run, event):
        run.decide("stopped", reason="test_event", seen={"name": event.name})
        return
    hear(run.contact.profile, event)
    if run.contact.enrollments:
        _learn_fate(run, event)
        reach_goals(run, event)
    exit_on(run, event)
    if event.flags.copy:
        return
    answer_waits(run, event)
    enter(run, event)


def _is_test_recipient(run: Run, event: Event) -> bool:
    address = event.identifier("email") or run.contact.profile.email
    return address is not None and address in run.journeys.test_recipients


def _learn_fate(run: Run, event: Event) -> None:
    """What the sender says of a message: an accepted one can no longer be taken back."""
    message = message_of(event) if event.name in _FATES else None
    if message is None:
        return
    for enrollment in run.contact.enrollments.values():
        for asked in enrollment.asked:
            if asked.message == message:
                asked.state = "accepted" if _FATES[event.name] == "accepted" else "over"
                run.changed(enrollment)
