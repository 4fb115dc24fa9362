"""What working off feedback needs from outside, in its own words."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chappe.events import Decision, Event
from chappe.ids import MessageId, WorkspaceId
from chappe_sender.domain.bounces import ProviderEvent
from chappe_sender.domain.feedback.keys import Keys
from chappe_sender.domain.message import Message, State
from chappe_sender.domain.suppressing import Health, Rules, Site

MAIL, EVENT, OPERATOR = "mail", "event", "operator"
"""Kinds of delivery that are no provider's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something that came back, as it came. ``kind`` is a provider's or one of ours."""

    id: str
    shard: int
    kind: str
    endpoint: str
    received_at: dt.datetime
    received_wall: dt.datetime
    headers: Mapping[str, str]
    body: bytes
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a provider reaches us. ``topic``: the only SNS topic that is believed, once known."""

    id: str
    workspace: WorkspaceId
    kind: str
    keys: Keys | None
    topic: str | None
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """An SQS queue, and the keys that may read it."""

    url: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that was told about one recipient, by somebody whom we believe.

    ``candidates`` are ids that may be our message's, ``provider_ids`` ids that a provider gave it.
    ``own``: read from ``events``, so everybody has heard it already.
    ``workspace`` is None where only the message says it.
    """

    delivery: Delivery
    workspace: WorkspaceId | None
    event: ProviderEvent
    candidates: tuple[str, ...] = ()
    provider_ids: tuple[str, ...] = ()
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An operator's word on a message in doubt."""

    delivery: Delivery
    workspace: WorkspaceId
    message: MessageId
    accepted: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A message's row, locked."""

    message: Message
    state: State
    attempts: int
    address: str
    topic: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """What is known before deciding; the messages are locked."""

    messages: Mapping[str, Row]
    by_provider: Mapping[tuple[str, str], str]
    keys: frozenset[tuple[str, str]]
    health: Mapping[tuple[str, str], Health]
    sites: Mapping[tuple[str, str], Site]
    rules: Mapping[str, Rules]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One fact for the record."""

    workspace: WorkspaceId
    key: str
    message: str | None
    provider: str
    event: ProviderEvent
    effect: str
    delivery: str
    occurred_at: dt.datetime
    marketing: bool = False
    site: str = ""
    """The MX site of its address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A message's new state."""

    id: MessageId
    was: State
    state: State
    reason: str | None = None
    detail: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """An address that is suppressed now."""

    workspace: WorkspaceId
    address: str
    reason: str
    source: str
    site: str | None
    bounce_class: str | None
    detail: str | None


@dataclass(slots=True)
class FeedbackChanges:
    """What some deliveries change, each row at most once."""

    moved: dict[MessageId, Moved] = field(default_factory=dict)
    heard: dict[tuple[str, str], Heard] = field(default_factory=dict)
    health: dict[tuple[str, str], Health] = field(default_factory=dict)
    sites: dict[tuple[str, str], Site] = field(default_factory=dict)
    """Added to this hour's."""
    closed: dict[tuple[str, str], Closed] = field(default_factory=dict)
    spikes: set[tuple[str, str]] = field(default_factory=set)
    """(workspace, site) whose recent hard bounces are quarantined."""
    told: list[tuple[int, Event | Decision]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Worked:
    """A delivery that needs no more work. ``keep``: its bytes stay for whoever wants to look."""

    delivery: Delivery
    reason: str | None
    refused: bool = False
    keep: bool = False


class Pins(Protocol):
    """Which SNS topic each endpoint believes."""

    async def pin(self, endpoint: str, topic: str) -> bool:
        """Believe this topic from now on, unless another is believed already."""
        ...


class FeedbackStore(Protocol):
    """Deliveries and what they change, in Postgres, under the shards' fence."""

    async def due(self, shards: Sequence[int], wall: dt.datetime, limit: int) -> list[Delivery]: ...

    async def endpoints(self, ids: Iterable[str]) -> Mapping[str, Endpoint]: ...

    async def postpone(self, delivery: Delivery, until: dt.datetime, reason: str) -> None:
        """Look at it again then."""
        ...

    async def wait(self, delivery: Delivery, most: int) -> bool:
        """Keep it until its endpoint has a secret; False when as many as may wait already."""
        ...

    async def known(self, facts: Sequence[Fact]) -> Sequence[tuple[str, State] | None]:
        """Address and state of each fact's message, not locked; None where there is none."""
        ...

    async def apply(
        self,
        facts: Sequence[Fact],
        choices: Sequence[Choice],
        worked: Sequence[Worked],
        sites: Mapping[str, str],
        now: dt.datetime,
        wall: dt.datetime,
        decide: "Decide",
    ) -> FeedbackChanges:
        """Load, decide and commit in one transaction. Raises ``LostShards``, ``Unusable``."""
        ...

    async def tidy(self, now: dt.datetime, wall: dt.datetime) -> None:
        """Forget what is old, release what was quarantined long enough."""
        ...


class Decide(Protocol):
    """The part in the middle."""

    def __call__(self, held: Held) -> FeedbackChanges: ...


class Certificates(Protocol):
    """Amazon's signing certificates."""

    async def pem(self, url: str) -> str:
        """The certificate at a URL that was checked. Raises ``NotNow``."""
        ...

    async def confirm(self, url: str) -> None:
        """Ask for a subscription that was checked. Raises ``NotNow``."""
        ...


class NotNow(Exception):
    """Something outside did not answer; try again later."""


class Unusable(Exception):
    """The database refuses something in these deliveries, for good."""


class Sites(Protocol):
    """Which MX site takes a domain's mail."""

    async def of(self, domains: Iterable[str]) -> Mapping[str, str]:
        """By domain; the domain itself where nobody knows. Never raises, bounded in time."""
        ...
