"""Work off what came back: verify, map to messages, decide, commit under the shard's fence.

Deliveries wait in a table of their own, so a certificate that is slow to fetch holds up no mail.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from chappe.clock import Clock
from chappe.shards import DeadLetter, Input, LostShards
from chappe_sender import metrics
from chappe_sender.application.feedback_desk import decide
from chappe_sender.application.feedback_intake import FeedbackIntake
from chappe_sender.application.feedback_ports import (
    EVENT,
    OPERATOR,
    Choice,
    Delivery,
    Fact,
    FeedbackChanges,
    FeedbackStore,
    Heard,
    NotNow,
    Sites,
    Unusable,
    Worked,
)
from chappe_sender.application.feedback_reading import Reader, Refused, Unread
from chappe_sender.domain.bounces import Kind
from chappe_sender.domain.message import State
from chappe_sender.domain.suppressing import domain_of

BATCH_MAX = 100
IDLE_SECONDS = 5.0
"""How long a decision made at another process's API, or a retry, may wait to be seen."""

TIDY_SECONDS = 600.0
RETRY_BASE = dt.timedelta(seconds=2)
RETRY_MAX = dt.timedelta(minutes=10)
ATTEMPTS_MAX = 60
"""With these waits, about nine hours."""

WAITING_MAX = 1_000
"""Deliveries that are kept for an endpoint without a secret."""

_WORTH_KEEPING = frozenset({Kind.BOUNCED, Kind.REJECTED, Kind.DEFERRED, Kind.COMPLAINED})
_TELLS_OF_A_SITE = frozenset({Kind.BOUNCED, Kind.REJECTED, Kind.DEFERRED, Kind.DELIVERED})
_JUDGES_US = frozenset({Kind.BOUNCED, Kind.REJECTED, Kind.DEFERRED})
_TOLD_BEFORE = frozenset({"own", "late", "not_sent"})
"""Effects of what changes nothing any more: it was judged when it was first told."""

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Sorted:
    """A batch after reading."""

    facts: list[Fact] = field(default_factory=list[Fact])
    choices: list[Choice] = field(default_factory=list[Choice])
    worked: list[Worked] = field(default_factory=list[Worked])


@dataclass(slots=True)
class Feedback:
    """One loop. ``shards`` are those owned now; ``released`` hears when a message may go again."""

    store: FeedbackStore
    intake: FeedbackIntake
    reader: Reader
    sites: Sites
    business: Clock
    wall: Clock
    shards: Callable[[], Sequence[int]]
    released: Callable[[], None] = lambda: None
    judged: Callable[[Heard], Awaitable[None]] | None = None
    """Hears what receivers said of a message after it was handed over."""
    _awake: asyncio.Event = field(default_factory=asyncio.Event)
    _tidied: dt.datetime | None = None

    async def take_in(self, inputs: Sequence[Input], now: dt.datetime) -> list[DeadLetter]:
        kept, unreadable = await self.intake.take_in(inputs, now)
        if kept:
            self.wake()
        return unreadable

    def wake(self) -> None:
        """Something has come."""
        self._awake.set()

    async def run(self) -> None:
        """Until cancelled, or until something unexpected."""
        while True:
            self._awake.clear()
            worked = BATCH_MAX
            while worked >= BATCH_MAX:
                worked = await self.work()
            await self._tidy()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._awake.wait()

    async def work(self) -> int:
        """One batch; how many deliveries were looked at."""
        shards = self.shards()
        if not shards:
            return 0
        due = await self.store.due(shards, self.wall.now(), BATCH_MAX)
        if not due:
            return 0
        found = await self._read(due)
        try:
            await self._commit_or_split(found)
        except LostShards:
            logger.info("Lost shards while working off feedback")
        return len(due)

    async def _commit_or_split(self, found: _Sorted) -> None:
        """One delivery that the database refuses must not hold up the others."""
        try:
            await self._commit(found)
        except Unusable as error:
            for each in found.worked:
                if len(found.worked) > 1:
                    await self._commit_or_split(_only(found, each))
                else:
                    refused = _Sorted()
                    _refuse(each.delivery, f"the database refuses it: {error}", refused)
                    await self._commit(refused)

    # -- reading ----------------------------------------------------------------------------

    async def _read(self, due: Sequence[Delivery]) -> _Sorted:
        endpoints = await self.store.endpoints({each.endpoint for each in due})
        found = _Sorted()
        for delivery in due:
            try:
                reading = await self.reader.read(delivery, endpoints)
            except NotNow as error:
                await self._later(delivery, str(error), found)
                continue
            match reading:
                case Refused(reason=reason):
                    _refuse(delivery, reason, found)
                case Unread():
                    if not await self.store.wait(delivery, WAITING_MAX):
                        _refuse(delivery, "no_secret", found)
                case Choice():
                    found.choices.append(reading)
                    found.worked.append(Worked(delivery, None))
                case _:
                    await self._believe(delivery, reading, found)
        return found

    async def _believe(self, delivery: Delivery, facts: list[Fact], found: _Sorted) -> None:
        """Its message may still be on its way out: what the provider says then waits for us."""
        known = await self.store.known(facts)
        if any(each is not None and each[1] is State.SENDING for each in known):
            await self._later(delivery, "its message is still being sent", found)
            return
        keep = any(fact.event.kind in _WORTH_KEEPING for fact in facts)
        found.facts += facts
        ours = delivery.kind in {EVENT, OPERATOR}
        found.worked.append(Worked(delivery, None, keep=keep and not ours))

    async def _later(self, delivery: Delivery, reason: str, found: _Sorted) -> None:
        if delivery.attempts >= ATTEMPTS_MAX:
            _refuse(delivery, reason, found)
            return
        wait = min(RETRY_BASE * 2 ** min(delivery.attempts, 12), RETRY_MAX)
        metrics.FEEDBACK_DELIVERIES.labels(delivery.kind, "postponed").inc()
        await self.store.postpone(delivery, self.wall.now() + wait, reason)

    # -- deciding ---------------------------------------------------------------------------

    async def _commit(self, found: _Sorted) -> None:
        if not found.worked:
            return
        sites = await self._sites(found.facts)
        now = self.business.now()
        changes = await self.store.apply(
            found.facts,
            found.choices,
            found.worked,
            sites,
            now,
            self.wall.now(),
            lambda held: decide(found.facts, found.choices, held, sites, now),
        )
        self._count(found, changes)
        for heard in changes.heard.values():
            told = heard.message is not None and heard.effect not in _TOLD_BEFORE
            if self.judged is not None and told and heard.event.kind in _JUDGES_US:
                await self.judged(heard)
        if any(each.again for each in changes.moved.values()):
            self.released()

    async def _sites(self, facts: Sequence[Fact]) -> Mapping[str, str]:
        telling = [fact for fact in facts if fact.event.kind in _TELLS_OF_A_SITE]
        known = await self.store.known(telling)
        domains = {
            domain_of(row[0] if row is not None else fact.event.recipient or "")
            for fact, row in zip(telling, known, strict=True)
        }
        return await self.sites.of(domains - {""})

    def _count(self, found: _Sorted, changes: FeedbackChanges) -> None:
        for each in found.worked:
            outcome = "refused" if each.refused else "done"
            metrics.FEEDBACK_DELIVERIES.labels(each.delivery.kind, outcome).inc()
        for heard in changes.heard.values():
            kind = heard.event.kind.value
            metrics.FEEDBACK_FACTS.labels(heard.provider, kind, heard.effect).inc()
        for closed in changes.closed.values():
            metrics.SUPPRESSIONS.labels(closed.reason).inc()
        for workspace, site in changes.spikes:
            logger.warning("A spike of hard bounces is quarantined", site=site, workspace=workspace)

    async def _tidy(self) -> None:
        now = self.wall.now()
        if 0 not in self.shards():
            return
        if self._tidied is None or (now - self._tidied).total_seconds() >= TIDY_SECONDS:
            self._tidied = now
            await self.store.tidy(self.business.now(), now)


def _only(found: _Sorted, worked: Worked) -> _Sorted:
    id_ = worked.delivery.id
    return _Sorted(
        [fact for fact in found.facts if fact.delivery.id == id_],
        [choice for choice in found.choices if choice.delivery.id == id_],
        [worked],
    )


def _refuse(delivery: Delivery, reason: str, found: _Sorted) -> None:
    logger.info("Feedback was refused", provider=delivery.kind, reason=reason)
    found.worked.append(Worked(delivery, reason, refused=True))
