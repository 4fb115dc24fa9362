"""Ask shops for what their webhooks missed, for what was before us, and tell them who left.

One source at a time is in one worker's hands, by a lease; a turn is bounded, so that a large
shop holds up nobody. What was fetched goes to the bulk stream before the place in the list is
remembered: a worker that dies repeats a page, and the resolver knows it again.
"""

import asyncio
import contextlib
import dataclasses
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import structlog

from chappe.broker import RecordTooLarge
from chappe.clock import Clock
from chappe.events import RAW_BULK
from chappe_ingest import metrics
from chappe_ingest.application.inlet import Delivered, Inlet, LogAway
from chappe_ingest.application.pulling_ports import (
    Backfill,
    BackfillState,
    CursorGone,
    LeaseLost,
    Pulls,
    Reports,
    ShopApi,
    ShopBusy,
    ShopError,
    ShopForbids,
    Shops,
    Turn,
)
from chappe_ingest.application.write_back import WriteBacks
from chappe_ingest.domain.pulls import (
    Document,
    Found,
    Window,
    backoff,
    first_mark,
    next_poll,
    posted,
)
from chappe_ingest.domain.sources import REGISTRY

LEASE: Final = dt.timedelta(minutes=2)
"""Longer than any one answer may take; kept on with every page."""

LOOK_SECONDS: Final = 6.0
"""How often each idle worker looks for a source whose turn has come."""

WORKERS: Final = 2
WATCH_SECONDS: Final = 60.0
PAGES_PER_SUBJECT: Final = 20
PAGES_PER_SLICE: Final = 20
REST_SECONDS_MAX: Final = 5.0
"""A longer rest ends the turn."""

CHUNK: Final = 50
FAILURES_MAX: Final = 60
"""In a row; with the pauses between them more than two days. Then a backfill is given up."""

WORDS_MAX: Final = 500
_RETRYING: Final = "trying again: "

Sleep = Callable[[float], Awaitable[None]]

_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Work:
    """One turn as it goes."""

    turn: Turn
    shop: ShopApi
    pulled: int = 0
    notes: list[str] = field(default_factory=list[str])


class _RestNow(Exception):
    """The shop wants to be left alone for longer than a turn waits."""

    def __init__(self, rest: dt.timedelta) -> None:
        super().__init__("the shop asks for patience")
        self.rest = rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Puller:
    """Takes turns until it is cancelled. ``business`` dates what comes, ``wall`` the leases."""

    pulls: Pulls
    shops: Shops
    inlet: Inlet
    write_backs: WriteBacks
    business: Clock
    wall: Clock
    me: str
    sleep: Sleep = asyncio.sleep

    async def run(self) -> None:
        """Several workers side by side."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(WORKERS):
                    tasks.create_task(self._work_for_ever(f"{self.me} {number}"))
        finally:
            with contextlib.suppress(*_AWAY):  # else the lease ends by itself
                await self.pulls.leave(self.me)

    async def _work_for_ever(self, me: str) -> None:
        while True:
            try:
                worked = await self.turn(me)
            except _AWAY as error:
                logger.warning("The pullers' tables do not answer", error=repr(error))
                worked = False
            if not worked:
                await self.sleep(LOOK_SECONDS)

    async def turn(self, me: str) -> bool:
        """One turn of one source; False: nobody's turn has come."""
        now = self.wall.now()
        turn = await self.pulls.claim(me, now, now + LEASE)
        if turn is None:
            return False
        try:
            await self._take(turn, me)
        except LeaseLost:
            logger.info("Another process pulls now", source=turn.source.id)
        return True

    async def _take(self, turn: Turn, me: str) -> None:
        source, work = turn.source, None
        not_before, poll_at = self.wall.now(), turn.poll_at
        problem: str | None = None
        failed = False
        try:
            work = _Work(turn, await self.shops.open(source))
            if poll_at is None or poll_at <= self.wall.now():
                poll_at = None
                if await self._reconcile(work, me):
                    poll_at = next_poll(source.id, self.wall.now())
            await self.write_backs.perform(source, work.shop)
            await self._backfill(work, me)
        except _RestNow as resting:
            not_before = self.wall.now() + resting.rest
        except (ShopError, LogAway) as error:
            asked = error.rest if isinstance(error, ShopBusy) else None
            not_before = self.wall.now() + backoff(turn.failures + 1, asked)
            problem, failed = str(error)[:WORDS_MAX], True
            metrics.PULL_FAILURES.labels(source.kind).inc()
            logger.warning("A shop was not asked to the end", source=source.id, reason=problem)
            await self._count_failure(turn, problem)
        if problem is None and work is not None and work.notes:
            problem = "; ".join(work.notes)[:WORDS_MAX]
        await self.pulls.release(
            turn,
            me,
            now=self.wall.now(),
            not_before=not_before,
            poll_at=poll_at,
            problem=problem,
            pulled=work.pulled if work else 0,
            failed=failed,
        )

    # -- reconciliation -----------------------------------------------------------------------

    async def _reconcile(self, work: _Work, me: str) -> bool:
        """Pass on what changed since the last time; True when all of it was read."""
        marks = await self.pulls.marks(work.turn.source.id)
        complete = True
        for subject in work.shop.polled:
            try:
                mark = marks.get(subject) or first_mark(work.turn.source, self.business.now())
                for _ in range(PAGES_PER_SUBJECT):
                    try:
                        found = await work.shop.page(subject, mark.window, mark.cursor)
                    except CursorGone:
                        mark = dataclasses.replace(mark, cursor=None)
                        continue
                    news = mark.news(found.documents)
                    await self._pass_on(work, subject, news, historical=False)
                    work.pulled += len(news)
                    mark = mark.after(found, self.business.now())
                    await self.pulls.mark(work.turn.source.id, subject, mark)
                    await self._breathe(work, me, found)
                    if found.cursor is None:
                        break
                complete = complete and mark.cursor is None
            except ShopForbids as error:
                work.notes.append(str(error))
        return complete

    # -- backfill -----------------------------------------------------------------------------

    async def _backfill(self, work: _Work, me: str) -> None:
        """Some pages of the job of this source, if it has one."""
        job = await self.pulls.backfill(work.turn.source.id)
        if job is None:
            return
        if job.subject is None:
            job = await self._begun(work, job)
        for _ in range(PAGES_PER_SLICE):
            if not await self.pulls.progress(job) or job.state.is_over:
                return
            assert job.subject is not None, "a job that runs is at something"
            since = job.at or job.since
            try:
                found = await work.shop.page(job.subject, Window(since, job.until), job.cursor)
            except CursorGone:
                job = dataclasses.replace(job, cursor=None)
                continue
            except ShopForbids as error:
                job = self._next(work, _noted(job, str(error)))
                continue
            documents = [each for each in found.documents if each.at <= job.until]
            await self._pass_on(work, job.subject, documents, historical=True)
            job = dataclasses.replace(
                job, done=job.done + len(documents), at=found.at or job.at, cursor=found.cursor
            )
            job = dataclasses.replace(job, failures=0, note=_lasting(job.note))
            if found.cursor is None:
                job = self._next(work, job)
            await self._breathe(work, me, found)
        await self.pulls.progress(job)

    async def _begun(self, work: _Work, job: Backfill) -> Backfill:
        window = Window(job.since, job.until)
        counts: list[int | None] = []
        for subject in work.shop.backfilled:
            try:
                counts.append(await work.shop.count(subject, window))
            except ShopForbids:
                counts.append(0)
        known = [count for count in counts if count is not None]
        missing = await work.shop.leaves_out(job.since, self.business.now())
        begun = dataclasses.replace(
            job,
            state=BackfillState.RUNNING,
            subject=work.shop.backfilled[0],
            total=sum(known) if len(known) == len(counts) else None,
        )
        return _noted(begun, missing) if missing else begun

    def _next(self, work: _Work, job: Backfill) -> Backfill:
        """On to the next kind of document, or to the end."""
        order = list(work.shop.backfilled)
        rest = order[order.index(job.subject) + 1 :] if job.subject in order else []
        if rest:
            return dataclasses.replace(job, subject=rest[0], at=None, cursor=None)
        return dataclasses.replace(
            job, state=BackfillState.DONE, cursor=None, finished_at=self.business.now()
        )

    async def _count_failure(self, turn: Turn, problem: str) -> None:
        job = await self.pulls.backfill(turn.source.id)
        if job is None:
            return
        failures = job.failures + 1
        note = f"{_RETRYING}{problem}"
        if lasting := _lasting(job.note):
            note = f"{lasting}; {note}"
        job = dataclasses.replace(job, failures=failures, note=note[:WORDS_MAX])
        if failures >= FAILURES_MAX:
            job = dataclasses.replace(
                job, state=BackfillState.FAILED, finished_at=self.business.now()
            )
        await self.pulls.progress(job)

    # -- both ---------------------------------------------------------------------------------

    async def _pass_on(
        self, work: _Work, subject: str, documents: Sequence[Document], *, historical: bool
    ) -> None:
        """Onto the bulk stream, in the place on it that a webhook about the same would have."""
        source = work.turn.source
        kind = REGISTRY[source.kind]
        deliveries = [
            Delivered(
                headers=each.headers,
                body=each.body,
                entity=kind.entity(each.body, list(each.headers.items())),
                verified=True,
            )
            for document in documents
            for each in posted(source, work.shop.host, subject, document, historical=historical)
        ]
        for start in range(0, len(deliveries), CHUNK):
            await self._append(work, deliveries[start : start + CHUNK])
        metrics.PULLED.labels(source.kind, "backfill" if historical else "reconcile").inc(
            len(documents)
        )

    async def _append(self, work: _Work, deliveries: Sequence[Delivered]) -> None:
        try:
            await self.inlet.take(work.turn.source, deliveries, RAW_BULK)
        except RecordTooLarge:
            if len(deliveries) == 1:
                work.notes.append("a document is larger than the log takes: left out")
                return
            for each in deliveries:
                await self._append(work, [each])

    async def _breathe(self, work: _Work, me: str, found: Found) -> None:
        """Hold the lease on, and keep to the shop's pace."""
        await self.pulls.keep(work.turn, me, self.wall.now() + LEASE)
        if found.rest_seconds > REST_SECONDS_MAX:
            raise _RestNow(dt.timedelta(seconds=found.rest_seconds))
        if found.rest_seconds > 0:
            await self.sleep(found.rest_seconds)


def _lasting(note: str | None) -> str | None:
    """What is true of the whole job, without what went wrong on the way."""
    return (note or "").partition(_RETRYING)[0].rstrip("; ") or None


def _noted(job: Backfill, note: str) -> Backfill:
    """Both notes, where there was one already."""
    if job.note is None or note in job.note:
        return dataclasses.replace(job, note=note[:WORDS_MAX])
    return dataclasses.replace(job, note=f"{job.note}; {note}"[:WORDS_MAX])


async def watch(reports: Reports, wall: Clock, sleep: Sleep = asyncio.sleep) -> None:
    """Keep the gauges true: how long ago shops were asked, and what they cannot be told."""
    while True:
        try:
            health = await reports.health()
        except _AWAY as error:
            logger.warning("The pullers' tables do not answer", error=repr(error))
        else:
            metrics.DIVERGENCES.set(health.divergent)
            age = (wall.now() - health.polled_at).total_seconds() if health.polled_at else 0.0
            metrics.PULL_AGE.set(max(age, 0.0))
        await sleep(WATCH_SECONDS)
