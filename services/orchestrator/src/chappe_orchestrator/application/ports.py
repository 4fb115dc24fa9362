"""What the orchestrator needs of the world, in its own words."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from chappe.events import Decision
from chappe.ids import ContactId, EventId, WorkspaceId
from chappe.journey import Condition
from chappe.journey.history import Answer, Past
from chappe.shards import Batch, DeadLetter, Input, Out
from chappe_orchestrator.domain import Call, Contact, Enrollment, Key, KeyMark, Profile, Timer
from chappe_orchestrator.domain.effects import Remembered
from chappe_orchestrator.domain.facts import Asked


class Who(NamedTuple):
    """A contact as a shard holds it."""

    shard: int
    contact: ContactId


class Wakeup(NamedTuple):
    """A timer of the table, with the contact to load."""

    timer: Timer
    contact: ContactId


class Gone(NamedTuple):
    """A contact that is here no more. ``into``: whom it was merged into; None: it is forgotten."""

    who: Who
    workspace: WorkspaceId
    into: ContactId | None


@dataclass(slots=True)
class Loaded:
    """One reading of the state: the contacts that exist, key marks of others, who is parked.

    ``generation`` is the journeys' at that moment.
    """

    generation: int
    contacts: dict[Who, Contact] = field(default_factory=dict[Who, Contact])
    keys: dict[Who, dict[Key, KeyMark]] = field(default_factory=dict[Who, dict[Key, KeyMark]])
    parked: set[Who] = field(default_factory=set[Who])
    gone: dict[Who, ContactId | None] = field(default_factory=dict[Who, ContactId | None])
    history: dict[Who, list[Remembered]] = field(default_factory=dict[Who, list[Remembered]])
    """Of contacts that are about to move, or to take another in; oldest first."""

    def kept(self, who: Who) -> list[Past]:
        """The facts at hand of a contact."""
        return [Past(one.name, one.at, one.data) for one in self.history.get(who, ())]


class Parking(NamedTuple):
    """A contact set aside now."""

    who: Who
    workspace: WorkspaceId
    reason: str


class ParkedInput(NamedTuple):
    """An event kept for a parked contact, in order."""

    who: Who
    input: Input


class KeptInput(NamedTuple):
    """An event that waits with its parked contact. ``number`` sorts."""

    who: Who
    number: int
    input: Input


class Unparked(NamedTuple):
    """What of a parked contact was applied: its events up to ``number``; ``whole`` when no more
    wait, so that it is parked no longer.
    """

    who: Who
    number: int
    whole: bool


class CountKey(NamedTuple):
    """``place`` is a step for those inside, a reason for those who have ended."""

    workspace: WorkspaceId
    journey: str
    version: int
    status: str
    place: str


class ProfileRow(NamedTuple):
    """A profile, encoded where a failure still concerns its contact alone."""

    who: Who
    workspace: WorkspaceId
    doc: bytes


class EnrollmentRow(NamedTuple):
    """An enrollment: what is asked of it in SQL, and all of it."""

    who: Who
    workspace: WorkspaceId
    enrollment: Enrollment
    doc: bytes


class CallRow(NamedTuple):
    """A call to be made, encoded."""

    who: Who
    call: Call
    doc: bytes


class SweepRow(NamedTuple):
    """How far a shard has looked at its contacts for one journey."""

    shard: int
    workspace: WorkspaceId
    journey: str
    version: int
    after: str
    done: bool


class HistoryRow(NamedTuple):
    """A fact for the history; ``data`` is JSON."""

    who: Who
    fact: Remembered
    data: str


@dataclass(slots=True)
class Changes:
    """All that one batch changes, one row per key."""

    at: dt.datetime
    profiles: list[ProfileRow] = field(default_factory=list[ProfileRow])
    enrollments: list[EnrollmentRow] = field(default_factory=list[EnrollmentRow])
    keys: list[tuple[Who, Key, KeyMark]] = field(default_factory=list[tuple[Who, Key, KeyMark]])
    timers_gone: list[tuple[Who, Timer]] = field(default_factory=list[tuple[Who, Timer]])
    timers_armed: list[tuple[Who, Timer]] = field(default_factory=list[tuple[Who, Timer]])
    timers_aside: list[tuple[Who, Timer]] = field(default_factory=list[tuple[Who, Timer]])
    """Due, of contacts that are parked: the table keeps them, and they wait for the release."""
    timers_roused: list[tuple[Who, Timer]] = field(default_factory=list[tuple[Who, Timer]])
    """Of a contact just released: they are due now, whatever the table holds."""
    parked: list[Parking] = field(default_factory=list[Parking])
    parked_inputs: list[ParkedInput] = field(default_factory=list[ParkedInput])
    outbox: list[Out] = field(default_factory=list[Out])
    decisions: dict[int, list[Decision]] = field(default_factory=dict[int, list[Decision]])
    gone: list[Gone] = field(default_factory=list[Gone])
    dead: list[DeadLetter] = field(default_factory=list[DeadLetter])
    history: list[HistoryRow] = field(default_factory=list["HistoryRow"])
    calls: list[CallRow] = field(default_factory=list[CallRow])
    calls_dropped: list[str] = field(default_factory=list[str])
    sweeps: list[SweepRow] = field(default_factory=list[SweepRow])
    unparked: list[Unparked] = field(default_factory=list[Unparked])
    people: Counter[CountKey] = field(default_factory=Counter[CountKey])
    held: Counter[CountKey] = field(default_factory=Counter[CountKey])
    counted_by: int = 0
    """The shard under which this batch's counts are written."""


class Store(Protocol):
    """Where contacts, timers and keys are kept. One writer per shard."""

    async def load(
        self, contacts: Sequence[Who], keys: Collection[tuple[Who, Key]], now: dt.datetime
    ) -> Loaded:
        """Everything ``step`` may look at for these contacts, in one reading.

        A contact never seen before is missing. Enrollments are the active ones and those whose
        goal may still be reached, oldest first.
        """
        ...

    async def everything(
        self, contacts: Sequence[Who]
    ) -> dict[Who, tuple[list[Enrollment], dict[Key, KeyMark]]]:
        """Every enrollment, also those long over, and every key of these contacts."""
        ...

    async def commit(self, batch: Batch, changes: Changes) -> None:
        """All of it or nothing; raises ``LostShards``."""
        ...

    async def timers(self, after: Mapping[int, dt.datetime], limit: int) -> dict[int, list[Wakeup]]:
        """The earliest timers of each shard, due at or after the instant given for it."""
        ...

    async def sweeps(self, shards: Iterable[int]) -> list[SweepRow]:
        """How far each of the shards has looked, for every journey it ever looked for."""
        ...

    async def contacts_after(
        self, shard: int, workspace: WorkspaceId, after: str, limit: int
    ) -> list[ContactId]:
        """By id; those of a workspace that the shard holds."""
        ...

    async def resumable(
        self, shards: Iterable[int], after: tuple[int, str, str], limit: int
    ) -> list[tuple[Who, Timer]]:
        """Enrollments that a pause held and holds no longer, with the timer that moves each: the
        next few after a place (shard, contact, id), in that order.
        """
        ...

    async def parked_inputs(self, contacts: Sequence[Who], limit: int) -> list[KeptInput]:
        """The first ``limit`` events that wait for each of these, in order."""
        ...


class SegmentRow(NamedTuple):
    """A segment as it is kept; the definition is canonical JSON."""

    name: str
    definition: bytes
    updated_at: dt.datetime


class SegmentShelf(Protocol):
    """Where segments are kept. Every change moves the generation of the definitions."""

    async def one(self, workspace: WorkspaceId, name: str) -> SegmentRow | None: ...

    async def listed(self, workspace: WorkspaceId, after: str, limit: int) -> list[SegmentRow]:
        """By name, those after ``after``."""
        ...

    async def put(
        self, workspace: WorkspaceId, name: str, definition: bytes, at: dt.datetime
    ) -> bool:
        """False when the workspace has as many as it may."""
        ...

    async def delete(self, workspace: WorkspaceId, name: str) -> bool:
        """False when there is no such segment."""
        ...

    async def count(
        self,
        workspace: WorkspaceId,
        rule: Condition,
        *,
        now: dt.datetime,
        zone: str,
        half_life: dt.timedelta | None,
    ) -> int:
        """How many contacts the rule holds for. Raises ``TimeoutError``."""
        ...


class HistoryAway(Exception):
    """The history cannot be reached now; trying again may help."""


class History(Protocol):
    """The events of contacts, for what a profile cannot answer."""

    async def answers(
        self, asked: Sequence[tuple[Who, Asked]], now: dt.datetime
    ) -> dict[tuple[Who, Asked], Answer]:
        """Every question, in one reading per kind of question."""
        ...

    async def remembered(
        self, contacts: Sequence[Who], limit: int, bytes_max: int
    ) -> dict[Who, list[Remembered]]:
        """The newest facts of each contact, oldest first, within both bounds."""
        ...

    async def forget(self, before: dt.datetime, limit: int) -> int:
        """Drop at most ``limit`` facts that are older; returns how many. Raises ``HistoryAway``."""
        ...


class Topics(Protocol):
    """What contacts can opt out of, as the sender knows it."""

    async def known(self, workspace: WorkspaceId) -> frozenset[str] | None:
        """Every topic; None when nobody can say now."""
        ...


class IdentitiesUnavailable(Exception):
    """Nobody could say whom a reference means; trying again may help."""


class Identities(Protocol):
    """Who a reference such as ``email:zoe@example.com`` means."""

    async def contact(self, workspace: WorkspaceId, ref: str) -> ContactId | None:
        """The contact, or None when nobody is known by that name.

        Raises ``IdentitiesUnavailable``.
        """
        ...

    async def erase(self, workspace: WorkspaceId, ref: str) -> tuple[bool, dict[str, Any]] | None:
        """Ask to forget a contact: whether it is applied already, and what was answered. None:
        nobody is known by that name. Raises ``IdentitiesUnavailable``.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A published version as it is kept; both bodies are canonical JSON."""

    workspace: WorkspaceId
    journey: str
    version: int
    definition: bytes
    templates: bytes
    paused: bool
    archived: bool = False


class SettingsShelf(Protocol):
    """The settings of a workspace's journeys, as canonical JSON."""

    async def one(self, workspace: WorkspaceId) -> bytes | None: ...

    async def put(self, workspace: WorkspaceId, doc: bytes, at: dt.datetime) -> None:
        """In force from every shard's next batch on."""
        ...


class Definitions(Protocol):
    """The journeys as published."""

    async def read(self) -> tuple[int, Sequence[StoredVersion]]:
        """The generation, and every version that somebody may be inside."""
        ...

    async def settings(self) -> Mapping[WorkspaceId, bytes]:
        """The settings of every workspace that has some."""
        ...

    async def segments(self) -> Mapping[WorkspaceId, Sequence[bytes]]:
        """The definitions of every workspace's segments, as canonical JSON."""
        ...

    async def generation(self) -> int:
        """Moves with every publication, pause, resumption and change of settings or segments."""
        ...


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What is to be published; the bodies are canonical JSON. ``draft`` is the one it was, if any:
    it is dropped, unless another has been saved meanwhile.
    """

    journey: str
    definition: bytes
    templates: bytes
    draft: bytes | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """``changed`` is false when the current version says the same already."""

    journey: str
    version: int
    changed: bool


class JourneyShelf(Protocol):
    """Where published versions are kept."""

    async def publish(
        self, workspace: WorkspaceId, versions: Sequence[NewVersion], at: dt.datetime
    ) -> list[Published]:
        """All of them or none, in one transaction that moves the generation."""
        ...


@dataclass(frozen=True, slots=True)
class JourneyRow:
    """A journey as the API shows it; bodies are canonical JSON."""

    name: str
    version: int | None
    paused: bool
    updated_at: dt.datetime
    has_draft: bool
    draft: bytes | None
    definition: bytes | None
    templates: bytes | None
    published_at: dt.datetime | None
    archived: bool = False
    draft_templates: bytes | None = None
    draft_at: dt.datetime | None = None

    @property
    def status(self) -> str:
        """draft, published, paused or archived."""
        if self.version is None:
            return "draft"
        if self.archived:
            return "archived"
        return "paused" if self.paused else "published"


class Shelf(JourneyShelf, Protocol):
    """Drafts and published journeys, as the API works on them."""

    async def save_draft(
        self,
        workspace: WorkspaceId,
        name: str,
        definition: bytes,
        templates: bytes,
        at: dt.datetime,
    ) -> None:
        """In the place of the draft before it; ``templates`` are the versions it was made with."""
        ...

    async def drop_draft(self, workspace: WorkspaceId, name: str) -> bool:
        """False when there is none. What is published stays."""
        ...

    async def set_paused(
        self, workspace: WorkspaceId, name: str, at: dt.datetime, *, paused: bool
    ) -> bool:
        """False when there is no such published journey."""
        ...

    async def archive(self, workspace: WorkspaceId, name: str, at: dt.datetime) -> bool:
        """False when there is no such published journey. Publishing it brings it back."""
        ...

    async def listed(
        self, workspace: WorkspaceId, after: str, limit: int, *, drafts: bool = False
    ) -> list[JourneyRow]:
        """By name, those after ``after``; with ``drafts`` only those that have one."""
        ...

    async def one(
        self, workspace: WorkspaceId, name: str, version: int | None = None
    ) -> JourneyRow | None:
        """A journey with its current version, or with the one asked for."""
        ...

    async def versions(self, workspace: WorkspaceId, name: str) -> list[tuple[int, dt.datetime]]:
        """The newest hundred, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Counts:
    """How many people stand at each step, and how those who left ended."""

    at_step: dict[str, int]
    active: int
    held: int
    ended: dict[str, int]


class Slice(NamedTuple):
    """Some enrollments, and the place after the last one looked at; None: there are no more."""

    found: list[tuple[ContactId, Enrollment]]
    more: tuple[dt.datetime, str] | None


class ParkedRow(NamedTuple):
    """A parked contact; ``events`` wait for it, counted up to a bound."""

    contact: ContactId
    reason: str
    parked_at: dt.datetime
    events: int


class People(Protocol):
    """Contacts and enrollments, to be looked at."""

    async def export(self, shard: int, contact: ContactId) -> dict[str, list[dict[str, Any]]]:
        """Every enrollment and every key of a contact, as they are kept."""
        ...

    async def contact(
        self, shard: int, workspace: WorkspaceId, contact: ContactId
    ) -> Profile | None: ...

    async def contacts(
        self, workspace: WorkspaceId, after: tuple[int, str], limit: int
    ) -> list[tuple[int, ContactId, Profile]]:
        """By shard and id, those after ``after``."""
        ...

    async def enrollments(
        self,
        workspace: WorkspaceId,
        *,
        journey: str | None,
        status: str | None,
        contact: tuple[int, ContactId] | None,
        step: str | None = None,
        version: int | None = None,
        before: tuple[dt.datetime, str] | None,
        limit: int,
    ) -> Slice:
        """Newest first; looks at a bounded number of enrollments."""
        ...

    async def counts(self, workspace: WorkspaceId, journey: str, version: int) -> Counts: ...

    async def inside(self, workspace: WorkspaceId, journey: str) -> dict[int, dict[str, int]]:
        """How many stand at each step, by version."""
        ...

    async def enrollment(
        self, workspace: WorkspaceId, enrollment: str, contact: tuple[int, ContactId]
    ) -> Enrollment | None: ...

    async def entered_by(self, contact: tuple[int, ContactId], event: EventId) -> Enrollment | None:
        """The enrollment that an event began."""
        ...

    async def parked(
        self, workspace: WorkspaceId, after: tuple[int, str], limit: int
    ) -> list[tuple[int, ParkedRow]]:
        """By shard and id, those after ``after``."""
        ...

    async def is_parked(self, contact: tuple[int, ContactId]) -> bool: ...


class DeadLetterRow(NamedTuple):
    """A record nobody could use. Its content is kept, and not shown."""

    id: str
    stream: str
    shard: int
    offset: int
    reason: str
    source: str | None
    bytes: int
    at: dt.datetime


class DeadLetters(Protocol):
    """The orchestrator's own."""

    async def listed(
        self, before: tuple[dt.datetime, str] | None, limit: int
    ) -> list[DeadLetterRow]:
        """Newest first."""
        ...
