"""One person was known as two contacts: the state of one travels to the other.

The shard of the one that goes freezes it and sends what it holds through ``events``, in parts that
are bounded; the shard of the one that stays folds them in and looks again at everything that may
have ended a journey meanwhile. Enrollments and messages keep their ids.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from chappe.events import Event, Flags, rename
from chappe.ids import ContactId, EnrollmentId, EventId, derived
from chappe.journey.history import Past
from chappe_orchestrator.domain.effects import Remembered, Timer
from chappe_orchestrator.domain.leaving import ENDS_EVERYTHING, leave
from chappe_orchestrator.domain.profile import merge
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import (
    RESERVED_MAX,
    Contact,
    Enrollment,
    Key,
    KeyMark,
    Profile,
)

MERGED = "contact.merged"
TRANSFERRED = "contact.transferred"
FORWARDED = "forwarded"
"""In ``data`` of an event that was sent on: from whom, and how often."""

HOPS_MAX = 16
"""A person merged more often within one reading has a loop; the event is not sent on."""

PART_BYTES_MAX = 256 * 1024
"""Of one record's state; a broker takes 1 MB."""

ENROLLMENTS_MOVED_MAX = 1_000
KEYS_PER_PART_MAX = 1_000

_encode = msgspec.json.Encoder(decimal_format="string").encode


class Mark(msgspec.Struct, array_like=True):
    """A key as it travels."""

    journey: str
    value: str
    entered_at: dt.datetime | None
    closed_at: dt.datetime | None
    enrollment: EnrollmentId | None


class Part(msgspec.Struct, omit_defaults=True):
    """What one record carries. ``totals`` are the event totals of the one that goes, ``history``
    the facts kept of it.
    """

    profile: Profile | None = None
    keys: list[Mark] = []
    enrollments: list[Enrollment] = []
    totals: dict[str, int] = {}
    history: list[Remembered] = []


_decode_part = msgspec.json.Decoder(Part, strict=False).decode


def merged_into(event: Event) -> ContactId | None:
    """Whom the contact of ``event`` goes into; None when it is not the one that goes."""
    if event.name != MERGED or event.data.get("from") != event.contact:
        return None
    into = event.data.get("into")
    return ContactId(into) if isinstance(into, str) and into != event.contact else None


def needs_everything(event: Event) -> bool:
    """Whether the whole contact must be at hand, not only what the journeys ask for."""
    return event.name == TRANSFERRED or merged_into(event) is not None


def forwarded(event: Event, into: ContactId) -> Event | None:
    """``event`` for the contact that its own was merged into, its id kept. None: not sent on."""
    said = event.data.get(FORWARDED)
    held = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    hops = held.get("hops", 0)
    if event.flags.derived or event.contact == into:
        return None
    if not isinstance(hops, int) or hops >= HOPS_MAX:
        return None
    note = {"from": held.get("from", event.contact), "hops": hops + 1}
    return rename(event, contact=into, data={**event.data, FORWARDED: note})


# -- the one that goes --------------------------------------------------------------------------


def transfers(
    state: Contact,
    event: Event,
    into: ContactId,
    now: dt.datetime,
    history: Iterable[Remembered] = (),
) -> list[Event]:
    """The records that carry ``state`` to ``into``, in the order in which they must be applied."""
    return [
        Event(
            id=EventId(derived("e_", event.id, TRANSFERRED, state.id, into, str(at))),
            name=TRANSFERRED,
            workspace=state.workspace,
            source=event.source,
            occurred_at=now,
            received_at=now,
            contact=into,
            data={"from": state.id, "part": at, "state": msgspec.to_builtins(part, str_keys=True)},
            flags=Flags(),
        )
        for at, part in enumerate([*_parts(state), *_history_parts(history)])
    ]


def _parts(state: Contact) -> Iterable[Part]:
    totals = {name: counter.total for name, counter in state.profile.counters.items()}
    marks = [
        Mark(key.journey, key.value, mark.entered_at, mark.closed_at, mark.enrollment)
        for key, mark in state.keys.items()
    ]
    yield Part(profile=state.profile, keys=marks[:KEYS_PER_PART_MAX])
    for start in range(KEYS_PER_PART_MAX, len(marks), KEYS_PER_PART_MAX):
        yield Part(keys=marks[start : start + KEYS_PER_PART_MAX])
    newest = sorted(state.enrollments.values(), key=_standing, reverse=True)
    part, size = Part(totals=totals), 0
    for enrollment in newest[:ENROLLMENTS_MOVED_MAX]:
        weight = len(_encode(enrollment))
        if part.enrollments and size + weight > PART_BYTES_MAX:
            yield part
            part, size = Part(totals=totals), 0
        part.enrollments.append(enrollment)
        size += weight
    if part.enrollments:
        yield part


def _history_parts(history: Iterable[Remembered]) -> Iterable[Part]:
    """Last of all: nothing that ends a journey waits behind what happened long ago."""
    part, size = Part(), 0
    for fact in history:
        weight = len(_encode(fact))
        if part.history and size + weight > PART_BYTES_MAX:
            yield part
            part, size = Part(), 0
        part.history.append(fact)
        size += weight
    if part.history:
        yield part


def _standing(enrollment: Enrollment) -> tuple[bool, dt.datetime]:
    return enrollment.status == "active", enrollment.entered_at


# -- the one that stays -------------------------------------------------------------------------


def absorb(run: Run, event: Event) -> None:
    """Take in one part. Whatever in it cannot be read is left out, and said."""
    gone = event.data.get("from")
    try:
        part = _decode_part(_encode(event.data.get("state")))
    except msgspec.MsgspecError as error:
        run.decide("stopped", reason="unreadable_transfer", seen={"error": str(error)[:200]})
        return
    was = ContactId(gone) if isinstance(gone, str) else ContactId("")
    for mark in part.keys:
        _take_key(run, mark, was)
    if part.profile is not None:
        _fold_profile(run, part.profile)
        run.decide("merged", reason="took_in", seen={"from": was})
    for enrollment in part.enrollments:
        _take_in(run, enrollment, part.totals, was)
    for fact in part.history:
        run.pasts.heard.append(Past(fact.name, fact.at, fact.data))
        run.effects.remembered.append(fact)
    if part.history:
        _look_at_what_it_did(run, [Past(one.name, one.at, one.data) for one in part.history])


def _take_key(run: Run, said: Mark, was: ContactId) -> None:
    """Closed once is closed; entered first is when it was entered."""
    value = run.contact.id if said.value == was else said.value
    mark = run.mark(Key(said.journey, value))
    mark.closed_at = _later(mark.closed_at, said.closed_at)
    if said.entered_at is not None and (
        mark.entered_at is None or said.entered_at < mark.entered_at
    ):
        mark.entered_at = said.entered_at
        mark.enrollment = said.enrollment


def _fold_profile(run: Run, other: Profile) -> None:
    """The newer of the two says what both say; consent falls to the more careful of the two."""
    mine = run.contact.profile
    merge(mine, other)
    reserved = {one.message: one for one in [*other.reserved, *mine.reserved]}
    mine.reserved = sorted(reserved.values(), key=lambda one: one.at)[-RESERVED_MAX:]
    run.effects.profile_changed = True
    totals = {name: counter.total for name, counter in other.counters.items()}
    for enrollment in run.active():
        if (reason := _ended_by(run, enrollment, other)) is not None:
            leave(run, enrollment, reason, {"merged": True})
            continue
        _recount(run, enrollment, totals)


def _look_at_what_it_did(run: Run, facts: list[Past]) -> None:
    """What the one that goes did may end what the one that stays has begun."""
    for enrollment in run.active():
        if (reason := _ended_by_facts(run, enrollment, facts)) is not None:
            leave(run, enrollment, reason, {"merged": True})


def _take_in(run: Run, moved: Enrollment, totals: Mapping[str, int], was: ContactId) -> None:
    """One enrollment of the one that goes, with its id and its messages."""
    if moved.id in run.contact.enrollments:
        return
    if moved.key == was:
        moved.key = run.contact.id
    moved.aliases = [run.contact.id if alias == was else alias for alias in moved.aliases]
    mine = run.contact.profile
    _recount(
        run,
        moved,
        {
            name: max(0, counter.total - totals.get(name, 0))
            for name, counter in mine.counters.items()
        },
    )
    rival = _rival(run, moved)
    run.contact.enrollments[moved.id] = moved
    run.changed(moved)
    run.decide("moved", enrollment=moved, step=moved.step, seen={"from": was, "key": moved.key})
    if moved.status != "active":
        if rival is not None and rival.status == "active" and _goes_on(moved, rival):
            leave(run, rival, "merged", {"with": moved.id})
        return
    due = moved.due_at
    if due is not None and not moved.held:
        # Armed before anything below may take it away: a timer that fell due meanwhile fires.
        run.effects.timers_set.append(Timer(due, moved.id, moved.token))
    reason = _closed(run, moved) or _ended_by(run, moved, mine)
    reason = reason or _ended_by_facts(run, moved, [*run.pasts.kept, *run.pasts.heard])
    if reason is None and rival is not None and not _goes_on(moved, rival):
        reason = "merged"
    if reason is not None:
        leave(run, moved, reason, {"merged": True, "key": moved.key})
    elif rival is not None and rival.status == "active":
        leave(run, rival, "merged", {"with": moved.id})


def _rival(run: Run, moved: Enrollment) -> Enrollment | None:
    """Another enrollment of the same identity (DECISIONS 3)."""
    program = run.program(moved)
    again = program.entry.again if program is not None else "once_per_key"
    if again in ("always", "cooldown"):
        return None
    keys = {moved.key, *moved.aliases}
    for other in run.contact.enrollments.values():
        if other.journey != moved.journey or other.id == moved.id:
            continue
        if again == "never" or keys & {other.key, *other.aliases}:
            return other
    return None


def _goes_on(moved: Enrollment, rival: Enrollment) -> bool:
    """The one that has sent more; on a tie the older."""
    if _sent(moved) != _sent(rival):
        return _sent(moved) > _sent(rival)
    return (moved.entered_at, moved.id) < (rival.entered_at, rival.id)


def _sent(enrollment: Enrollment) -> int:
    return sum(1 for asked in enrollment.asked if asked.state != "over")


def _closed(run: Run, moved: Enrollment) -> str | None:
    """Why its key was closed on the side where it arrives."""
    program = run.program(moved)
    if program is None:
        return None
    lasting = program.entry.again in ("once_per_key", "never")
    for value in dict.fromkeys([moved.key, *moved.aliases]):
        mark = run.contact.keys.get(Key(moved.journey, value)) or KeyMark()
        closed = mark.closed_at
        if closed is not None and (lasting or closed + program.entry.closed_for > run.now):
            return "closed_key"
    return None


def _ended_by(run: Run, enrollment: Enrollment, history: Profile) -> str | None:
    """What happened to the other of the two, after the entry, that ends every enrollment.

    Rules with ``match`` are answered by closed keys, those with ``where`` by the facts themselves.
    """
    program = run.program(enrollment)
    plain = {
        rule.event: rule.event
        for rule in (program.exits if program is not None else ())
        if not rule.match and rule.where is None
    }
    for name, reason in {**plain, **ENDS_EVERYTHING}.items():
        counter = history.counters.get(name)
        if counter is not None and counter.last > enrollment.entered_at:
            return reason
    return None


def _ended_by_facts(run: Run, enrollment: Enrollment, facts: Iterable[Past]) -> str | None:
    """The exit rule with ``where`` that one of the facts, after the entry, would have met."""
    program = run.program(enrollment)
    asking = [
        (rule.event, rule.where)
        for rule in (program.exits if program is not None else ())
        if rule.where is not None and not rule.match
    ]
    for fact in facts if asking else ():
        if fact.at <= enrollment.entered_at:
            continue
        seen = run.facts(enrollment, dict(fact.data))
        if any(name == fact.event and where.holds(seen) for name, where in asking):
            return fact.event
    return None


def _recount(run: Run, enrollment: Enrollment, added: Mapping[str, int]) -> None:
    """What the other did before is not "since the entry"."""
    program = run.program(enrollment)
    for name in program.since_entry if program is not None else ():
        if more := added.get(name, 0):
            enrollment.counts[name] = enrollment.counts.get(name, 0) + more
            run.changed(enrollment)


def _later(one: dt.datetime | None, other: dt.datetime | None) -> dt.datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)
