"""Hand messages over: claim what is due, write down each commitment and outcome, never twice.

Three loops share one queue. The claimer takes due messages in batches; the lanes of the way out
carry them; the scribe of the ledger writes commitments and outcomes in groups, so that one durable
write serves every lane that waits. A lane's outcome is durable before its next commitment is, so
what a crash leaves unknown is at most one message per open connection.
"""

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from chappe.clock import Clock, monotonic
from chappe.ids import MessageId
from chappe.service import Evidence
from chappe.shards import LostShards, Owned, fault_point
from chappe_sender import metrics
from chappe_sender.application.lag import Lag
from chappe_sender.application.letter import Letter, Scribe
from chappe_sender.application.ports import (
    Catalogue,
    Claimed,
    Commitment,
    Ended,
    Interrupted,
    Ledger,
    Parcel,
    Verdict,
    WayOut,
)
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.ending import Ending, Refusal, ending
from chappe_sender.domain.message import State
from chappe_sender.domain.outcome import InDoubt, Stage
from chappe_sender.domain.template import MessageClass, TemplateVersion

CLAIM_MAX = 64
"""Messages claimed and waiting for a lane; also the most that one claim takes."""

QUEUE_LOW = 16
"""With fewer waiting for a lane than this, the next are claimed."""

IDLE_SECONDS = 30.0
BLOCKED_SECONDS = 1.0
"""How long to wait before looking again when something is due and must wait (for events)."""
SETTLE_SECONDS = 20.0
DRAIN_SECONDS = 10.0
FINISH_SECONDS = 4.0
"""Less than a lease, which is not renewed meanwhile."""
LATE_MAX = 1_000
"""Outcomes of lost shards that are kept, in case we get the shards again."""

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Ready:
    """A claimed message with what it takes to write it."""

    claimed: Claimed
    version: TemplateVersion | None
    brand: Brand
    since: float


@dataclass(slots=True)
class _Note:
    """One commitment that a lane waits for."""

    commitment: Commitment
    answer: asyncio.Future[bool]


@dataclass(slots=True)
class HandOver:
    """Implements ``Work`` for the way out and ``Shards`` for the processor.

    ``capture``: nothing is sent; what is due ends as skipped.
    """

    ledger: Ledger
    catalogue: Catalogue
    scribe: Scribe
    way_out: WayOut
    business: Clock
    wall: Clock
    lag: Lag
    evidence: Evidence | None = None
    capture: bool = False
    _draining: bool = False
    _leaving: set[int] = field(default_factory=set[int])
    _shards: dict[int, int] = field(default_factory=dict)
    _queue: deque[_Ready] = field(default_factory=deque)
    _in_flight: dict[MessageId, tuple[Claimed, float]] = field(default_factory=dict)
    _carried: set[MessageId] = field(default_factory=set)
    _late: dict[MessageId, Ended] = field(default_factory=dict)
    _commitments: list[_Note] = field(default_factory=list)
    _endings: list[Ended] = field(default_factory=list)
    _blocked: bool = False
    """Something is due and waits for its shard to read on."""
    _read_on: bool = False
    """Some shard has read on since the last claim began: what it refused may be possible now."""
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _work: asyncio.Event = field(default_factory=asyncio.Event)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _to_note: asyncio.Event = field(default_factory=asyncio.Event)
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until cancelled, or until something unexpected."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._claim_for_ever(), name="sender claims")
            tasks.create_task(self._note_for_ever(), name="sender notes")
            tasks.create_task(self.way_out.run(self), name="sender lanes")

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    # -- shards -----------------------------------------------------------------------------

    def wake(self) -> None:
        self._work.set()

    def advanced(self) -> None:
        self._read_on = True
        if self._blocked:
            self._work.set()

    async def finish(self, shards: Sequence[int]) -> None:
        """These are about to be somebody else's: leave nothing of theirs on the wire, or those
        messages would be in doubt.
        """
        leaving = set(shards)
        self._leaving |= leaving
        self._put_aside(leaving)
        await self._come_to_rest(leaving, FINISH_SECONDS)

    async def forget(self, shards: Sequence[int]) -> None:
        """Their messages are somebody else's now: what waits is dropped, what is on the wire ends
        where it is, without being written down by us.
        """
        gone = set(shards)
        for shard in gone:
            self._shards.pop(shard, None)
        self._leaving -= gone
        dropped = [ready for ready in self._queue if ready.claimed.message.shard in gone]
        self._queue = deque(r for r in self._queue if r.claimed.message.shard not in gone)
        for ready in dropped:
            self._leave(ready.claimed)

    async def adopt(self, shards: Sequence[Owned]) -> None:
        ours: dict[int, int] = {owned.shard: owned.epoch for owned in shards}
        # What our own lanes still carry of these shards, from before they were lost.
        await self._come_to_rest(set(ours), SETTLE_SECONDS)
        while ours:
            left = await self.ledger.interrupted(sorted(ours))
            endings = [await self._conclude(each) for each in left]
            try:
                if endings:
                    await self.ledger.note([], endings, self.business.now())
                    logger.info("Concluded interrupted messages", messages=len(endings))
            except LostShards as lost:
                ours = {s: epoch for s, epoch in ours.items() if s not in lost.shards}
                continue
            break
        self._shards |= ours
        self.wake()

    async def _conclude(self, left: Interrupted) -> Ended:
        """What became of a message that was being sent when its shard's owner stopped."""
        claimed = left.claimed
        late = self._late.pop(claimed.message.id, None)
        if late is not None and late.epoch == claimed.epoch:
            return late
        if not left.committing:
            made = _again(self.business.now(), "interrupted")
        elif claimed.message.id in self._carried or self.evidence is None:
            made = self._end(claimed, InDoubt(Stage.VERDICT, "the sender stopped")).ending
        elif await self.evidence.has(left.header_id or ""):
            made = Ending(
                State.ACCEPTED, "handed_over", "email.accepted", detail="found in the inbox"
            )
        else:
            made = _again(self.business.now(), "not_in_the_inbox")
        return Ended(claimed.message, claimed.epoch, made, claimed.address)

    async def drain(self) -> None:
        """Take nothing new, give back what waits, and finish what is on the wire."""
        self._draining = True
        every = set(self._shards)
        self._put_aside(every)
        await self._come_to_rest(every, DRAIN_SECONDS)

    def _put_aside(self, shards: set[int]) -> None:
        """What waits for a lane may be claimed again, by whoever owns its shard then."""
        now = self.business.now()
        waiting, self._queue = self._queue, deque[_Ready]()
        for ready in waiting:
            claimed = ready.claimed
            if claimed.message.shard in shards:
                made = _again(now, "stopped")
                self._endings.append(Ended(claimed.message, claimed.epoch, made, claimed.address))
            else:
                self._queue.append(ready)
        self._to_note.set()

    async def _come_to_rest(self, shards: set[int], seconds: float) -> None:
        """Until nothing of these shards is on the wire, or patience ends."""
        try:
            async with asyncio.timeout(seconds):
                while any(c.message.shard in shards for c, _ in self._in_flight.values()):
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            logger.warning("Messages are still on the wire", shards=len(shards))

    # -- claiming ---------------------------------------------------------------------------

    async def _claim_for_ever(self) -> None:
        while True:
            while len(self._queue) > QUEUE_LOW:
                self._room.clear()
                await self._room.wait()
            self._work.clear()
            self._read_on = False
            claimed = 0
            try:
                claimed = await self._claim()
            except LostShards:
                logger.info("Lost shards while claiming")
            if claimed < CLAIM_MAX:
                await self._wait()

    async def _claim(self) -> int:
        """Take what is due; returns how many."""
        if not self._shards or self._draining:
            return 0
        shards = {s: epoch for s, epoch in self._shards.items() if s not in self._leaving}
        claimed = await self.ledger.claim(
            shards,
            lagging=await self.lag.shards(shards),
            now=self.business.now(),
            wall=self.wall.now(),
            capture=self.capture,
            limit=CLAIM_MAX,
        )
        if claimed:
            fault_point("after_claim")
        for each in claimed:
            if self._shards.get(each.message.shard) != each.epoch:
                continue
            if each.message.shard in self._leaving:
                continue  # its next owner finds it claimed and not begun
            version = await self.catalogue.version(
                each.message.workspace, each.message.template or ""
            )
            brand = await self.catalogue.brand(each.message.workspace)
            self._in_flight[each.message.id] = (each, monotonic())
            self._queue.append(_Ready(each, version, brand, monotonic()))
        self._count()
        self._filled.set()
        return len(claimed)

    async def _wait(self) -> None:
        """Until there is something new, or the next message is due."""
        seconds = IDLE_SECONDS
        if self._shards and not self._work.is_set():
            due = await self.ledger.next_due(list(self._shards))
            if due is not None:
                left = (due - self.business.now()).total_seconds()
                self._blocked = left <= 0
                if self._blocked and self._read_on:
                    self._blocked = False
                    return
                seconds = BLOCKED_SECONDS if self._blocked else min(left, IDLE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.wait()
        self._blocked = False

    # -- the lanes' work --------------------------------------------------------------------

    async def take(self) -> Parcel:
        while (letter := self.take_now()) is None:
            self._filled.clear()
            await self._filled.wait()
        return letter

    def take_now(self) -> Letter | None:
        while self._queue:
            ready = self._queue.popleft()
            if len(self._queue) <= QUEUE_LOW:
                self._room.set()
            claimed = ready.claimed
            written = self._write(ready)
            if isinstance(written, Letter):
                self._carried.add(claimed.message.id)
                return written
            self._conclude_with(claimed, written)
        return None

    def _write(self, ready: _Ready) -> Letter | Refusal:
        if ready.version is None:
            return Refusal("template_missing", ready.claimed.message.template)
        try:
            return self.scribe.write(ready.claimed, ready.version, ready.brand)
        except Exception as error:
            # One message that cannot be written must not stop the others, restart after restart.
            logger.exception("A message could not be written", message=ready.claimed.message.id)
            return Refusal("render_failed", type(error).__name__)

    async def about_to_commit(self, parcel: Parcel) -> bool:
        letter = _letter(parcel)
        commitment = Commitment(letter.claimed, letter.header_id, letter.subject)
        note = _Note(commitment, asyncio.get_running_loop().create_future())
        self._commitments.append(note)
        self._to_note.set()
        if await note.answer:
            return True
        self._carried.discard(letter.claimed.message.id)
        return False

    def report(self, parcel: Parcel, verdict: Verdict) -> None:
        letter = _letter(parcel)
        self._carried.discard(letter.claimed.message.id)
        self._conclude_with(letter.claimed, verdict, letter.subject)

    def _conclude_with(
        self, claimed: Claimed, verdict: Verdict | Refusal, subject: str | None = None
    ) -> None:
        self._endings.append(self._end(claimed, verdict, subject))
        self._to_note.set()

    def _end(
        self, claimed: Claimed, verdict: Verdict | Refusal, subject: str | None = None
    ) -> Ended:
        made = ending(
            verdict,
            message=claimed.message.id,
            message_class=claimed.message.message_class or MessageClass.MARKETING,
            attempts=claimed.attempts,
            now=self.business.now(),
        )
        return Ended(claimed.message, claimed.epoch, made, claimed.address, subject)

    # -- writing down -----------------------------------------------------------------------

    async def _note_for_ever(self) -> None:
        while True:
            await self._to_note.wait()
            self._to_note.clear()
            commitments, self._commitments = self._commitments, []
            endings, self._endings = self._endings, []
            await self._note(commitments, endings)

    async def _note(self, commitments: list[_Note], endings: list[Ended]) -> None:
        ours = [each for each in endings if self._shards.get(each.message.shard) == each.epoch]
        late = [each for each in endings if each not in ours]
        started = monotonic()
        try:
            noted = await self.ledger.note(
                [note.commitment for note in commitments], ours, self.business.now()
            )
        except LostShards:
            self._put_back(commitments, ours)
            return
        else:
            metrics.NOTE_SECONDS.observe(monotonic() - started)
            metrics.NOTE_MESSAGES.observe(len(commitments) + len(endings))
            if noted.committed:
                fault_point("after_about_to_commit")
            if ours:
                fault_point("after_outcome_commit")
            for note in commitments:
                allowed = note.commitment.claimed.message.id in noted.committed
                if not allowed:
                    self._leave(note.commitment.claimed)
                if not note.answer.done():
                    note.answer.set_result(allowed)
        self._conclude_noted(ours, late)

    def _put_back(self, commitments: list[_Note], endings: list[Ended]) -> None:
        """Nothing of a group was written, or nobody knows. For shards that are still ours, it was
        not: try again. For the others the next owner decides, and may be us.
        """
        now = self.business.now()
        for note in commitments:
            claimed = note.commitment.claimed
            made = _again(now, "interrupted")
            endings.append(Ended(claimed.message, claimed.epoch, made, claimed.address))
            self._carried.discard(claimed.message.id)
            if not note.answer.done():
                note.answer.set_result(False)
        for each in endings:
            if self._shards.get(each.message.shard) == each.epoch:
                self._endings.append(each)
                self._to_note.set()
            else:
                self._conclude_noted([], [each])

    def _conclude_noted(self, noted: list[Ended], late: list[Ended]) -> None:
        for each in late:
            self._late[each.message.id] = each
            if len(self._late) > LATE_MAX:
                del self._late[next(iter(self._late))]
        for each in noted:
            known = self._in_flight.get(each.message.id)
            if known is not None:
                metrics.HAND_OVER_SECONDS.observe(monotonic() - known[1])
            metrics.MESSAGES.labels(each.ending.state, each.message.message_class or "").inc()
        for each in (*noted, *late):
            self._in_flight.pop(each.message.id, None)
        self._count()
        if any(each.ending.state is State.SCHEDULED for each in noted):
            self.wake()
        self._quiet.set()

    def _leave(self, claimed: Claimed) -> None:
        """No longer ours to conclude."""
        self._carried.discard(claimed.message.id)
        self._in_flight.pop(claimed.message.id, None)
        self._count()
        self._quiet.set()

    def _count(self) -> None:
        metrics.IN_FLIGHT.set(len(self._in_flight))


def _letter(parcel: Parcel) -> Letter:
    assert isinstance(parcel, Letter), "a parcel that we did not write"
    return parcel


def _again(now: dt.datetime, reason: str) -> Ending:
    """Back to the start: nothing of it can have been accepted."""
    return Ending(State.PENDING, "postponed", None, reason, next_attempt_at=now)
