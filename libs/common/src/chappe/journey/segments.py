"""A segment: a rule over attributes and history, whose members are kept current.

Membership is looked at again when something happens that the rule listens to, inside the same
step, and when time alone may have changed it: ``next_look`` says when. Entering and leaving are
facts.
"""

import datetime as dt
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import Field, TypeAdapter, model_validator

from chappe.journey.conditions import Condition, Did, Max, PathsAre, Sum
from chappe.journey.history import HistoryWantedError, Query
from chappe.journey.predicates import Check, Facts, check, nodes_of
from chappe.journey.timing import TimedFacts, next_change
from chappe.journey.values import Name, Strict, Title, wrong

T = TypeVar("T")

SEGMENTS_MAX = 100
"""In one workspace: a profile names those its contact is in."""

ENTERED = "segment.entered"
LEFT = "segment.left"


class Segment(Strict):
    """Who belongs to it: everybody for whom the rule holds."""

    schema_: Literal[1] = Field(alias="schema")
    segment: Name
    title: Title = Field(default_factory=dict[str, str])
    rule: Condition

    @model_validator(mode="after")
    def _is_of_the_contact_alone(self) -> "Segment":
        for node in nodes_of(self.rule):
            if isinstance(node, PathsAre) and not all(p.startswith("contact.") for p in node.root):
                raise wrong("segment", "a segment has no event and no entry; use contact. paths")
            if isinstance(node, Did | Sum | Max) and node.since == "entry":
                raise wrong("segment", "a segment has no entry; write since: 30d")
        return self


class Transition(NamedTuple):
    """A contact became a member, or is one no more."""

    event: Literal["segment.entered", "segment.left"]
    segment: str


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of a workspace, by what they listen to."""

    checks: Mapping[str, Check] = field(default_factory=dict[str, Check])
    by_event: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    of_contact: tuple[str, ...] = ()
    by_segment: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    timed: frozenset[str] = frozenset()
    version: int = 0
    """Another one when any rule is."""

    def concerned(
        self, event: str, *, contact_changed: bool, segment: str | None = None
    ) -> Collection[str]:
        """The segments whose members may change with an event of this name."""
        found = self.by_event.get(event, ())
        if contact_changed and self.of_contact:
            found = {*found, *self.of_contact}
        if segment is not None and segment in self.by_segment:
            found = {*found, *self.by_segment[segment]}
        return found

    def members(self, facts: Facts, concerned: Iterable[str]) -> set[str]:
        """Those of the segments that the contact is in now."""
        answers = _asked_together(concerned, lambda name: self.checks[name].holds(facts))
        return {name for name, holds in answers.items() if holds}

    def next_look(self, facts: TimedFacts, concerned: Iterable[str]) -> dt.datetime | None:
        """When time alone may first change whether the contact is in one of these."""
        timed = [name for name in concerned if name in self.timed]
        looks = _asked_together(timed, lambda name: next_change(self.checks[name], facts))
        return min((at for at in looks.values() if at is not None), default=None)


def _asked_together(names: Iterable[str], ask: Callable[[str], T]) -> dict[str, T]:
    """Every answer, by name. What the history is wanted for, it is wanted for at once."""
    found: dict[str, T] = {}
    wanted: list[Query] = []
    for name in names:
        try:
            found[name] = ask(name)
        except HistoryWantedError as error:
            wanted.append(error.query)
    if wanted:
        raise HistoryWantedError(wanted[0], also=tuple(wanted[1:]))
    return found


def arrange_segments(segments: Iterable[Segment], under: str = "") -> Segments:
    """Compile them, each once. ``under`` names what else the answers depend on."""
    segments = list(segments)
    checks = {one.segment: check(one.rule) for one in segments}
    by_event: defaultdict[str, list[str]] = defaultdict(list)
    by_segment: defaultdict[str, list[str]] = defaultdict(list)
    for name, one in checks.items():
        for event in one.events:
            by_event[event].append(name)
        for other in one.segments:
            by_segment[other].append(name)
    return Segments(
        checks,
        {event: tuple(names) for event, names in by_event.items()},
        tuple(name for name, one in checks.items() if one.of_contact),
        {other: tuple(names) for other, names in by_segment.items()},
        frozenset(name for name, one in checks.items() if one.timed),
        _version([under.encode(), *sorted(map(canonical_segment, segments))]),
    )


def _version(parts: Sequence[bytes]) -> int:
    return zlib.crc32(b"\n".join(parts)) & 0x7FFFFFFF or 1


def transitions(
    before: Collection[str], after: Collection[str], concerned: Iterable[str]
) -> list[Transition]:
    """What became of the memberships that were looked at, in the order of their names."""
    found: list[Transition] = []
    for name in sorted(concerned):
        if name in after and name not in before:
            found.append(Transition(ENTERED, name))
        elif name in before and name not in after:
            found.append(Transition(LEFT, name))
    return found


_ADAPTER: TypeAdapter[Segment] = TypeAdapter(Segment)


def stored_segment(definition: bytes) -> Segment:
    """Read back what ``canonical_segment`` wrote."""
    return _ADAPTER.validate_json(definition)


def canonical_segment(segment: Segment) -> bytes:
    """What is stored: defaults that were left out still out."""
    return segment.model_dump_json(by_alias=True, exclude_unset=True).encode()


def segment_schema() -> dict[str, Any]:
    """The JSON Schema of a segment."""
    schema = Segment.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def loops_in(segments: Sequence[Segment]) -> list[str]:
    """The segments whose membership depends on itself, by name."""
    needs = {one.segment: check(one.rule).segments for one in segments}
    found: list[str] = []
    for name, others in needs.items():
        seen: set[str] = set()
        waiting = list(others)
        while waiting:
            other = waiting.pop()
            if other == name:
                found.append(name)
                break
            if other not in seen:
                seen.add(other)
                waiting.extend(needs.get(other, ()))
    return found
