"""The journeys of a workspace, arranged by what they listen to."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chappe.events import Event
from chappe.journey import (
    CapOn,
    DateWatch,
    JourneySettings,
    Program,
    Quiet,
    SilenceWatch,
    TriggerOn,
    as_list,
    as_mapping,
)
from chappe.journey.segments import Segment, Segments, arrange_segments
from chappe_orchestrator.domain.effects import WATCH, Input, Timer
from chappe_orchestrator.domain.state import Key

KEY_LENGTH_MAX = 200

ANY_KEY = ""
"""The value under which a journey that is entered once in a life is marked."""

TAGS_READ_MAX = 200


class Heeds(NamedTuple):
    """A journey and the trigger by which it listens."""

    program: Program
    trigger: TriggerOn


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for all journeys of a workspace: cadence, zones, holdout, winners."""

    zone: str = "UTC"
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    quiet: Quiet | None = None
    caps: tuple[CapOn, ...] = ()
    holdout: float = 0.0
    score_half_life: dt.timedelta | None = None
    winners: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])


def policy_of(settings: JourneySettings) -> Policy:
    """Settings, ready to be asked."""
    return Policy(
        zone=settings.zone,
        sources=settings.sources,
        quiet=settings.quiet_hours.quiet() if settings.quiet_hours else None,
        caps=tuple(CapOn(cap.most, cap.within, cap.topic) for cap in settings.caps),
        holdout=float(settings.holdout or 0) / 100,
        score_half_life=settings.score_half_life,
        winners=settings.winners,
    )


NO_SEGMENTS = Segments()


@dataclass(frozen=True, slots=True)
class Journeys:
    """``programs`` are all versions somebody may be inside; the rest speaks of current ones.

    An event costs what the journeys that listen to it cost: everything is found by name.
    ``remembered`` are the events whose history some condition asks for.
    """

    programs: Mapping[tuple[str, int], Program]
    by_trigger: Mapping[str, tuple[Heeds, ...]]
    by_closing: Mapping[str, tuple[Program, ...]]
    by_attribute: Mapping[str, tuple[Program, ...]]
    by_activity: Mapping[str, tuple[Program, ...]]
    watching: Mapping[str, Program]
    paused: frozenset[str] = frozenset()
    test_recipients: frozenset[str] = frozenset()
    policy: Policy = Policy()
    keeps_asks_for: dt.timedelta = dt.timedelta()
    segments: Segments = NO_SEGMENTS
    remembered: frozenset[str] = frozenset()


def arrange(
    programs: Iterable[Program],
    *,
    paused: Iterable[str] = (),
    archived: Iterable[str] = (),
    test_recipients: Iterable[str] = (),
    policy: Policy | None = None,
    segments: Iterable[Segment] = (),
) -> Journeys:
    """The highest version of each journey is its current one, unless the journey is archived."""
    by_version = {(program.journey, program.version): program for program in programs}
    current: dict[str, Program] = {}
    for name, version in sorted(by_version):
        current[name] = by_version[name, version]
    for name in archived:
        current.pop(name, None)
    by_trigger: defaultdict[str, list[Heeds]] = defaultdict(list)
    by_closing: defaultdict[str, list[Program]] = defaultdict(list)
    by_attribute: defaultdict[str, list[Program]] = defaultdict(list)
    by_activity: defaultdict[str, list[Program]] = defaultdict(list)
    for program in current.values():
        for trigger in program.triggers:
            for channel in trigger.channels:
                by_trigger[channel].append(Heeds(program, trigger))
        for name in {rule.event for rule in program.exits if rule.match}:
            by_closing[name].append(program)
        if isinstance(program.watch, DateWatch):
            by_attribute[program.watch.attribute].append(program)
        elif isinstance(program.watch, SilenceWatch):
            for name in program.watch.events:
                by_activity[name].append(program)
    policy = policy or Policy()
    arranged = arrange_segments(segments, under=f"{policy.zone} {policy.score_half_life}")
    needed = [query for one in arranged.checks.values() for query in one.needs_history]
    caps = [*policy.caps, *(c for p in by_version.values() for c in p.cadence.caps or ())]
    return Journeys(
        programs=by_version,
        by_trigger={name: tuple(found) for name, found in by_trigger.items()},
        by_closing={name: tuple(found) for name, found in by_closing.items()},
        by_attribute={name: tuple(found) for name, found in by_attribute.items()},
        by_activity={name: tuple(found) for name, found in by_activity.items()},
        watching={name: one for name, one in current.items() if one.watch is not None},
        paused=frozenset(paused),
        test_recipients=frozenset(test_recipients),
        policy=policy,
        keeps_asks_for=max((cap.within for cap in caps), default=dt.timedelta()),
        segments=arranged,
        remembered=frozenset(
            query.event
            for asking in (*(p.needs_history for p in by_version.values()), needed)
            for query in asking
        )
        # Two contacts that become one are asked what the other did in the meantime.
        | {
            rule.event
            for program in by_version.values()
            for rule in program.exits
            if rule.where is not None and not rule.match
        },
    )


def channels_of(event: Event) -> list[str]:
    """What an event is heard by: its name, and finer channels for facts of our own."""
    name, data = event.name, event.data
    if name == "contact.tags_changed":
        return [
            name,
            *(f"tag+{tag}" for tag in _tags(data.get("added"))),
            *(f"tag-{tag}" for tag in _tags(data.get("removed"))),
        ]
    if name in ("segment.entered", "segment.left"):
        return [name, f"{name}={data.get('segment')}"]
    if name in ("journey.requested", "journey.started", "journey.finished"):
        return [name, f"{name}={data.get('journey')}"]
    return [name]


def _tags(said: Any) -> list[str]:
    return [tag for tag in (as_list(said) or [])[:TAGS_READ_MAX] if isinstance(tag, str)]


def heeding(event: Event, journeys: Journeys) -> list[Heeds]:
    """The journeys that listen to the event, each once, by its first trigger that does."""
    found: dict[str, Heeds] = {}
    for channel in channels_of(event):
        for one in journeys.by_trigger.get(channel, ()):
            asked_by = event.data.get("by") if one.trigger.requesters else None
            if not one.trigger.requesters or asked_by in one.trigger.requesters:
                found.setdefault(one.program.journey, one)
    return list(found.values())


def key_values(paths: tuple[str, ...], data: Mapping[str, Any]) -> list[str]:
    """The aliases that an event gives for a key, first path first, each once."""
    found: list[str] = []
    for path in paths:
        value: Any = data
        for part in path.split(".")[1:]:
            held = as_mapping(value)
            value = held.get(part) if held is not None else None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and 0 < len(value) <= KEY_LENGTH_MAX and value not in found:
            found.append(value)
    return found


def entry_keys(program: Program, event: Event) -> list[str]:
    """The key's aliases in a triggering event; without a key the contact is the key."""
    if program.entry.key:
        return key_values(program.entry.key, event.data)
    return [event.contact] if event.contact else []


def keys_wanted(one: Input, journeys: Journeys) -> Iterator[Key]:
    """The marks that must be at hand before an input is applied."""
    if isinstance(one, Timer):
        if one.kind == WATCH:
            yield from watch_keys(one)
    elif isinstance(one, Event):
        yield from _event_keys(one, journeys)


def watch_keys(timer: Timer) -> Iterator[Key]:
    """The marks that a watch's timer may ask for, whatever the journey says of entering again."""
    contact, _, journey = timer.subject.partition("/")
    yield Key(journey, contact)
    yield Key(journey, ANY_KEY)


def _event_keys(event: Event, journeys: Journeys) -> Iterator[Key]:
    for program, _ in heeding(event, journeys):
        for value in entry_keys(program, event):
            yield Key(program.journey, value)
        if program.entry.again == "never":
            yield Key(program.journey, ANY_KEY)
    for program in journeys.by_closing.get(event.name, ()):
        for rule in program.exits:
            if rule.event == event.name:
                for value in key_values(rule.match, event.data):
                    yield Key(program.journey, value)
    if event.contact is not None and event.traits and journeys.by_attribute:
        for name in event.traits:
            for program in journeys.by_attribute.get(name, ()):
                yield Key(program.journey, event.contact)
                yield Key(program.journey, ANY_KEY)
