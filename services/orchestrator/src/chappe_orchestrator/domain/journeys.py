"""The journeys of a workspace, arranged by the events they listen to."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chappe.events import Event
from chappe.journey import Program, as_mapping
from chappe_orchestrator.domain.state import Key

KEY_LENGTH_MAX = 200

ANY_KEY = ""
"""The value under which a journey that is entered once in a life is marked."""


@dataclass(frozen=True, slots=True)
class Journeys:
    """``programs`` are all versions somebody may be inside; the rest speaks of current ones."""

    programs: Mapping[tuple[str, int], Program]
    by_trigger: Mapping[str, tuple[Program, ...]]
    by_closing: Mapping[str, tuple[Program, ...]]
    paused: frozenset[str] = frozenset()
    test_recipients: frozenset[str] = frozenset()


def arrange(
    programs: Iterable[Program],
    *,
    paused: Iterable[str] = (),
    archived: Iterable[str] = (),
    test_recipients: Iterable[str] = (),
) -> Journeys:
    """The highest version of each journey is its current one, unless the journey is archived."""
    by_version = {(program.journey, program.version): program for program in programs}
    current: dict[str, Program] = {}
    for name, version in sorted(by_version):
        current[name] = by_version[name, version]
    for name in archived:
        current.pop(name, None)
    by_trigger: defaultdict[str, list[Program]] = defaultdict(list)
    by_closing: defaultdict[str, list[Program]] = defaultdict(list)
    for program in current.values():
        for name in program.triggers:
            by_trigger[name].append(program)
        for name in {rule.event for rule in program.exits if rule.match}:
            by_closing[name].append(program)
    return Journeys(
        programs=by_version,
        by_trigger={name: tuple(found) for name, found in by_trigger.items()},
        by_closing={name: tuple(found) for name, found in by_closing.items()},
        paused=frozenset(paused),
        test_recipients=frozenset(test_recipients),
    )


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


def keys_wanted(event: Event, journeys: Journeys) -> Iterator[Key]:
    """The marks that must be at hand before ``event`` is applied."""
    for program in journeys.by_trigger.get(event.name, ()):
        for value in entry_keys(program, event):
            yield Key(program.journey, value)
        if program.entry.again == "never":
            yield Key(program.journey, ANY_KEY)
    for program in journeys.by_closing.get(event.name, ()):
        for rule in program.exits:
            if rule.event == event.name:
                for value in key_values(rule.match, event.data):
                    yield Key(program.journey, value)
