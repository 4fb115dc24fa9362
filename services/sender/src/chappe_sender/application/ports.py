"""What the sender needs from outside, in its own words."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from chappe.events import Decision, Event, Send
from chappe.ids import ContactId, MessageId, WorkspaceId
from chappe.shards import Batch, DeadLetter
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.ending import Ending
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.measuring import Measuring, MeasuringRules
from chappe_sender.domain.message import Message, State
from chappe_sender.domain.outcome import HandOverError, Reply, Taken
from chappe_sender.domain.permission import Permission
from chappe_sender.domain.template import MessageClass, TemplateVersion

Verdict: TypeAlias = Reply | Taken | HandOverError

Admits: TypeAlias = Callable[[WorkspaceId, MessageClass], bool]
"""Whether mail of a workspace and class has a way to go now."""

# ---------------------------------------------------------------------- the way out


class Parcel(Protocol):
    """A message on its way."""

    @property
    def envelope(self) -> Envelope: ...


class Work(Protocol):
    """Where lanes take messages from and report to. Parcels are taken once, by one lane."""

    async def take(self) -> Parcel:
        """The next message; waits for one."""
        ...

    def take_now(self) -> Parcel | None:
        """The next message, if there is one now."""
        ...

    async def about_to_commit(self, parcel: Parcel) -> bool:
        """Durably note that the content is about to be written. False: it must not be."""
        ...

    def report(self, parcel: Parcel, verdict: Verdict) -> None:
        """How it ended. Durable before the same lane's next ``about_to_commit`` returns."""
        ...


class WayOut(Protocol):
    """Hands messages to a provider."""

    async def run(self, work: Work) -> None:
        """Until cancelled."""
        ...


# ---------------------------------------------------------------------- the ledger


@dataclass(frozen=True, slots=True)
class Known:
    """A message that has a row already."""

    message: Message
    state: State
    committing: bool
    asked_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rows that a batch may read or change."""

    messages: frozenset[MessageId]
    contacts: frozenset[tuple[WorkspaceId, ContactId]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Those rows, locked."""

    messages: Mapping[MessageId, Known]
    permissions: Mapping[tuple[WorkspaceId, ContactId], Permission]
    redirects: Mapping[tuple[WorkspaceId, ContactId], ContactId] = field(
        default_factory=dict[tuple[WorkspaceId, ContactId], ContactId]
    )
    """Contacts that were merged away, and who they are now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A new row. ``send`` None is a tombstone: cancelled before it was asked for."""

    message: Message
    state: State
    reason: str | None
    held: bool
    send: Send | None
    topic: str | None
    priority: int


@dataclass(frozen=True, slots=True)
class HoldChange:
    """A journey's messages in one shard wait, or wait no longer."""

    shard: int
    workspace: WorkspaceId
    journey: str
    held: bool
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Closing:
    """An address that is suppressed (``reason``) or, with None, no longer."""

    workspace: WorkspaceId
    address: str
    scope: str
    reason: str | None
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A contact that asked to be, with the addresses that the request names."""

    workspace: WorkspaceId
    contact: ContactId
    addresses: tuple[str, ...]
    at: dt.datetime


@dataclass(slots=True)
class Changes:
    """What one batch changes, each row at most once. ``told`` is published per shard."""

    asked: list[Asked] = field(default_factory=list)
    cancelled: dict[MessageId, str] = field(default_factory=dict)
    holds: list[HoldChange] = field(default_factory=list)
    permissions: dict[tuple[WorkspaceId, ContactId], Permission] = field(default_factory=dict)
    closings: dict[tuple[WorkspaceId, str, str], Closing] = field(default_factory=dict)
    merged: list[tuple[WorkspaceId, ContactId, ContactId]] = field(default_factory=list)
    forgotten: list[Forgotten] = field(default_factory=list)
    told: list[tuple[int, Event | Decision]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that may be handed over now, under its shard's ``epoch``."""

    message: Message
    epoch: int
    address: str
    locale: str | None
    topic: str | None
    attempts: int
    asked_at: dt.datetime
    dated_at: dt.datetime
    snapshot: bytes
    coupon: str | None = None
    measuring: Measuring = field(default_factory=Measuring)


@dataclass(frozen=True, slots=True)
class Haul:
    """What a claim took. ``moved`` also counts what it skipped or put aside: 0 means that there
    was nothing to be done.
    """

    claimed: list[Claimed]
    moved: int


@dataclass(frozen=True, slots=True)
class Placed:
    """In which request of which provider a message goes. ``key`` names the request's bytes,
    ``place`` is the message's in it; ``at`` is the wall clock.
    """

    provider: str
    key: str | None
    at: dt.datetime
    place: int = 0


@dataclass(frozen=True, slots=True)
class Commitment:
    """A content that is about to be written. ``placed`` None: by the default way out."""

    claimed: Claimed
    header_id: str
    subject: str
    placed: Placed | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a claimed message ended."""

    message: Message
    epoch: int
    ending: Ending
    address: str
    subject: str | None = None
    content: bytes | None = field(default=None, repr=False)
    """To be kept, because it was not sent."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Which commitments hold, and which endings were still awaited."""

    committed: frozenset[MessageId]
    ended: frozenset[MessageId]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A message that its shard's last owner left in ``sending``."""

    claimed: Claimed
    committing: bool
    header_id: str | None
    placed: Placed | None = None


class Ledger(Protocol):
    """Every message ever asked for, and the permissions, in Postgres, under the shards' fence.

    All but the reads raise ``LostShards``.
    """

    async def apply(
        self, batch: Batch, wanted: Wanted, decide: Callable[[Loaded], Changes]
    ) -> None:
        """Load, decide and commit a batch in one transaction."""
        ...

    async def claim(
        self,
        shards: Mapping[int, int],
        *,
        lagging: Iterable[int],
        now: dt.datetime,
        wall: dt.datetime,
        limit: int,
        admits: Admits,
    ) -> Haul:
        """Take up to ``limit`` messages that are due and permitted; those that are not permitted
        end as skipped, with the reason, in the same transaction. ``shards`` are shard → epoch;
        ``lagging`` ones give no marketing. What has no way to go now (``admits``) is not looked
        at, and each workspace gets its turn.
        """
        ...

    async def note(
        self, commitments: Sequence[Commitment], endings: Sequence[Ended], now: dt.datetime
    ) -> Noted:
        """Write down, in one transaction, what is about to be written and how others ended."""
        ...

    async def interrupted(self, shards: Sequence[int]) -> list[Interrupted]: ...

    async def company(self, provider: str, key: str) -> list[Claimed]:
        """The messages of one request, in their order, whatever became of them."""
        ...

    async def take_over(
        self, claimed: Sequence[Claimed], epochs: Mapping[int, int]
    ) -> set[MessageId]:
        """Make interrupted messages our own, under our shards' epochs; which are."""
        ...

    async def holds(self, shards: Sequence[int]) -> set[tuple[int, WorkspaceId, str]]: ...

    async def next_due(self, shards: Sequence[int]) -> dt.datetime | None:
        """When the next message is due that is not held or put aside."""
        ...


# ---------------------------------------------------------------------- templates


class Catalogue(Protocol):
    """Published templates and the brand kits."""

    async def version(self, workspace: WorkspaceId, template: str) -> TemplateVersion | None:
        """``name@version``, or the current version of ``name``."""
        ...

    async def brand(self, workspace: WorkspaceId) -> Brand: ...


class Content(Protocol):
    """A message's rendered content."""

    @property
    def subject(self) -> str: ...
    @property
    def html(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def plain_style(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for all mail of a workspace. ``opt_out``: marketing mail also goes to those who
    have never said anything.
    """

    opt_out: bool = False
    measuring: MeasuringRules = field(default_factory=MeasuringRules)


class Policies(Protocol):
    """Where they are kept."""

    async def policy(self, workspace: WorkspaceId) -> Policy: ...
    async def keep(self, workspace: WorkspaceId, policy: Policy, now: dt.datetime) -> None: ...


class LinkMaker(Protocol):
    """The links of ours that stand in one message."""

    def open(self) -> str | None: ...
    def click(self, index: int, destination: str) -> str: ...
    def unsubscribe(self) -> str: ...
    def preferences(self) -> str: ...


class Render(Protocol):
    """Fills a template in."""

    def render(
        self,
        version: TemplateVersion,
        locale: str | None,
        values: dict[str, Any],
        links: LinkMaker,
    ) -> Content:
        """Raises ``ContentError``."""
        ...


class ContentError(Exception):
    """A message's content could not be made; the text says why."""


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """What asking needs to know of a template."""

    id: str
    message_class: MessageClass
    topic: str | None


# ---------------------------------------------------------------------- what people read


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageQuery:
    """Which messages to list, newest first. ``contact`` is an id, ``address`` an e-mail address;
    ``before`` is (asked_at, id) of the last one shown.
    """

    workspace: WorkspaceId
    contact: str | None = None
    address: str | None = None
    state: State | None = None
    reason: str | None = None
    before: tuple[dt.datetime, str] | None = None
    limit: int = 50


class Reads(Protocol):
    """The ledger as people read it."""

    async def messages(self, query: MessageQuery) -> list[dict[str, Any]]: ...

    async def message(self, workspace: WorkspaceId, id_: str) -> dict[str, Any] | None: ...

    async def permission(self, workspace: WorkspaceId, contact: ContactId) -> Permission: ...

    async def suppressions(
        self, workspace: WorkspaceId, after: tuple[str, str], limit: int
    ) -> list[dict[str, Any]]: ...

    async def suppress(
        self, workspace: WorkspaceId, address: str, reason: str, now: dt.datetime
    ) -> None: ...

    async def unsuppress(self, workspace: WorkspaceId, address: str) -> bool: ...

    async def dead_letters(
        self, before: tuple[dt.datetime, str] | None, limit: int
    ) -> list[dict[str, Any]]:
        """Records that could not be used, newest first, without their content."""
        ...


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A template as lists show it."""

    name: str
    version: str
    message_class: str
    topic: str | None
    updated_at: dt.datetime


class TemplateShelf(Protocol):
    """Templates and brand kits as people write and read them."""

    async def publish(
        self, workspace: WorkspaceId, version: TemplateVersion, files: Mapping[str, str]
    ) -> None: ...

    async def listed(self, workspace: WorkspaceId, after: str, limit: int) -> list[TemplateRow]: ...

    async def show(
        self, workspace: WorkspaceId, name: str
    ) -> tuple[TemplateRow, dict[str, str], list[str]] | None: ...

    async def topics(self, workspace: WorkspaceId) -> list[str]: ...

    async def brand(self, workspace: WorkspaceId) -> Brand: ...

    async def save_brand(self, workspace: WorkspaceId, brand: Brand) -> None: ...


class CouponShelf(Protocol):
    """Coupon pools as people fill and read them."""

    async def add(
        self, workspace: WorkspaceId, pool: str, codes: Sequence[str], now: dt.datetime
    ) -> int:
        """How many of the codes are new."""
        ...

    async def listed(
        self, workspace: WorkspaceId, after: str, limit: int
    ) -> list[dict[str, Any]]: ...
