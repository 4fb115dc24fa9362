"""Journeys that begin by a date of the contact or by its silence: one timer each, never polled.

An activity does not move the timer: when it fires too early, it is set again for what is left.
"""

import datetime as dt
from typing import Any

from chappe.events import Event
from chappe.journey import DateWatch, Program, SilenceWatch, read_path
from chappe.journey.calendar import in_year, local_instant, read_date, yearly
from chappe_orchestrator.domain.effects import Timer
from chappe_orchestrator.domain.entering import Cause, admit
from chappe_orchestrator.domain.leaving import leave
from chappe_orchestrator.domain.place import Place
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.segments import SEGMENTS, fire_segments, recheck_segments
from chappe_orchestrator.domain.state import (
    OCCURRENCES_MAX,
    WATCHES_MAX,
    Enrollment,
    Key,
    Watch,
)
from chappe_orchestrator.domain.zones import ATTRIBUTES, zone_of

DAY = dt.timedelta(days=1)


def watch(run: Run, event: Event) -> None:
    """Set, move or clear the timers that the event concerns."""
    journeys = run.journeys
    for program in journeys.by_activity.get(event.name, ()):
        _after_activity(run, program)
    if not journeys.by_attribute or event.flags.unverified:
        return
    concerned = {
        program.journey: program
        for name in event.traits
        for program in journeys.by_attribute.get(name, ())
    }
    if any(name in event.traits for name in ATTRIBUTES):
        held = run.contact.profile.watches
        concerned |= {name: journeys.watching[name] for name in held if name in journeys.watching}
    for program in concerned.values():
        _look_at_date(run, program, may_enter=not event.flags.historical)


def recheck(run: Run, journey: str) -> None:
    """A journey was published: set the timer it wants. Nobody enters for what is long past.

    Or segments were written: look whether the contact is in them.
    """
    if journey == SEGMENTS:
        recheck_segments(run, tell=False)
        return
    program = run.journeys.watching.get(journey)
    if program is None:
        _forget(run, journey)
    elif isinstance(program.watch, SilenceWatch):
        _after_activity(run, program)
    else:
        _look_at_date(run, program, may_enter=True)


def look_again(run: Run) -> None:
    """Recheck everything, for a contact that nobody looked at for a while."""
    for journey in run.journeys.watching:
        recheck(run, journey)
    recheck(run, SEGMENTS)


def fire_watch(run: Run, timer: Timer) -> None:
    """The instant has come: enter, or find that it is another one by now."""
    journey = timer.subject.partition("/")[2]
    if journey == SEGMENTS:
        fire_segments(run, timer)
        return
    held = run.contact.profile.watches.get(journey)
    if held is None or held.token != timer.token or held.due_at is None:
        return
    run.take_up(f"{timer.subject}:{timer.token}", None)
    run.timer_due = timer.due_at
    run.effects.profile_changed = True
    held.due_at = None
    program = run.journeys.watching.get(journey)
    if program is None:
        del run.contact.profile.watches[journey]
    elif isinstance(program.watch, SilenceWatch):
        _silence_over(run, program, program.watch, held)
    else:
        _look_at_date(run, program, may_enter=True, fired=True)


# -- silence ------------------------------------------------------------------------------------


def _after_activity(run: Run, program: Program) -> None:
    """Somebody did it: watch from now on. A timer that stands already is moved when it fires."""
    rule = program.watch
    if not isinstance(rule, SilenceWatch):
        return
    held = run.contact.profile.watches.get(program.journey)
    if held is not None and held.due_at is not None:
        return
    last = _last_activity(run, rule)
    if last is not None and last + rule.quiet_for > run.now:
        _arm(run, program, last + rule.quiet_for, last.date().isoformat())


def _silence_over(run: Run, program: Program, rule: SilenceWatch, held: Watch) -> None:
    last = _last_activity(run, rule)
    if last is None:
        return
    due_at = last + rule.quiet_for
    if due_at > run.known_until:
        _arm(run, program, due_at, last.date().isoformat())
        return
    seen = {"last": last.isoformat()}
    cause = Cause(
        id=run.cause, data=dict(seen), heard_at=run.now, place=Place(program.start, due_at)
    )
    _enter_occurrence(run, program, cause, last.date().isoformat(), held)


def _last_activity(run: Run, rule: SilenceWatch) -> dt.datetime | None:
    counters = run.contact.profile.counters
    return max((counters[name].last for name in rule.events if name in counters), default=None)


# -- dates --------------------------------------------------------------------------------------


def _look_at_date(run: Run, program: Program, *, may_enter: bool, fired: bool = False) -> None:
    """Find the occurrence that matters now: wait for it, enter it late, or let it be."""
    rule = program.watch
    if not isinstance(rule, DateWatch):
        return
    held = run.contact.profile.watches.get(program.journey)
    value = read_path(run.known({}), rule.rule.path)
    found = _occurrence(run, rule, value, held)
    if found is None:
        _leave_those_without(run, program, value)
        run.disarm_watch(program.journey)
        return
    day, instant = found
    _follow(run, program, day, instant, held)
    held = run.contact.profile.watches.get(program.journey)
    if held is not None and day in held.entered:
        run.disarm_watch(program.journey)
        return
    if instant > run.known_until:
        if held is None or (held.due_at, held.for_) != (instant, day):
            _arm(run, program, instant, day)
        return
    run.disarm_watch(program.journey)
    held = held or _new_watch(run, program)
    if held is None:
        return
    if may_enter:
        place = Place(program.start, instant, inserting=not fired)
        cause = Cause(id=run.cause, data={"date": day}, heard_at=run.now, place=place)
        _enter_occurrence(run, program, cause, day, held)
    else:
        _note(run, held, day)
    if rule.every_year:
        _look_at_date(run, program, may_enter=False)


def _occurrence(
    run: Run, rule: DateWatch, value: Any, held: Watch | None
) -> tuple[str, dt.datetime] | None:
    """The first occurrence not over yet, by its local day, and the instant it begins the journey.

    One is over when both its own day and that instant lie behind.
    """
    zone = zone_of(run, None)
    if not rule.every_year:
        said, instant = read_date(value, zone), rule.rule.instant(value, zone)
        if said is None or instant is None:
            return None
        day = said.astimezone(zone).date() if isinstance(said, dt.datetime) else said
        over = local_instant(day + DAY, dt.time(), zone) <= run.now and instant < run.now
        fires_now = held is not None and held.for_ == _named(value, day)
        return None if over and not fires_now else (_named(value, day), instant)
    born = yearly(value, zone)
    if born is None:
        return None
    entered = held.entered if held else []
    first = run.now.astimezone(zone).year - 1
    for year in range(first, first + 4):
        day = in_year(year, *born)
        instant = rule.rule.instant(day.isoformat(), zone)
        end = local_instant(day + DAY, dt.time(), zone)
        if instant is None or day.isoformat() in entered:
            continue
        # One whose instant has only just come is not over, though its day may be.
        pending = held is not None and held.for_ == day.isoformat()
        if end > run.now or instant >= run.now or pending:
            return day.isoformat(), instant
    return None


def _named(value: Any, day: dt.date) -> str:
    """An occurrence's name: its day, with the time of day where one was said."""
    return str(value)[:40] if isinstance(value, str) and "T" in value else day.isoformat()


def _follow(run: Run, program: Program, day: str, instant: dt.datetime, held: Watch | None) -> None:
    """Those inside for another date: the wait moves with a small change; a new round begins anew.

    It is a new round when the journey's first instant for the new date is still to come.
    """
    rule = program.watch
    if not isinstance(rule, DateWatch) or rule.every_year or held is None:
        return
    inside = [one for one in run.active(program.journey) if one.key != day]
    if not inside or day in held.entered:
        return
    if instant > run.now:
        for enrollment in inside:
            leave(run, enrollment, "date_moved", {"date": day})
        return
    for enrollment in inside:
        _rename(run, enrollment, day)
    _note(run, held, day)


def _rename(run: Run, enrollment: Enrollment, day: str) -> None:
    if day not in enrollment.aliases:
        enrollment.aliases.append(day)
        run.changed(enrollment)
    mark = run.mark(Key(enrollment.journey, day))
    mark.entered_at, mark.enrollment = enrollment.entered_at, enrollment.id


def _leave_those_without(run: Run, program: Program, value: Any) -> None:
    """The date was taken away: whoever is inside because of it leaves."""
    if value is not None:
        return
    for enrollment in run.active(program.journey):
        leave(run, enrollment, "date_cancelled", {})


# -- the timer ----------------------------------------------------------------------------------


def _enter_occurrence(
    run: Run, program: Program, cause: Cause, occurrence: str, held: Watch
) -> None:
    """Enter for one occurrence, at most once."""
    if occurrence in held.entered:
        run.decide("not_entered", reason="already_entered", program=program)
        return
    _note(run, held, occurrence)
    if program.journey in run.journeys.paused:
        run.decide("not_entered", reason="paused", program=program, seen={"for": occurrence})
        return
    once = program.entry.again in ("once_per_key", "never")
    keys = [occurrence if once else str(run.contact.id)]
    rule = program.watch
    admit(run, program, cause, keys, [rule.where if rule else None])


def _note(run: Run, held: Watch, occurrence: str) -> None:
    run.effects.profile_changed = True
    held.entered.append(occurrence)
    del held.entered[:-OCCURRENCES_MAX]


def _new_watch(run: Run, program: Program) -> Watch | None:
    watches = run.contact.profile.watches
    if program.journey not in watches and len(watches) >= WATCHES_MAX:
        run.decide("not_entered", reason="too_many_watches", program=program)
        return None
    run.effects.profile_changed = True
    return watches.setdefault(program.journey, Watch())


def _arm(run: Run, program: Program, due_at: dt.datetime, occurrence: str) -> None:
    if _new_watch(run, program) is not None:
        run.arm_watch(program.journey, due_at, occurrence)


def _forget(run: Run, journey: str) -> None:
    run.disarm_watch(journey)
    if run.contact.profile.watches.pop(journey, None) is not None:
        run.effects.profile_changed = True
