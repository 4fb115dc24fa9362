"""Ask everybody inside some versions of a journey to change version, or to leave.

A page of orders at a time goes to ``events.bulk``, where the owner of each contact's shard obeys
it; the place is kept, so that whoever goes on after a crash repeats a page at most, which does
nothing twice. After each pass it looks whether anybody is left, and passes again: somebody may
have been on the way from one shard to another.
"""

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import msgspec
import structlog

from chappe.broker import Broker, BrokerError, Outgoing
from chappe.clock import Clock
from chappe.events import EVENTS_BULK, Event, contact_key, encode_event
from chappe.ids import ContactId, EnrollmentId, EventId, WorkspaceId, derived, partition_of
from chappe.shards import wrap
from chappe_orchestrator.domain.orders import EXIT, UPGRADE

PAGE_ENROLLMENTS = 1_000
PASSES_MAX = 8
HELD = dt.timedelta(seconds=60)
"""How long a move is ours without a word: a page takes far less."""
POLL_SECONDS = 5.0

logger = structlog.get_logger(__name__)


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """To change to version ``to``, by these ``moves``; or, without ``to``, to leave."""

    to: int | None = None
    moves: dict[str, str | None] = {}
    reason: str = "archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdMove:
    """One such move and its place: the last enrollment of this pass that was looked at."""

    id: str
    workspace: WorkspaceId
    journey: str
    versions: tuple[int, ...]
    order: Order
    next_at: dt.datetime
    state: str = "running"
    passes: int = 0
    after_at: dt.datetime | None = None
    after_id: str = ""
    asked: int = 0


class Member(NamedTuple):
    """Somebody to be asked."""

    contact: ContactId
    enrollment: EnrollmentId


class Page(NamedTuple):
    """``last`` is the place after it; None: nobody comes after these."""

    members: list[Member]
    last: tuple[dt.datetime, str] | None


class Crowds(Protocol):
    """Where moves are kept."""

    async def add(self, move: CrowdMove, created_at: dt.datetime) -> None: ...

    async def claim(self, now: dt.datetime, until: dt.datetime) -> CrowdMove | None:
        """One that is to go on, ours until then."""
        ...

    async def page(self, move: CrowdMove, limit: int) -> Page:
        """The next enrollments of the journey; members are those still to be moved."""
        ...

    async def keep(self, move: CrowdMove, ended_at: dt.datetime | None) -> None: ...

    async def left(self, workspace: WorkspaceId, journey: str, versions: Sequence[int]) -> int:
        """How many are inside these versions still."""
        ...

    async def one(self, workspace: WorkspaceId, journey: str, move: str) -> CrowdMove | None: ...

    async def running(self) -> bool:
        """Whether some move has not asked everybody once."""
        ...


@dataclass(slots=True)
class CrowdMover:
    """Takes moves one page at a time; any number of processes may run one."""

    crowds: Crowds
    broker: Broker
    business: Clock
    wall: Clock
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """There is a new one."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            try:
                while await self.turn():
                    pass
            except BrokerError as error:
                logger.warning("The log does not take orders; trying again", error=str(error))
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def turn(self) -> bool:
        """One page of one move; False when none is to go on now."""
        now = self.wall.now()
        move = await self.crowds.claim(now, now + HELD)
        if move is None:
            return False
        page = await self.crowds.page(move, PAGE_ENROLLMENTS)
        await self._ask(move, page.members)
        asked = move.asked + len(page.members)
        if page.last is not None:
            at, last = page.last
            await self.crowds.keep(
                replace(move, after_at=at, after_id=last, asked=asked, next_at=now), None
            )
            return True
        left = await self.crowds.left(move.workspace, move.journey, move.versions)
        passes = move.passes + 1
        over = (left == 0 and not page.members) or passes >= PASSES_MAX
        if over and left:
            logger.warning("Somebody could not be moved", journey=move.journey, left=left)
        later = now + dt.timedelta(seconds=2**passes)
        again = replace(move, after_at=None, after_id="", asked=asked, passes=passes, next_at=later)
        await self.crowds.keep(again, self.business.now() if over else None)
        return True

    async def _ask(self, move: CrowdMove, members: Sequence[Member]) -> None:
        if members:
            records = [self._record(move, member) for member in members]
            await self.broker.append(EVENTS_BULK, records)

    def _record(self, move: CrowdMove, member: Member) -> Outgoing:
        now, order = self.business.now(), move.order
        told = {"enrollment": member.enrollment, "by": move.id}
        if order.to is None:
            data = {**told, "reason": order.reason}
        else:
            data = {**told, "to": order.to, "moves": order.moves}
        event = Event(
            id=EventId(derived("e_", move.id, member.enrollment, str(move.passes))),
            name=EXIT if order.to is None else UPGRADE,
            workspace=move.workspace,
            occurred_at=now,
            received_at=now,
            contact=member.contact,
            data=data,
        )
        key = contact_key(move.workspace, member.contact)
        partition = partition_of(key, self.broker.partitions)
        return Outgoing(partition, key, wrap(encode_event(event)))
