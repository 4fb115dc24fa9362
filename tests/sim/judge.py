"""What must hold when a world has come to rest, whatever happened in it."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from chappe.events import (
    EVENTS,
    EVENTS_BULK,
    JOURNAL,
    SENDS,
    Command,
    Decision,
    Event,
    Send,
    decode_journal,
)
from chappe.events.streams import Stream
from chappe.shards import unwrap
from chappe.shards.rules import is_new
from chappe_orchestrator.domain import Enrollment
from chappe_orchestrator.domain.profile import Profile, read_profile
from tests.sim.database import Database
from tests.sim.faults import START
from tests.sim.journeys import QUIET_SECONDS, STEPS
from tests.sim.log import Log
from tests.sim.script import PEOPLE, Script
from tests.sim.store import read_enrollment

QUIET = dt.timedelta(seconds=QUIET_SECONDS)
WATCH = 2

_command = msgspec.json.Decoder(Command).decode


@dataclass
class Past:
    """What was planned, and what came of it."""

    script: Script
    log: Log
    database: Database

    def read(self, stream: Stream) -> list[tuple[dt.datetime, bytes]]:
        """A stream as any reader applies it: what is not newer from its producer's shard is
        dropped.
        """
        found: list[tuple[dt.datetime, bytes]] = []
        for partition in range(self.log.partitions):
            seen: dict[tuple[Any, ...], int] = {}
            for at, record in self.log.records[stream, partition]:
                stamp, body = unwrap(record.value)
                if stamp is not None:
                    if not is_new(seen.get(stamp[:3]), stamp.seq):
                        continue
                    seen[stamp[:3]] = stamp.seq
                found.append((at, body))
        return found

    @cached_property
    def sends(self) -> list[Send]:
        commands = (_command(body) for _, body in self.read(SENDS))
        return [one for one in commands if isinstance(one, Send)]

    @cached_property
    def decisions(self) -> list[Decision]:
        return [one for _, body in self.read(JOURNAL) for one in decode_journal(body).decisions]

    @cached_property
    def landed(self) -> dict[str, dt.datetime]:
        """When each event first came to the log."""
        found: dict[str, dt.datetime] = {}
        for partition in range(self.log.partitions):
            for at, record in self.log.records[EVENTS, partition]:
                event = msgspec.json.decode(unwrap(record.value)[1], type=Event)
                found.setdefault(event.id, min(at, found.get(event.id, at)))
        return found

    @cached_property
    def enrollments(self) -> list[tuple[str, Enrollment]]:
        return [
            (who[1], read_enrollment(doc))
            for who, held in self.database.enrollments.items()
            for doc in held.values()
        ]

    @cached_property
    def profiles(self) -> dict[str, Profile]:
        return {who[1]: read_profile(doc) for who, (_, doc) in self.database.profiles.items()}

    @cached_property
    def forgotten(self) -> set[str]:
        """The erased, with whom they were one."""
        if self.script.erased is None:
            return set()
        merged = set(self.script.merged or ())
        return (
            merged | {self.script.erased} if self.script.erased in merged else {self.script.erased}
        )

    @cached_property
    def settled(self) -> list[str]:
        """Who was never merged or erased."""
        apart = {*(self.script.merged or ()), *self.forgotten}
        return [one for one in PEOPLE if one not in apart]

    def said(self, name: str, contact: str) -> list[Event]:
        return [
            one.event
            for one in self.script.said
            if one.event.name == name and one.event.contact == contact
        ]


def judge(past: Past) -> list[str]:
    """Everything that is wrong with it."""
    return [
        *_asked_once(past),
        *_carts_complete(past),
        *_facts_counted(past),
        *_notes_in_order(past),
        *_silence_heard(past),
        *_dates_kept(past),
        *_erased(past),
        *_nothing_armed(past),
        *_nothing_left(past),
        *_counts_right(past),
        *_decided_in_order(past),
        *_events_before_timers(past),
    ]


# -- nothing twice, nothing lost ------------------------------------------------------------------


def _asked_once(past: Past) -> Iterable[str]:
    asked = Counter(str(send.message) for send in past.sends)
    # No journey here comes to a step twice.
    asked += Counter(f"{send.enrollment} at {send.step}" for send in past.sends)
    for message, times in asked.items():
        if times > 1:
            yield f"message {message} was asked for {times} times"


def _carts_complete(past: Past) -> Iterable[str]:
    sent: defaultdict[str, list[str]] = defaultdict(list)
    for send in past.sends:
        if send.journey == "cart":
            sent[send.snapshot.event["k"]].append(send.step)
    inside = {one.key: one for _, one in past.enrollments if one.journey == "cart"}
    turned_away = {
        one.event
        for one in past.decisions
        if (one.what, one.reason, one.journey) == ("not_entered", "paused", "cart")
    }
    for key, contact in past.script.keys.items():
        if key in past.script.stopped or contact in past.forgotten:
            continue
        if key in inside:
            if sorted(sent[key]) != STEPS[inside[key].version]:
                yield f"key {key} of version {inside[key].version} was sent {sorted(sent[key])}"
        else:
            triggers = {e.id for e in past.said("custom.a", contact) if e.data["k"] == key}
            if not triggers <= turned_away:
                yield f"key {key} never entered"


def _facts_counted(past: Past) -> Iterable[str]:
    """Every fact told of whom we know is counted once, wherever it came to rest."""
    kept = [one for one in PEOPLE if one not in past.forgotten]
    for name in ("custom.a", "custom.stop", "custom.note"):
        counters = [one.counters.get(name) for who, one in past.profiles.items() if who in kept]
        counted = sum(one.total for one in counters if one is not None)
        told = sum(len(past.said(name, who)) for who in kept)
        if counted != told:
            yield f"{told} facts {name} were told, {counted} were counted"
    if past.database.letters:
        yield f"dead letters: {past.database.letters}"


def _notes_in_order(past: Past) -> Iterable[str]:
    """A contact's facts are applied in the log's order, also those that waited while it was
    parked.
    """
    heard: defaultdict[str, list[int]] = defaultdict(list)
    for send in past.sends:
        if send.journey == "notes":
            heard[send.contact].append(send.snapshot.event["n"])
    for contact in PEOPLE:
        if contact in past.forgotten or contact in (past.script.merged or ()):
            continue
        told = [event.data["n"] for event in past.said("custom.note", contact)]
        if heard[contact] != told:
            yield f"{contact} was told {told} and heard {heard[contact]}"


# -- watches --------------------------------------------------------------------------------------


def _silence_heard(past: Past) -> Iterable[str]:
    applied = {one.event: one.at for one in past.decisions if one.journey == "cart"}
    for contact in past.settled:
        if contact == past.script.poisoned:
            continue  # What it did may have been heard when its silence was long over.
        facts = [event.id for event in past.said("custom.a", contact)]
        if lost := [one for one in facts if one not in applied]:
            yield f"nobody has decided about {lost} of {contact}"
        found = [e for who, e in past.enrollments if who == contact and e.journey == "silent"]
        times = sorted(past.landed[one] for one in facts)
        for one in found:
            last = dt.datetime.fromisoformat(one.event["last"])
            if any(last < at < last + QUIET for at in times):
                yield f"{contact} was called silent after {last}, and was not"
        # All of it happens on one day, and one silence a day is enough.
        published = START + dt.timedelta(seconds=past.script.watching_from)
        watched = [
            one
            for one in facts
            if past.landed[one] > published
            and (heard := applied.get(one)) is not None
            and heard < past.landed[one] + QUIET
        ]
        if len(found) > 1 or (watched and not found):
            yield f"{contact} was silent, and entered {len(found)} times"


def _dates_kept(past: Past) -> Iterable[str]:
    for contact in past.settled:
        told = [
            (past.landed[event.id], event.traits["day"])
            for event in past.said("contact.updated", contact)
            if "day" in event.traits
        ]
        entered = [
            (one.seen["key"], one.event)
            for one in past.decisions
            if (one.what, one.journey, one.contact) == ("entered", "dates", contact)
        ]
        mails = Counter(
            one.snapshot.event["date"]
            for one in past.sends
            if one.journey == "dates" and one.contact == contact
        )
        for number, (_, day) in enumerate(told):
            later = [at for at, other in told[number + 1 :] if other != day]
            if not later and mails[day] != 1:
                yield f"{contact} waited for {day} and was written to {mails[day]} times"
            if later and later[0] < dt.datetime.fromisoformat(day) and (day, None) in entered:
                yield f"{contact} was woken for {day}, which had been moved"


# -- nothing left ---------------------------------------------------------------------------------


def _erased(past: Past) -> Iterable[str]:
    database = past.database
    gone = {who[1]: into for who, (_, into) in database.gone.items()}
    at = past.script.erased
    while at is not None:
        if at not in gone:
            yield f"{at} is still there"
            return
        at = gone[at]
    for name, into in gone.items():
        tables: tuple[Any, ...] = (database.profiles, database.enrollments, database.keys)
        if any(who[1] == name and rows for table in tables for who, rows in table.items()):
            yield f"{name}, gone into {into}, has left something"


def _nothing_armed(past: Past) -> Iterable[str]:
    database = past.database
    held = {one.id: one for _, one in past.enrollments}
    for (shard, due, kind, subject, token), contact in database.timers.items():
        if kind == WATCH:
            yield f"a watch of {subject} is due {due}"
            continue
        one = held.get(subject)
        if one is None or one.status != "active" or (shard, contact) in database.gone:
            yield f"a timer due {due} stands for an enrollment that has ended"
        elif one.token != token:
            yield f"a timer of token {token} stands beside one of {one.token}"
    for who, profile in past.profiles.items():
        for journey, watch in profile.watches.items():
            if watch.due_at is not None:
                yield f"{who} waits for {journey} since {watch.due_at}"


def _nothing_left(past: Past) -> Iterable[str]:
    database = past.database
    for _, one in past.enrollments:
        if one.status == "active":
            yield f"{one.key} never ended: {'held' if one.held else one.step}"
    if database.parked:
        yield f"parked: {database.parked}"
    if waiting := {who: len(rows) for who, rows in database.waiting.items() if rows}:
        yield f"waiting for nobody: {waiting}"
    for stream in (EVENTS, EVENTS_BULK):
        for shard, lease in enumerate(database.leases):
            behind = len(past.log.records[stream, shard])
            at = msgspec.json.decode(lease.next_offsets).get(stream, 0)
            if at != behind:
                yield f"shard {shard} stands at {at} of {behind} in {stream}"


def _counts_right(past: Past) -> Iterable[str]:
    there = Counter((e.journey, e.version, e.status, e.reason) for _, e in past.enrollments)
    kept = Counter({key: people for key, people in past.database.people.items() if people})
    if past.script.erased is not None:
        # They are counted still, though nobody knows any more who they were.
        there = Counter({key: n for key, n in there.items() if key[2] == "active"})
        kept = Counter({key: n for key, n in kept.items() if key[2] == "active"})
    if there != kept:
        yield f"counted {dict(kept)}, there are {dict(there)}"
    if held := {key: n for key, n in past.database.held.items() if n}:
        yield f"counted as held: {held}"


# -- order ----------------------------------------------------------------------------------------


def _decided_in_order(past: Past) -> Iterable[str]:
    """Of each enrollment: nothing is asked after it was left, and no wait ends before its time."""
    decisions: defaultdict[str, list[Decision]] = defaultdict(list)
    for one in past.decisions:
        if one.enrollment is not None:
            decisions[one.enrollment].append(one)
    for name, said in decisions.items():
        ended, until = False, START
        # Of two shards, after a merge: by the clock, each shard's own order kept.
        for one in sorted(said, key=lambda each: each.at):
            if one.what == "asked" and ended:
                yield f"{name}: asked for {one.step} after it was left"
            if one.what in ("waiting", "restarted", "wait_changed"):
                until = dt.datetime.fromisoformat(one.seen["until"])
            if one.what == "wait_over" and one.reason == "time" and one.at < until:
                yield f"{name}: the wait {one.step} was over at {one.at}, not at {until}"
            ended = ended or one.what in ("exited", "finished")


def _events_before_timers(past: Past) -> Iterable[str]:
    """What was in the log before a mail was due has been heard when it is asked for."""
    closed: dict[str, dt.datetime] = {}
    for contact in PEOPLE:
        for event in past.said("custom.stop", contact):
            closed.setdefault(event.data["k"], past.landed[event.id])
    for send in past.sends:
        if send.journey != "cart" or send.contact in (past.script.merged or ()):
            continue
        stopped = closed.get(send.snapshot.event["k"])
        if stopped is not None and stopped < send.due_at:
            yield f"{send.step} was asked for at {send.asked_at}, its key closed at {stopped}"
