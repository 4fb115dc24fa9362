"""Who enters a journey: triggers, filters, keys, and whether again."""

from chappe.events import Event
from chappe.ids import EnrollmentId, derived
from chappe.journey import Program
from chappe_orchestrator.domain.asking import bounded
from chappe_orchestrator.domain.facts import Known
from chappe_orchestrator.domain.journeys import ANY_KEY, entry_keys
from chappe_orchestrator.domain.leaving import leave
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import (
    ACTIVE_MAX,
    ALIASES_MAX,
    WATCHED_MAX,
    Enrollment,
    Key,
)
from chappe_orchestrator.domain.walking import walk


def enter(run: Run, event: Event) -> None:
    """Bring the contact into every journey that the event triggers."""
    for program in run.journeys.by_trigger.get(event.name, ()):
        facts = Known(run.contact.profile, event.data, now=run.now)
        keys = entry_keys(program, event)
        reason, seen = _refusal(run, program, event, facts, keys)
        if reason is not None:
            run.decide("not_entered", reason=reason, program=program, seen=seen)
        else:
            _begin(run, program, event, keys, seen)


def _refusal(
    run: Run, program: Program, event: Event, facts: Known, keys: list[str]
) -> tuple[str | None, dict[str, object]]:
    """Why the contact does not enter, with the values seen."""
    if event.flags.historical:
        return "historical", {"occurred_at": event.occurred_at.isoformat()}
    if event.flags.unverified:
        return "unverified", {}
    if event.data.get("completed") is True:
        return "completed", {}
    if program.journey in run.journeys.paused:
        return "paused", {}
    seen: dict[str, object] = {}
    for name, check in (("where", program.where), ("filter", program.entry.filter)):
        if check is not None:
            seen.update(check.seen(facts))
            if not check.holds(facts):
                return name, seen
    if not keys:
        return "no_key", {"paths": list(program.entry.key)}
    reason = _known_key(run, program, keys)
    if reason is None and not program.entry.newest_only and len(run.active()) >= ACTIVE_MAX:
        return "too_many", {"active": ACTIVE_MAX}
    return reason, {"keys": keys}


def _known_key(run: Run, program: Program, keys: list[str]) -> str | None:
    rules = program.entry
    lasting = rules.again in ("once_per_key", "never")
    for value in keys:
        mark = run.contact.keys.get(Key(program.journey, value))
        if mark is None:
            continue
        if mark.closed_at and (lasting or mark.closed_at + rules.closed_for > run.now):
            return "closed_key"
        if mark.entered_at is None:
            continue
        if rules.again == "once_per_key":
            _learn_aliases(run, program, mark.enrollment, keys)
            return "already_entered"
        if rules.cooldown is not None and mark.entered_at + rules.cooldown > run.now:
            return "cooldown"
    if rules.again == "never" and Key(program.journey, ANY_KEY) in run.contact.keys:
        return "already_entered"
    return None


def _learn_aliases(
    run: Run, program: Program, entered: EnrollmentId | None, keys: list[str]
) -> None:
    """A cart met again may name itself by a token that we did not know."""
    enrollment = run.contact.enrollments.get(entered) if entered else None
    if enrollment is None or enrollment.status != "active":
        return
    for value in keys:
        if value in enrollment.aliases or len(enrollment.aliases) >= ALIASES_MAX:
            continue
        enrollment.aliases.append(value)
        run.changed(enrollment)
        mark = run.mark(Key(program.journey, value))
        mark.entered_at = mark.entered_at or enrollment.entered_at
        mark.enrollment = enrollment.id


def _begin(
    run: Run, program: Program, event: Event, keys: list[str], seen: dict[str, object]
) -> None:
    contact, rules = run.contact, program.entry
    identity = [contact.workspace, contact.id, program.journey]
    if rules.again != "never":
        identity.append(keys[0])
    if rules.again in ("always", "cooldown"):
        identity.append(event.id)
    enrollment = Enrollment(
        id=EnrollmentId(derived("en_", *identity)),
        journey=program.journey,
        version=program.version,
        key=keys[0],
        aliases=keys[:ALIASES_MAX],
        entered_at=run.now,
        entered_by=event.id,
        event=bounded(event.data),
        counts={
            name: counter.total
            for name in program.since_entry
            if (counter := contact.profile.counters.get(name))
        },
        test=event.flags.test,
        goal_until=run.now + program.goal.within if program.goal else None,
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
    run.decide("entered", enrollment=enrollment, seen={"key": enrollment.key, **seen})
    walk(run, program, enrollment, program.start, event.received_at)


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
