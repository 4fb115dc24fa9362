"""What the service needs of others, in its own words."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from chappe.events.streams import Stream
from chappe.ids import ContactId, MessageId, Shard, WorkspaceId
from chappe.shards import Batch, DeadLetter, Out
from chappe_analytics.domain.engagement import Engagement, EngagementKey
from chappe_analytics.domain.message import Message
from chappe_analytics.domain.tallies import Counts
from chappe_analytics.domain.timeline import Entry, Kind


class ContactKey(NamedTuple):
    """A contact, across workspaces."""

    workspace: WorkspaceId
    contact: ContactId


class EntryKey(NamedTuple):
    """What makes a line of a timeline the same line."""

    workspace: WorkspaceId
    contact: ContactId
    id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must be known before a batch can be applied. ``orders`` maps a contact to the earliest
    time from which a touch may have earned one of its orders.
    """

    entries: set[EntryKey] = field(default_factory=set[EntryKey])
    hits: set[str] = field(default_factory=set[str])
    messages: set[MessageId] = field(default_factory=set[MessageId])
    engagements: set[EngagementKey] = field(default_factory=set[EngagementKey])
    orders: dict[ContactKey, dt.datetime] = field(default_factory=dict[ContactKey, dt.datetime])
    contacts: set[ContactKey] = field(default_factory=set[ContactKey])


@dataclass(frozen=True, slots=True)
class Held:
    """What was known: ``entries`` and ``hits`` are those applied before. ``aliases`` maps contacts
    that are here no more to who they are now, or to None: forgotten.
    """

    entries: set[EntryKey] = field(default_factory=set[EntryKey])
    hits: set[str] = field(default_factory=set[str])
    messages: dict[MessageId, Message] = field(default_factory=dict[MessageId, Message])
    aliases: dict[ContactKey, ContactId | None] = field(
        default_factory=dict[ContactKey, ContactId | None]
    )
    engagements: dict[EngagementKey, Engagement] = field(
        default_factory=dict[EngagementKey, Engagement]
    )


class StoredEvent(NamedTuple):
    """A canonical event as it is kept, by its place in the log."""

    shard: Shard
    stream: Stream
    offset: int
    workspace: WorkspaceId
    body: bytes


class Hit(NamedTuple):
    """One open or click as it was judged."""

    id: str
    message: MessageId
    kind: str
    link: int
    verdict: str
    at: dt.datetime


class Count(NamedTuple):
    """A change of a number, by the shard that owns it."""

    shard: Shard
    counts: Counts


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch writes."""

    entries: list[Entry] = field(default_factory=list[Entry])
    events: list[StoredEvent] = field(default_factory=list[StoredEvent])
    hits: list[Hit] = field(default_factory=list[Hit])
    messages: list[Message] = field(default_factory=list[Message])
    engagements: dict[EngagementKey, Engagement] = field(
        default_factory=dict[EngagementKey, Engagement]
    )
    counts: list[Count] = field(default_factory=list[Count])
    merged: list[tuple[ContactKey, ContactId]] = field(
        default_factory=list[tuple[ContactKey, ContactId]]
    )
    forgotten: list[ContactKey] = field(default_factory=list[ContactKey])


class Store(Protocol):
    """The tables. One writer per shard: what was loaded still holds when it is saved."""

    async def load(self, wanted: Wanted) -> Held: ...

    async def save(
        self,
        batch: Batch,
        changes: Changes,
        *,
        outbox: Sequence[Out] = (),
        dead: Sequence[DeadLetter] = (),
    ) -> None:
        """Everything with the batch's positions, or nothing."""
        ...


class Line(NamedTuple):
    """An entry and its place among those of the same instant."""

    seq: int
    entry: Entry


Before: TypeAlias = tuple[dt.datetime, int]
"""Where a page of a timeline begins: (at, seq) of the last line of the page before."""


class Reading(Protocol):
    """What people ask for."""

    async def timeline(
        self, key: ContactKey, *, kind: Kind | None, before: Before | None, limit: int
    ) -> list[Line]:
        """A contact's lines, newest first; also from before it was merged."""
        ...

    async def engagement(self, key: ContactKey) -> list[dict[str, Any]]:
        """What the contact did with each mail."""
        ...

    async def counts(
        self, workspace: WorkspaceId, *, journey: str | None, version: int | None
    ) -> Counts:
        """The numbers of one journey, or of all, summed over shards."""
        ...


Positions: TypeAlias = Mapping[tuple[Shard, Stream], int]
"""The next offset of each shard's event streams."""


class KeptEvent(NamedTuple):
    """A stored event as it is followed."""

    stored_at: dt.datetime
    shard: Shard
    stream: Stream
    offset: int
    body: bytes


class EventLog(Protocol):
    """The canonical events of the last days, of every shard, whoever applied them."""

    async def positions(self) -> tuple[dt.datetime, Positions]:
        """The database's time, and how far each shard had been applied by then."""
        ...

    async def kept(
        self, workspace: WorkspaceId, *, after: KeptEvent | None, until: dt.datetime, limit: int
    ) -> list[KeptEvent]:
        """What was stored up to ``until``, in the order of storing, from the earliest on."""
        ...

    async def since(
        self, workspace: WorkspaceId, positions: Positions, *, per_shard: int
    ) -> list[KeptEvent]:
        """What has come from ``positions`` on, at most ``per_shard`` of each shard and stream."""
        ...


class Letter(NamedTuple):
    """A record that was set aside, without its content."""

    id: str
    stream: Stream
    shard: Shard
    offset: int
    reason: str
    source: str | None
    bytes: int
    at: dt.datetime


class DeadLetters(Protocol):
    """The records nobody could use."""

    async def letters(self, *, before: tuple[dt.datetime, str] | None, limit: int) -> list[Letter]:
        """Newest first, those behind (at, id) ``before``."""
        ...


class Identities(Protocol):
    """Who is meant by a reference: an id, ``email:…``, ``phone:…`` or ``external_id:…``."""

    async def resolve(self, workspace: WorkspaceId, ref: str) -> ContactId | None:
        """None when nobody is. Raises ``IdentitiesUnavailable`` when nobody could tell."""
        ...


class IdentitiesUnavailable(Exception):
    """The service that knows identifiers did not answer; ask again."""
