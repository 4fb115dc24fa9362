"""Claim what is due, as far as there is room for it, and give each message its way."""

import asyncio
import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from chappe.clock import Clock, monotonic
from chappe.shards import LostShards, fault_point
from chappe_sender.application.bad_day import BadDay
from chappe_sender.application.default_way import DefaultWay
from chappe_sender.application.flight import Flight
from chappe_sender.application.lag import Lag
from chappe_sender.application.line import Ready
from chappe_sender.application.lines import Lines
from chappe_sender.application.notes import Notes
from chappe_sender.application.opening import Opening
from chappe_sender.application.ports import Ledger
from chappe_sender.application.routing import Admission, Refusals
from chappe_sender.application.sites import Sites
from chappe_sender.domain.breaker import Breaker
from chappe_sender.domain.providers import Kind
from chappe_sender.domain.template import MessageClass

CLAIM_MAX = 64
"""Messages claimed and waiting for a lane; also the most that one claim takes."""

IDLE_SECONDS = 30.0
BLOCKED_SECONDS = 1.0
"""How long to wait before looking again when something is due and must wait (for events)."""
BLOCKED_WAIT = dt.timedelta(minutes=5)
"""When a message's From domain is blocked: DNS contradicts what we would send."""
CLOSED_WAIT = dt.timedelta(seconds=5)
"""When a message's routes closed between the look and the claim."""

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Claims:
    """``sites`` None: every site takes all. ``default`` None: only what has a provider is sent.
    ``day`` None: nothing is withheld.
    """

    ledger: Ledger
    business: Clock
    wall: Clock
    lag: Lag
    flight: Flight
    notes: Notes
    opening: Opening
    lines: Lines
    refusals: Refusals
    breaker: Breaker
    site: Callable[[str], str]
    sites: Sites | None = None
    default: DefaultWay | None = None
    day: BadDay | None = None
    draining: bool = False
    _blocked: bool = False
    """Something is due and waits for its shard to read on, or for room."""
    _changed: bool = False
    """Some shard has read on, or some way has room, since the last claim began: what it refused may
    be possible now.
    """
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _work: asyncio.Event = field(default_factory=asyncio.Event)

    # -- news -------------------------------------------------------------------------------

    def wake(self) -> None:
        """There is something new."""
        self._work.set()

    def advanced(self) -> None:
        """Some shard has read on: what was refused may be possible now."""
        self._changed = True
        if self._blocked:
            self._work.set()

    def made_room(self) -> None:
        """Some way may be open, or have room, that was not or had none."""
        self._room.set()
        self.advanced()

    # -- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            while (admission := self._admission()) is None:
                self._room.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(BLOCKED_SECONDS if self.lines else None):
                        await self._room.wait()
            self._work.clear()
            self._changed = False
            moved = 0
            try:
                moved = await self._claim(admission)
            except LostShards:
                logger.info("Lost shards while claiming")
            if moved < CLAIM_MAX:
                await self._wait(moved)

    def _admission(self) -> Admission | None:
        """What may be claimed now, as far as there is room for it; None: nothing."""
        default = self.default.room if self.default is not None else frozenset[MessageClass]()
        if self.day is not None and self.day.default_stopped:
            default = frozenset[MessageClass]()
        return Admission(self.lines.admission(), default) or None

    async def _claim(self, admission: Admission) -> int:
        """Take what is due; returns how many were taken or ended."""
        if not self.flight.shards or self.draining:
            return 0
        shards = self.flight.open_shards
        haul = await self.ledger.claim(
            shards,
            lagging=await self.lag.shards(shards),
            now=self.business.now(),
            wall=self.wall.now(),
            limit=CLAIM_MAX,
            admits=admission.admits,
        )
        if haul.claimed:
            fault_point("after_claim")
        for each in haul.claimed:
            if not self.flight.is_ours(each.message.shard, each.epoch):
                continue
            if each.message.shard in self.flight.leaving:
                continue  # its next owner finds it claimed and not begun
            ready = await self.opening.ready(each)
            self.flight.begin(each)
            await self._give(ready)
        self.flight.count()
        if self.default is not None:
            self.default.wake()
        return haul.moved

    async def _wait(self, moved: int) -> None:
        """Until there is something new, or the next message is due. What ``moved`` may have been
        one lane's share: if more is due, there is nothing to wait for.
        """
        seconds = IDLE_SECONDS
        if self.flight.shards and not self._work.is_set():
            due = await self.ledger.next_due(list(self.flight.shards))
            if due is not None:
                left = (due - self.business.now()).total_seconds()
                self._blocked = left <= 0
                if self._blocked and (moved or self._changed):
                    self._blocked = False
                    return
                seconds = BLOCKED_SECONDS if self._blocked else min(left, IDLE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.wait()
        self._blocked = False

    # -- which way --------------------------------------------------------------------------

    async def _give(self, ready: Ready) -> None:
        if (rest := self._breaks(ready)) is not None:
            self.notes.postpone(ready.claimed, rest[0], "breaker", rest[1])
        elif (why := self._blocked_by(ready)) is not None:
            self.notes.postpone(ready.claimed, BLOCKED_WAIT, "domain_check", why)
        elif self.lines:
            await self._route(ready)
        elif self.default is not None and not await self._rests(ready):
            self.default.put(ready)

    async def _route(self, ready: Ready) -> None:
        """To the line of the provider that should carry it, else the default way."""
        message = ready.claimed.message
        domain = self.opening.domain(ready)
        tried = self.refusals.of(message.id)
        if not self.lines.concerns(message, domain):
            if self.default is not None:
                if not await self._rests(ready):
                    self.default.put(ready)
                return
        elif (line := self.lines.choose(message, domain, tried)) is not None:
            # Who speaks to the exchangers hears for himself how fast that may be.
            if line.record.kind is Kind.DIRECT or not await self._rests(ready):
                line.put(ready)
            return
        elif not self.lines.untried(message, domain, tried):
            self.refusals.forget(message.id)
        self.notes.postpone(ready.claimed, CLOSED_WAIT, "no_route")

    async def _rests(self, ready: Ready) -> bool:
        """Whether its MX site is to get nothing now; then it is put off."""
        if self.sites is None:
            return False
        claimed = ready.claimed
        rest = await self.sites.waits(claimed.address, marketing=claimed.message.is_marketing)
        if rest is not None:
            self.notes.postpone(claimed, rest.wait, rest.reason, rest.detail)
        return rest is not None

    def _breaks(self, ready: Ready) -> tuple[dt.timedelta, str] | None:
        """How long marketing waits where it was refused for what we are, and how it was."""
        claimed = ready.claimed
        if not claimed.message.is_marketing or not self.breaker:
            return None
        site = self.site(claimed.address)
        seconds, why = self.breaker.waits(self.opening.domain(ready), site, monotonic())
        return (dt.timedelta(seconds=seconds), why) if seconds else None

    def _blocked_by(self, ready: Ready) -> str | None:
        message = ready.claimed.message
        if not message.is_marketing:
            return None
        keys = self.opening.scribe.keys
        return keys.blocked(message.workspace, self.opening.domain(ready))
