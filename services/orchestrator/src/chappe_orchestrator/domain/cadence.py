"""Whether now is a time to write to somebody, and whether it has not been too often."""

import datetime as dt

from chappe.events import Event, QuietTime
from chappe.ids import MessageId
from chappe.journey import CapOn, Pinned, Program, Quiet
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import RESERVED_MAX, Enrollment, Reserved
from chappe_orchestrator.domain.zones import zone_of

RELEASES = frozenset({"email.skipped", "email.cancelled", "email.failed"})
"""What the sender says of a message that reached nobody."""


def quiet_until(run: Run, program: Program, enrollment: Enrollment) -> dt.datetime | None:
    """The end of the quiet hours that hold now; None when they do not."""
    quiet = _quiet(run, program)
    return quiet.over(run.now, zone_of(run, enrollment.source)) if quiet is not None else None


def quiet_time(
    run: Run, program: Program, enrollment: Enrollment, *, skip: bool
) -> QuietTime | None:
    """The quiet hours, for whoever hands a message over later."""
    quiet = _quiet(run, program)
    if quiet is None:
        return None
    return QuietTime(
        zone=zone_of(run, enrollment.source).key,
        begin=quiet.begin,
        end=quiet.end,
        days=tuple(sorted(quiet.days)),
        skip=skip,
    )


def _quiet(run: Run, program: Program) -> Quiet | None:
    said = program.cadence.quiet
    quiet = run.journeys.policy.quiet if said is None else said
    return quiet if isinstance(quiet, Quiet) else None


def capped_until(run: Run, program: Program, topic: str | None) -> tuple[CapOn, dt.datetime] | None:
    """The cap that one more message would break, and when it no longer would."""
    latest: tuple[CapOn, dt.datetime] | None = None
    for cap in _caps(run, program):
        if cap.topic is not None and cap.topic != topic:
            continue
        since = run.now - cap.within
        times = sorted(
            one.at
            for one in run.contact.profile.reserved
            if one.at > since and cap.topic in (None, one.topic)
        )
        if len(times) < cap.most:
            continue
        free = times[-cap.most] + cap.within
        if latest is None or free > latest[1]:
            latest = cap, free
    return latest


def reserve(run: Run, pinned: Pinned, topic: str | None, message: MessageId) -> None:
    """Count a marketing message, as long as some cap could ask for it."""
    kept_for = run.journeys.keeps_asks_for
    if not pinned.marketing or not kept_for:
        return
    profile = run.contact.profile
    since = run.now - kept_for
    profile.reserved = [one for one in profile.reserved if one.at > since]
    profile.reserved.append(Reserved(message, run.now, topic))
    del profile.reserved[:-RESERVED_MAX]
    run.effects.profile_changed = True


def release(run: Run, event: Event, message: MessageId) -> None:
    """A message that reached nobody leaves its place to another."""
    if event.name in RELEASES:
        held = run.contact.profile.reserved
        run.contact.profile.reserved = [one for one in held if one.message != message]


def _caps(run: Run, program: Program) -> tuple[CapOn, ...]:
    own = program.cadence.caps
    return run.journeys.policy.caps if own is None else own
