"""Which way a message goes: by workspace, class, From domain and priority; and what is open now.

A workspace's providers are tried in the order of their priority. A message changes its way only
before its content was about to be written, or after a provider proved that it did not take it.
"""

import datetime as dt
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from chappe.ids import MessageId, WorkspaceId
from chappe_sender.domain.providers import CAPABILITIES, Capabilities, Kind, may_send
from chappe_sender.domain.template import MessageClass

AVOIDED_MAX = 10_000
PRIORITY_DEFAULT = 100
CLASSES = tuple(MessageClass)


class RouteState(StrEnum):
    """``stopped`` is what the sender itself did, after too many doubts."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRecord:
    """A provider as an operator set it up. ``classes`` and ``domains`` empty: all of them.

    ``priority``: lower goes first. ``repr`` never shows the secrets.
    """

    id: str
    workspace: WorkspaceId
    name: str
    kind: Kind
    secrets: Mapping[str, str] = field(repr=False)
    options: Mapping[str, str]
    classes: tuple[MessageClass, ...] = ()
    domains: tuple[str, ...] = ()
    priority: int = PRIORITY_DEFAULT
    state: RouteState = RouteState.ACTIVE
    reason: str | None = None
    created_at: dt.datetime
    updated_at: dt.datetime

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES[self.kind]

    def carries(self, message_class: MessageClass) -> bool:
        """Whether mail of this class is meant for it, and may go this way."""
        meant = not self.classes or message_class in self.classes
        return meant and may_send(self.kind, message_class, self.options) is None

    def serves(self, domain: str) -> bool:
        return not self.domains or domain in self.domains

    def number(self, option: str, default: int) -> int:
        value = self.options.get(option)
        return int(value) if value else default

    @property
    def batch_size(self) -> int:
        return self.number("batch", self.capabilities.batch_size)

    @property
    def in_flight(self) -> int:
        return self.number("in_flight", self.capabilities.in_flight)

    @property
    def per_second(self) -> float | None:
        value = self.options.get("rate")
        return float(value) if value else self.capabilities.per_second


@dataclass(frozen=True, slots=True)
class Admission:
    """What has a way to go now: by ``workspace/class`` where providers are meant for it, else what
    the default way takes.
    """

    planned: Mapping[str, bool]
    default: frozenset[MessageClass]

    def __bool__(self) -> bool:
        return bool(self.default) or any(self.planned.values())

    def admits(self, workspace: WorkspaceId, message_class: MessageClass) -> bool:
        return self.planned.get(lane_key(workspace, message_class), message_class in self.default)


def lane_key(workspace: WorkspaceId, message_class: MessageClass | None) -> str:
    """Of ``Admission`` and ``plan``."""
    return f"{workspace}/{message_class or MessageClass.MARKETING}"


def plan(records: Iterable[ProviderRecord]) -> dict[str, list[ProviderRecord]]:
    """``workspace/class`` → the providers that are meant for it, the first choice first.

    What is paused or stopped counts: its mail waits, rather than go another way in silence.
    """
    found: dict[str, list[ProviderRecord]] = {}
    for record in sorted(records, key=lambda each: (each.priority, each.created_at, each.id)):
        for message_class in CLASSES:
            if record.carries(message_class):
                found.setdefault(lane_key(record.workspace, message_class), []).append(record)
    return found


def choose(
    candidates: Sequence[ProviderRecord], domain: str, open_: Iterable[str], avoid: Iterable[str]
) -> ProviderRecord | None:
    """The first that serves ``domain``, is in ``open_``, and did not refuse this message before."""
    usable, tried = set(open_), set(avoid)
    for record in candidates:
        if record.id in usable and record.id not in tried and record.serves(domain):
            return record
    return None


class Refusals:
    """Which providers refused a message, so that it goes another way; the last ones are kept."""

    def __init__(self) -> None:
        self._of: OrderedDict[MessageId, frozenset[str]] = OrderedDict()
        self._alone: OrderedDict[MessageId, None] = OrderedDict()

    def add(self, message: MessageId, provider: str) -> frozenset[str]:
        """All that refused it by now."""
        all_ = self._of.get(message, frozenset()) | {provider}
        self._of[message] = all_
        if len(self._of) > AVOIDED_MAX:
            self._of.popitem(last=False)
        return all_

    def of(self, message: MessageId) -> frozenset[str]:
        return self._of.get(message, frozenset())

    def isolate(self, message: MessageId) -> None:
        """It was in a load that was refused as a whole: it goes alone the next time."""
        self._alone[message] = None
        if len(self._alone) > AVOIDED_MAX:
            self._alone.popitem(last=False)

    def is_alone(self, message: MessageId) -> bool:
        return message in self._alone

    def forget(self, message: MessageId) -> None:
        self._of.pop(message, None)
        self._alone.pop(message, None)
