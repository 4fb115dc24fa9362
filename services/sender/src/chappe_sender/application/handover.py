"""Hand messages over: claim what is due, write down each commitment and outcome, never twice.

Three loops share one queue. The claimer takes due messages in batches; the lanes of the way out
carry them; the scribe of the ledger writes commitments and outcomes in groups, so that one durable
write serves every lane that waits. A lane's outcome is durable before its next commitment is, so
what a crash leaves unknown is at most one message per open connection.
"""

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from chappe.clock import Clock, monotonic
from chappe.ids import MessageId
from chappe.service import Evidence
from chappe.shards import LostShards, Owned, fault_point
from chappe_sender import metrics
from chappe_sender.application.asking_again import may_ask_again, rebuild, take_over
from chappe_sender.application.bad_day import BadDay
from chappe_sender.application.keyring import Signing
from chappe_sender.application.lag import Lag
from chappe_sender.application.letter import Letter, Scribe
from chappe_sender.application.line import QUEUE_LOW, Line, Ready, about_the_route
from chappe_sender.application.lines import Lines
from chappe_sender.application.ports import (
    Catalogue,
    Claimed,
    Commitment,
    Ended,
    Interrupted,
    Ledger,
    Parcel,
    Placed,
    Verdict,
    WayOut,
)
from chappe_sender.application.routing import ALL, Admission, Refusals
from chappe_sender.domain.bounces import classify
from chappe_sender.domain.breaker import Breaker
from chappe_sender.domain.ending import Ending, Refusal, ending
from chappe_sender.domain.message import State
from chappe_sender.domain.outcome import Declined, InDoubt, Refused, Scope, Stage
from chappe_sender.domain.quiet import at_hand_over
from chappe_sender.domain.suppressing import domain_of
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
SETTLE_SECONDS = 20.0
DRAIN_SECONDS = 10.0
FINISH_SECONDS = 4.0
"""Less than a lease, which is not renewed meanwhile."""
LATE_MAX = 1_000
"""Outcomes of lost shards that are kept, in case we get the shards again."""

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Note:
    """One commitment that a lane waits for."""

    commitment: Commitment
    answer: asyncio.Future[bool]


@dataclass(slots=True)
class HandOver:
    """Implements ``Work`` for the default way out, ``Core`` for the lines of the providers, and
    ``Shards`` for the processor.

    ``way_out`` None: there is no default one, and only what has a provider is sent. ``day`` None:
    nothing is withheld.
    """

    ledger: Ledger
    catalogue: Catalogue
    scribe: Scribe
    way_out: WayOut | None
    business: Clock
    wall: Clock
    lag: Lag
    evidence: Evidence | None = None
    day: BadDay | None = None
    breaker: Breaker = field(default_factory=Breaker)
    site: Callable[[str], str] = domain_of
    """The MX site of an address, as far as it is known without asking."""
    lines: Lines = field(default_factory=Lines)
    _refusals: Refusals = field(default_factory=Refusals)
    _draining: bool = False
    _leaving: set[int] = field(default_factory=set[int])
    _shards: dict[int, int] = field(default_factory=dict)
    _queue: deque[Ready] = field(default_factory=deque)
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
            tasks.create_task(self.lines.run(self), name="sender routes")
            if self.way_out is not None:
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
        for ready in self._take_out(gone):
            self._leave(ready.claimed)

    async def adopt(self, shards: Sequence[Owned]) -> None:
        ours: dict[int, int] = {owned.shard: owned.epoch for owned in shards}
        # What our own lanes still carry of these shards, from before they were lost.
        await self._come_to_rest(set(ours), SETTLE_SECONDS)
        again: list[Interrupted] = []
        while ours:
            left = await self.ledger.interrupted(sorted(ours))
            again = [
                each
                for each in left
                if may_ask_again(each, self.lines, self.wall.now())
                and not self._is_known(each.claimed.message.id)
            ]
            endings = [await self._conclude(each) for each in left if each not in again]
            try:
                if endings:
                    await self.ledger.note([], endings, self.business.now())
                    logger.info("Concluded interrupted messages", messages=len(endings))
            except LostShards as lost:
                ours = {s: epoch for s, epoch in ours.items() if s not in lost.shards}
                continue
            break
        self._shards |= ours
        await self._ask_again(again, ours)
        self.wake()

    async def _ask_again(self, left: Sequence[Interrupted], epochs: Mapping[int, int]) -> None:
        for part in await take_over(left, self.ledger, epochs):
            for id_, claimed in part.mine.items():
                self._in_flight[id_] = (claimed, monotonic())
            load = await rebuild(part, self.ledger, self.lines, self._written)
            line = self.lines.get(part.provider)
            if load is not None and line is not None:
                logger.info("Asking a provider again", messages=len(part.mine))
                self._carried |= part.mine.keys()
                line.resume(load)
                continue
            for claimed in part.mine.values():
                changed = InDoubt(Stage.VERDICT, "the sender stopped, and the load has changed")
                self._conclude_with(claimed, changed)

    async def _written(self, claimed: Claimed) -> Letter | None:
        written = self._write(await self._ready(claimed), Signing.NOT)
        return written if isinstance(written, Letter) else None

    def _is_known(self, message: MessageId) -> bool:
        """Whether a lane of ours has its outcome, or will."""
        return message in self._late or message in self._carried

    async def _conclude(self, left: Interrupted) -> Ended:
        """What became of a message that was being sent when its shard's owner stopped."""
        claimed = left.claimed
        late = self._late.pop(claimed.message.id, None)
        if late is not None and late.epoch == claimed.epoch:
            return late
        if not left.committing:
            made = _again(self.business.now(), "interrupted")
        elif (
            claimed.message.id in self._carried
            or self.evidence is None
            or left.placed is not None  # the evidence is the default way's
        ):
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
        self._give_back([ready.claimed for ready in self._take_out(shards)], "stopped")

    def _give_back(self, claimed: Sequence[Claimed], reason: str) -> None:
        made = _again(self.business.now(), reason)
        self._endings += [Ended(each.message, each.epoch, made, each.address) for each in claimed]
        self._to_note.set()

    def _take_out(self, shards: set[int]) -> list[Ready]:
        """Remove and give what waits for a lane of any route."""

        def stays(ready: Ready) -> bool:
            return ready.claimed.message.shard not in shards

        gone = [ready for ready in self._queue if not stays(ready)]
        self._queue = deque(ready for ready in self._queue if stays(ready))
        return gone + self.lines.take_out(stays)

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
            while (admission := self._admission()) is None:
                self._room.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(BLOCKED_SECONDS if self.lines else None):
                        await self._room.wait()
            self._work.clear()
            self._read_on = False
            claimed = 0
            try:
                claimed = await self._claim(admission)
            except LostShards:
                logger.info("Lost shards while claiming")
            if claimed < CLAIM_MAX:
                await self._wait()

    def _admission(self) -> Admission | None:
        """What may be claimed now, as far as there is room for it; None: nothing."""
        room = self.way_out is not None and len(self._queue) <= QUEUE_LOW
        if self.day is not None and self.day.default_stopped:
            room = False
        if self.lines:
            return self.lines.admission(room=room)
        return ALL if room else None

    async def _claim(self, admission: Admission = ALL) -> int:
        """Take what is due; returns how many."""
        if not self._shards or self._draining:
            return 0
        shards = {s: epoch for s, epoch in self._shards.items() if s not in self._leaving}
        claimed = await self.ledger.claim(
            shards,
            lagging=await self.lag.shards(shards),
            now=self.business.now(),
            wall=self.wall.now(),
            limit=CLAIM_MAX,
            only=admission.only,
            closed=admission.closed,
        )
        if claimed:
            fault_point("after_claim")
        for each in claimed:
            if self._shards.get(each.message.shard) != each.epoch:
                continue
            if each.message.shard in self._leaving:
                continue  # its next owner finds it claimed and not begun
            ready = await self._ready(each)
            self._in_flight[each.message.id] = (each, monotonic())
            if (rest := self._breaks(ready)) is not None:
                self._postpone(each, rest, "breaker")
            elif (why := self._blocked_by(ready)) is not None:
                self._postpone(each, BLOCKED_WAIT, "domain_check", why)
            elif self.lines:
                self._route(ready)
            else:
                self._queue.append(ready)
        self._count()
        self._filled.set()
        return len(claimed)

    async def _ready(self, claimed: Claimed) -> Ready:
        message = claimed.message
        version = await self.catalogue.version(message.workspace, message.template or "")
        brand = await self.catalogue.brand(message.workspace)
        return Ready(claimed, version, brand, monotonic())

    def _route(self, ready: Ready) -> None:
        """To the line of the provider that should carry it, else the default way."""
        message = ready.claimed.message
        domain = self._domain(ready)
        if not self.lines.concerns(message, domain):
            if self.way_out is not None:
                self._queue.append(ready)
                return
        elif (
            line := self.lines.choose(message, domain, self._refusals.of(message.id))
        ) is not None:
            line.put(ready)
            return
        elif not self.lines.untried(message, domain, self._refusals.of(message.id)):
            self._refusals.forget(message.id)
        self._postpone(ready.claimed, CLOSED_WAIT, "no_route")

    def _postpone(
        self, claimed: Claimed, wait: dt.timedelta, reason: str, detail: str | None = None
    ) -> None:
        later = self.business.now() + wait
        made = Ending(State.SCHEDULED, "postponed", None, reason, detail, next_attempt_at=later)
        self._endings.append(Ended(claimed.message, claimed.epoch, made, claimed.address))
        self._to_note.set()

    def _breaks(self, ready: Ready) -> dt.timedelta | None:
        """How long marketing waits, where it was refused for what we are."""
        claimed = ready.claimed
        if not claimed.message.is_marketing or not self.breaker:
            return None
        site = self.site(claimed.address)
        seconds = self.breaker.waits(self._domain(ready), site, monotonic())
        return dt.timedelta(seconds=seconds) if seconds else None

    def _saw(self, letter: Letter, verdict: Verdict, made: Ending) -> None:
        """For the breaker: only verdicts, and only on marketing."""
        if not letter.claimed.message.is_marketing:
            return
        if made.state is State.ACCEPTED:
            bounce_class, code = None, ""
        elif isinstance(verdict, Refused):
            found = classify(f"{verdict.reply.code} {verdict.reply.enhanced} {verdict.reply.text}")
            bounce_class, code = found.bounce_class, verdict.reply.enhanced or ""
        else:
            return
        domain = letter.mail.sender.address.domain
        site = self.site(letter.claimed.address)
        opened = self.breaker.saw(domain, site, bounce_class, code, monotonic())
        if opened is not None:
            logger.error("Marketing waits: a breaker opened", reason=opened)

    def _blocked_by(self, ready: Ready) -> str | None:
        message = ready.claimed.message
        if not message.is_marketing:
            return None
        return self.scribe.keys.blocked(message.workspace, self._domain(ready))

    def _domain(self, ready: Ready) -> str:
        return ready.brand.mailbox(self.scribe.sender).address.domain

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
            if (letter := self.open_letter(ready)) is not None:
                return letter
        return None

    def open_letter(self, ready: Ready, signing: Signing = Signing.WHOLE) -> Letter | None:
        claimed = ready.claimed
        quiet = at_hand_over(claimed.snapshot, self.business.now())
        if quiet is not None and claimed.message.is_marketing:
            self._endings.append(Ended(claimed.message, claimed.epoch, quiet, claimed.address))
            self._to_note.set()
            return None
        written = self._write(ready, signing)
        if isinstance(written, Letter) and self._is_withheld(ready.claimed):
            self._keep(written)
            return None
        if isinstance(written, Letter):
            self._carried.add(ready.claimed.message.id)
            return written
        self._conclude_with(ready.claimed, written)
        return None

    def _is_withheld(self, claimed: Claimed) -> bool:
        if self.day is None:
            return False
        return self.day.policy.withholds(claimed.address, claimed.asked_at)

    def _keep(self, letter: Letter) -> None:
        claimed, content = letter.claimed, letter.envelope.content
        made = Ending(State.SKIPPED, "skipped", "email.skipped", "captured")
        ended = Ended(
            claimed.message, claimed.epoch, made, claimed.address, letter.subject, content
        )
        self._endings.append(ended)
        self._to_note.set()

    def _write(self, ready: Ready, signing: Signing) -> Letter | Refusal:
        if ready.version is None:
            return Refusal("template_missing", ready.claimed.message.template)
        try:
            return self.scribe.write(ready.claimed, ready.version, ready.brand, signing)
        except Exception as error:
            # One message that cannot be written must not stop the others, restart after restart.
            logger.exception("A message could not be written", message=ready.claimed.message.id)
            return Refusal("render_failed", type(error).__name__)

    async def about_to_commit(self, parcel: Parcel) -> bool:
        note = self._commitment(_letter(parcel), None)
        return await self._noted(note)

    def _commitment(self, letter: Letter, placed: Placed | None) -> _Note:
        commitment = Commitment(letter.claimed, letter.header_id, letter.subject, placed)
        note = _Note(commitment, asyncio.get_running_loop().create_future())
        self._commitments.append(note)
        self._to_note.set()
        return note

    async def _noted(self, note: _Note) -> bool:
        if await note.answer:
            return True
        self._carried.discard(note.commitment.claimed.message.id)
        return False

    def report(self, parcel: Parcel, verdict: Verdict) -> None:
        letter = _letter(parcel)
        self._carried.discard(letter.claimed.message.id)
        ended = self._end(letter.claimed, verdict, letter.subject)
        self._saw(letter, verdict, ended.ending)
        self._endings.append(ended)
        self._to_note.set()

    # -- the lines' work --------------------------------------------------------------------

    async def commit(self, letters: Sequence[Letter], placed: Placed) -> list[bool]:
        notes = [
            self._commitment(letter, replace(placed, place=place))
            for place, letter in enumerate(letters)
        ]
        return [await self._noted(note) for note in notes]

    def conclude(self, letter: Letter, verdict: Verdict, line: Line) -> None:
        claimed = letter.claimed
        self._carried.discard(claimed.message.id)
        if self._goes_elsewhere(letter, verdict, line):
            made = _again(self.business.now(), "failed_over", str(verdict))
        else:
            made = self._end(claimed, verdict).ending
            self._saw(letter, verdict, made)
        named = replace(made, data={**made.data, "provider": line.record.name})
        self._endings.append(
            Ended(claimed.message, claimed.epoch, named, claimed.address, letter.subject)
        )
        self._to_note.set()

    def _goes_elsewhere(self, letter: Letter, verdict: Verdict, line: Line) -> bool:
        """Whether it surely did not go this way, and may go another way at once."""
        id_ = letter.claimed.message.id
        declined = verdict if isinstance(verdict, Declined) else None
        if declined is not None and declined.scope is Scope.LOAD:
            self._refusals.isolate(id_)
            return True
        about_it = declined is not None and declined.scope is Scope.MESSAGE
        if not about_it and not about_the_route(verdict):
            self._refusals.forget(id_)
            return False
        tried = self._refusals.add(id_, line.record.id)
        domain = letter.mail.sender.address.domain
        look = self.lines.untried if about_it else self.lines.choose
        if look(letter.claimed.message, domain, tried):
            return True
        self._refusals.forget(id_)
        return False

    def put_back(self, letters: Sequence[Letter], reason: str) -> None:
        for letter in letters:
            self._carried.discard(letter.claimed.message.id)
        self._give_back([letter.claimed for letter in letters], reason)

    def put_back_ready(self, waiting: Sequence[Ready]) -> None:
        self._give_back([ready.claimed for ready in waiting], "route_closed")

    def made_room(self) -> None:
        self._room.set()
        if self._blocked:
            self._work.set()

    def is_alone(self, message: MessageId) -> bool:
        return self._refusals.is_alone(message)

    def route_changed(self) -> None:
        """A route may be open that was not."""
        self._room.set()
        if self._blocked:
            self._work.set()

    def route_changed_everywhere(self) -> None:
        """A stop was made or resumed, or mail leaves again."""
        self.lines.changed()
        self._room.set()
        self.wake()

    def line_fails(self) -> None:
        self.lines.changed()

    # -- endings ----------------------------------------------------------------------------

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
                claimed = note.commitment.claimed
                allowed = claimed.message.id in noted.committed
                if not allowed:
                    # Taken back or lost, then this changes nothing; or somebody stopped it.
                    self._give_back([claimed], "stopped")
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
        if any(each.ending.state in {State.SCHEDULED, State.PENDING} for each in noted):
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


def _again(now: dt.datetime, reason: str, detail: str | None = None) -> Ending:
    """Back to the start: nothing of it can have been accepted."""
    return Ending(State.PENDING, "postponed", None, reason, detail, next_attempt_at=now)
