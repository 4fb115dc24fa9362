"""Who enters a journey: triggers, filters, keys, and whether again."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from chappe.events import Event
from chappe.ids import EnrollmentId, EventId, derived
from chappe.journey import Check, Program
from chappe_orchestrator.domain.asking import bounded, is_held_out, plain_only
from chappe_orchestrator.domain.journeys import ANY_KEY, Heeds, entry_keys, heeding
from chappe_orchestrator.domain.leaving import leave
from chappe_orchestrator.domain.place import Place
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import (
    ACTIVE_MAX,
    ALIASES_MAX,
    WATCHED_MAX,
    Enrollment,
    Key,
)
from chappe_orchestrator.domain.waiting import begin_anew
from chappe_orchestrator.domain.walking import move_date, tell_started, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What brings somebody in: an event, or an instant that a date or a silence has told."""

    id: str
    data: dict[str, Any]
    heard_at: dt.datetime
    place: Place
    source: str | None = None
    test: bool = False
    unverified: bool = False


def enter(run: Run, event: Event) -> None:
    """Bring the contact into every journey that the event triggers."""
    heeded = heeding(event, run.journeys)
    if event.name == "journey.requested" and not heeded:
        asked = {name: event.data.get(name) for name in ("journey", "by")}
        run.decide("not_entered", reason="no_request", program=_asked(run, event), seen=asked)
    for heeds in heeded:
        program = heeds.program
        keys = entry_keys(program, event)
        reason, seen = _event_refusal(run, heeds, event)
        if reason is None:
            cause = Cause(
                id=event.id,
                data=event.data,
                heard_at=event.occurred_at,
                place=Place(heeds.trigger.start, event.received_at),
                source=event.source,
                test=event.flags.test,
                unverified=event.flags.unverified,
            )
            admit(run, program, cause, keys, [heeds.trigger.where])
        else:
            run.decide("not_entered", reason=reason, program=program, seen=seen)


def _asked(run: Run, event: Event) -> Program | None:
    """The journey that a request is for; None when it takes none of anybody."""
    heard = run.journeys.by_trigger.get(f"{event.name}={event.data.get('journey')}", ())
    return next((one.program for one in heard), None)


def _event_refusal(run: Run, heeds: Heeds, event: Event) -> tuple[str | None, dict[str, object]]:
    if event.flags.historical:
        return "historical", {"occurred_at": event.occurred_at.isoformat()}
    if event.flags.unverified and not heeds.trigger.unverified:
        return "unverified", {}
    if event.data.get("completed") is True:
        return "completed", {}
    if heeds.program.journey in run.journeys.paused:
        return "paused", {}
    return None, {}


def admit(
    run: Run, program: Program, cause: Cause, keys: list[str], where: list[Check | None]
) -> bool:
    """Let the contact in, or say why not."""
    reason, seen = _refusal(run, program, cause, keys, where)
    if reason is not None:
        run.decide("not_entered", reason=reason, program=program, seen=seen)
        return False
    _begin(run, program, cause, keys, seen)
    return True


def _refusal(
    run: Run, program: Program, cause: Cause, keys: list[str], where: list[Check | None]
) -> tuple[str | None, dict[str, object]]:
    """Why the contact does not enter, with the values seen."""
    rules = program.entry
    if rules.starts is not None and run.now < rules.starts:
        return "not_started", {"starts": rules.starts.isoformat()}
    ends = [at for at in (rules.ends, program.ends_at) if at is not None]
    if ends and run.now >= min(ends):
        return "ended", {"ended": min(ends).isoformat()}
    facts = run.known(cause.data)
    seen: dict[str, object] = {}
    for name, check in (*(("where", one) for one in where), ("filter", rules.filter)):
        if check is not None:
            seen.update(check.seen(facts))
            if not check.holds(facts):
                return name, seen
    if not keys:
        return "no_key", {"paths": list(rules.key)}
    reason = _known_key(run, program, cause, keys)
    if reason is not None:
        return reason, {"keys": keys}
    return _too_many(run, program, {**seen, "keys": keys})


def _too_many(
    run: Run, program: Program, seen: dict[str, object]
) -> tuple[str | None, dict[str, object]]:
    rules = program.entry
    if not rules.newest_only and len(run.active()) >= ACTIVE_MAX:
        return "too_many", {"active": ACTIVE_MAX}
    if rules.at_most is not None and not rules.newest_only:
        inside = len(run.active(program.journey))
        if inside >= rules.at_most:
            return "too_many_at_once", {"active": inside, "at_most": rules.at_most}
    return None, seen


def _known_key(run: Run, program: Program, cause: Cause, keys: list[str]) -> str | None:
    rules = program.entry
    lasting = rules.again in ("once_per_key", "never")
    for value in keys:
        mark = run.known_mark(Key(program.journey, value))
        if mark is None:
            continue
        if mark.closed_at and (lasting or mark.closed_at + rules.closed_for > run.now):
            return "closed_key"
        if mark.entered_at is None:
            continue
        if rules.again == "once_per_key":
            _met_again(run, mark.enrollment, cause, keys)
            return "already_entered"
        if rules.cooldown is not None and mark.entered_at + rules.cooldown > run.now:
            return "cooldown"
    if rules.again == "never" and run.known_mark(Key(program.journey, ANY_KEY)) is not None:
        return "already_entered"
    return None


def _met_again(run: Run, entered: EnrollmentId | None, cause: Cause, keys: list[str]) -> None:
    """The trigger came again for a key: learn its names, follow its date, restart a wait."""
    enrollment = run.contact.enrollments.get(entered) if entered else None
    if enrollment is None or enrollment.status != "active":
        return
    program = run.program(enrollment)
    for value in keys:
        if value in enrollment.aliases or len(enrollment.aliases) >= ALIASES_MAX:
            continue
        enrollment.aliases.append(value)
        run.changed(enrollment)
        mark = run.mark(Key(enrollment.journey, value))
        mark.entered_at = mark.entered_at or enrollment.entered_at
        mark.enrollment = enrollment.id
    if program is None or (cause.unverified and not enrollment.unverified):
        return
    is_newer = enrollment.heard_at is None or cause.heard_at >= enrollment.heard_at
    if is_newer and not program.event_dates.isdisjoint(cause.data):
        enrollment.event = _kept(cause)
        enrollment.heard_at = cause.heard_at
        run.changed(enrollment)
        move_date(run, program, enrollment)
    if enrollment.status == "active":
        begin_anew(run, program, enrollment)


def _begin(
    run: Run, program: Program, cause: Cause, keys: list[str], seen: dict[str, object]
) -> None:
    contact, rules = run.contact, program.entry
    identity = [contact.workspace, contact.id, program.journey]
    if rules.again != "never":
        identity.append(keys[0])
    if rules.again in ("always", "cooldown"):
        identity.append(cause.id)
    enrollment = Enrollment(
        id=EnrollmentId(derived("en_", *identity)),
        journey=program.journey,
        version=program.version,
        key=keys[0],
        aliases=keys[:ALIASES_MAX],
        entered_at=run.now,
        entered_by=EventId(cause.id),
        event=_kept(cause),
        counts={
            name: counter.total
            for name in program.since_entry
            if (counter := contact.profile.counters.get(name))
        },
        test=cause.test,
        goal_until=run.now + program.goal.within if program.goal else None,
        heard_at=cause.heard_at,
        source=cause.source,
        holdout=is_held_out(run, program),
        unverified=cause.unverified,
    )
    if rules.newest_only:
        for older in run.active(program.journey):
            leave(run, older, "newer_cart", {"key": older.key, "newer": enrollment.key})
    _watch_fewer(run, program)
    contact.enrollments[enrollment.id] = enrollment
    for value in [*enrollment.aliases, *([ANY_KEY] if rules.again == "never" else [])]:
        mark = run.mark(Key(program.journey, value))
        mark.entered_at = run.now
        mark.enrollment = enrollment.id
    run.changed(enrollment)
    held_out = {"holdout": True} if enrollment.holdout else {}
    run.decide("entered", enrollment=enrollment, seen={"key": enrollment.key, **seen, **held_out})
    tell_started(run, enrollment)
    walk(run, program, enrollment, cause.place)


def _kept(cause: Cause) -> dict[str, Any]:
    """The event as the enrollment carries it along."""
    data = bounded(cause.data)
    return plain_only(data) if cause.unverified else data


def _watch_fewer(run: Run, program: Program) -> None:
    """Of those that have ended, only the last few are still watched for their goal."""
    watched = [
        one
        for one in run.contact.enrollments.values()
        if one.journey == program.journey and one.status == "finished" and one.goal_until
    ]
    for older in watched[: -WATCHED_MAX or None]:
        older.goal_until = None
        run.changed(older)
