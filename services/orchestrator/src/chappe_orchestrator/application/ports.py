"""What the orchestrator needs of the world, in its own words."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from chappe.events import Decision
from chappe.ids import ContactId, WorkspaceId
from chappe.shards import Batch, DeadLetter, Input, Out
from chappe_orchestrator.domain import Contact, Enrollment, Key, KeyMark, Profile, Timer


class Who(NamedTuple):
    """A contact as a shard holds it."""

    shard: int
    contact: ContactId


class Wakeup(NamedTuple):
    """A timer of the table, with the contact to load."""

    timer: Timer
    contact: ContactId


@dataclass(slots=True)
class Loaded:
    """One reading of the state: the contacts that exist, key marks of others, who is parked.

    ``generation`` is the journeys' at that moment.
    """

    generation: int
    contacts: dict[Who, Contact] = field(default_factory=dict[Who, Contact])
    keys: dict[Who, dict[Key, KeyMark]] = field(default_factory=dict[Who, dict[Key, KeyMark]])
    parked: set[Who] = field(default_factory=set[Who])


class Parking(NamedTuple):
    """A contact set aside now."""

    who: Who
    workspace: WorkspaceId
    reason: str


class ParkedInput(NamedTuple):
    """An event kept for a parked contact, in order."""

    who: Who
    input: Input


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


@dataclass(slots=True)
class Changes:
    """All that one batch changes, one row per key."""

    at: dt.datetime
    profiles: list[ProfileRow] = field(default_factory=list[ProfileRow])
    enrollments: list[EnrollmentRow] = field(default_factory=list[EnrollmentRow])
    keys: list[tuple[Who, Key, KeyMark]] = field(default_factory=list[tuple[Who, Key, KeyMark]])
    timers_gone: list[tuple[Who, Timer]] = field(default_factory=list[tuple[Who, Timer]])
    timers_armed: list[tuple[Who, Timer]] = field(default_factory=list[tuple[Who, Timer]])
    parked: list[Parking] = field(default_factory=list[Parking])
    parked_inputs: list[ParkedInput] = field(default_factory=list[ParkedInput])
    outbox: list[Out] = field(default_factory=list[Out])
    decisions: dict[int, list[Decision]] = field(default_factory=dict[int, list[Decision]])
    dead: list[DeadLetter] = field(default_factory=list[DeadLetter])


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

    async def commit(self, batch: Batch, changes: Changes) -> None:
        """All of it or nothing; raises ``LostShards``."""
        ...

    async def timers(self, after: Mapping[int, dt.datetime], limit: int) -> dict[int, list[Wakeup]]:
        """The earliest timers of each shard, due at or after the instant given for it."""
        ...

    async def resumable(self, shards: Iterable[int]) -> list[tuple[Who, Timer]]:
        """Enrollments that a pause held and holds no longer, with the timer that moves each."""
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


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A published version as it is kept; both bodies are canonical JSON."""

    workspace: WorkspaceId
    journey: str
    version: int
    definition: bytes
    templates: bytes
    paused: bool


class Definitions(Protocol):
    """The journeys as published."""

    async def read(self) -> tuple[int, Sequence[StoredVersion]]:
        """The generation, and every version that somebody may be inside."""
        ...

    async def generation(self) -> int:
        """Moves with every publication, pause and resumption."""
        ...


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What is to be published; both bodies are canonical JSON."""

    journey: str
    definition: bytes
    templates: bytes


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

    @property
    def status(self) -> str:
        """draft, published or paused."""
        if self.version is None:
            return "draft"
        return "paused" if self.paused else "published"


class Shelf(JourneyShelf, Protocol):
    """Drafts and published journeys, as the API works on them."""

    async def save_draft(
        self, workspace: WorkspaceId, name: str, definition: bytes, at: dt.datetime
    ) -> None: ...

    async def set_paused(
        self, workspace: WorkspaceId, name: str, at: dt.datetime, *, paused: bool
    ) -> bool:
        """False when there is no such published journey."""
        ...

    async def listed(self, workspace: WorkspaceId, after: str, limit: int) -> list[JourneyRow]:
        """By name, those after ``after``."""
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


class People(Protocol):
    """Contacts and enrollments, to be looked at."""

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
        before: tuple[dt.datetime, str] | None,
        limit: int,
    ) -> list[tuple[ContactId, Enrollment]]:
        """Newest first."""
        ...

    async def counts(self, workspace: WorkspaceId, journey: str, version: int) -> Counts: ...


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
