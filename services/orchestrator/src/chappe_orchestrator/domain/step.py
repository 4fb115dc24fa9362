"""The heart: what was, what came, what time it is; out come what is now, and what to do.

No I/O, no clock, no randomness: the orchestrator, a simulation and a journey's own tests all
call this one function.
"""

import datetime as dt
from collections.abc import Sequence

from chappe.events import Event
from chappe.journey import as_mapping
from chappe_orchestrator.domain.acting import tell_tags
from chappe_orchestrator.domain.cadence import release
from chappe_orchestrator.domain.effects import WATCH, Effects, Input, Recheck, Timer
from chappe_orchestrator.domain.entering import enter
from chappe_orchestrator.domain.facts import Pasts
from chappe_orchestrator.domain.hearing import hear, is_repeat, message_of
from chappe_orchestrator.domain.journeys import Journeys
from chappe_orchestrator.domain.leaving import exit_on, reach_goals
from chappe_orchestrator.domain.merging import TRANSFERRED, absorb
from chappe_orchestrator.domain.orders import ORDERS, obey
from chappe_orchestrator.domain.remembering import remember
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.segments import move_segments, recheck_segments
from chappe_orchestrator.domain.state import RESPONSES_MAX, Contact
from chappe_orchestrator.domain.walking import answer_waits, fire, leave_by_rules, move_dates
from chappe_orchestrator.domain.watching import fire_watch, recheck, watch

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
    state: Contact,
    inputs: Sequence[Input],
    *,
    now: dt.datetime,
    journeys: Journeys,
    heard_until: dt.datetime | None = None,
    read_until: dt.datetime | None = None,
    pasts: Pasts | None = None,
) -> tuple[Contact, Effects]:
    """Apply ``inputs`` to one contact in their order: events as the log has them, then timers.

    ``heard_until``: after an outage, up to when what was received has surely been heard; marketing
    mail of later timers waits. None otherwise.
    ``read_until``: up to when the log has been read, where time itself is the input: all that
    happened before is in ``state`` or ``inputs``. None: until now.
    ``pasts``: what the history answers; ``HistoryWantedError`` says what else must be asked, and
    the step is then taken again from the state as it was read.
    The state is handed over: the one returned is the same, moved on. Otherwise raises only when a
    journey or the state is broken; nothing that an event contains makes it raise.
    """
    run = Run(contact=state, journeys=journeys, now=now, known_until=now, heard_until=heard_until)
    if pasts is not None:
        run.pasts = pasts
    for one in inputs:
        run.known_until = now if isinstance(one, Event) else min(now, read_until or now)
        if isinstance(one, Timer):
            (fire_watch if one.kind == WATCH else fire)(run, one)
        elif isinstance(one, Recheck):
            run.take_up(f"{state.id}/{one.journey}:recheck:{now.isoformat()}", None)
            recheck(run, one.journey)
        else:
            _hear_from_outside(run, one)
        _apply_what_follows(run)
    return state, run.effects


def _hear_from_outside(run: Run, event: Event) -> None:
    """One fact from the log. What we derived ourselves was applied when it was derived."""
    if event.flags.derived or is_repeat(run.contact.profile, event):
        return
    run.take_up(event.id, event)
    if event.name in ORDERS:
        obey(run, event)
        return
    run.effects.profile_changed = True
    if event.flags.test and not _is_test_recipient(run, event):
        run.decide("stopped", reason="test_event", seen={"name": event.name})
        return
    if event.name == TRANSFERRED:
        absorb(run, event)
        for journey in run.journeys.watching:
            recheck(run, journey)
        recheck_segments(run, tell=True)
        return
    _apply(run, event)


def _apply_what_follows(run: Run) -> None:
    """The facts that the input led to, and those that they lead to, to a bounded depth.

    What follows from a timer is a timer's work, and waits after an outage as that does.
    """
    timer_due = run.timer_due
    while run.pending:
        event, depth = run.pending.popleft()
        run.take_up(event.id, event)
        run.timer_due = timer_due
        run.depth = depth
        _apply(run, event)


def _apply(run: Run, event: Event) -> None:
    """One fact. Exits come before entries: an order ends a cart before it starts anything."""
    run.effects.profile_changed = True
    profile = run.contact.profile
    tags = list(profile.tags) if "tags" in event.traits else None
    hear(profile, event, run.now)
    remember(run, event)
    if tags is not None and profile.tags != tags:
        added = [tag for tag in profile.tags if tag not in tags]
        removed = [tag for tag in tags if tag not in profile.tags]
        tell_tags(run, added, removed, historical=event.flags.historical)
    if run.contact.enrollments:
        _learn_fate(run, event)
        reach_goals(run, event)
    exit_on(run, event)
    if event.flags.copy:
        return
    move_segments(run, event)
    if run.contact.enrollments:
        leave_by_rules(run)
        if event.traits:
            move_dates(run)
        answer_waits(run, event)
    watch(run, event)
    enter(run, event)


def _is_test_recipient(run: Run, event: Event) -> bool:
    address = event.identifier("email") or run.contact.profile.email
    return address is not None and address in run.journeys.test_recipients


def _learn_fate(run: Run, event: Event) -> None:
    """What the sender says of a message, or a server of a call."""
    if event.name == "webhook.answered":
        _learn_answer(run, event)
        return
    message = message_of(event) if event.name in _FATES else None
    if message is None:
        return
    release(run, event, message)
    for enrollment in run.contact.enrollments.values():
        for asked in enrollment.asked:
            if asked.message == message:
                # An accepted one can no longer be taken back.
                asked.state = "accepted" if _FATES[event.name] == "accepted" else "over"
                run.changed(enrollment)


def _learn_answer(run: Run, event: Event) -> None:
    """The answer of the call that is open, and of no older one."""
    for enrollment in run.contact.enrollments.values():
        for name, call in list(enrollment.calls.items()):
            if call != event.data.get("call"):
                continue
            del enrollment.calls[name]
            said = as_mapping(event.data.get("answer")) or {}
            enrollment.answers[name] = dict(said)
            while len(enrollment.answers) > RESPONSES_MAX:
                del enrollment.answers[next(iter(enrollment.answers))]
            run.changed(enrollment)
            run.decide("answered", enrollment=enrollment, step=name, seen=dict(said))
