"""Straight to the receivers' exchangers, no faster than each site takes it.

One dispatcher looks up where each message goes; every site has a few lanes, a window that grows
while all goes well and halves when the site pushes back, and a rate. What a site does not take now
goes back to the ledger's schedule, so nothing waits behind it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from chappe_sender.adapters.shaping_table import built_in
from chappe_sender.adapters.smtp.connection import Connection
from chappe_sender.adapters.smtp.exchanges import Destination, Exchanges, NoMailThere
from chappe_sender.adapters.smtp.route import Route
from chappe_sender.adapters.smtp.way_out import Lane
from chappe_sender.application.letter import Letter
from chappe_sender.application.line import about_the_route
from chappe_sender.application.ports import Parcel, Verdict, Work
from chappe_sender.application.quota import DAY, Leased, Quotas, rate_of
from chappe_sender.domain.domain_check import NoAnswer
from chappe_sender.domain.outcome import (
    Declined,
    HandOverError,
    NotSent,
    Refused,
    Reply,
    Scope,
    Stage,
)
from chappe_sender.domain.shaping import Bucket, Remedy, Rule, Shaping, Window

HELD_MAX: Final = 256
"""Messages taken and not yet ended, over all sites."""
QUEUE_MAX: Final = 32
"""Of one site; more go back to the schedule."""
IDLE_SECONDS: Final = 15.0
UNREACHABLE_SECONDS: Final = 300.0
UNREACHABLE_SECONDS_MAX: Final = 3_600.0
QUEUE_SECONDS: Final = 5.0
CAP_SECONDS: Final = 3_600.0
CLOSING: Final = 421


class _Idle(Exception):
    """A lane has had nothing to do for a while."""


@dataclass(slots=True)
class _Site:
    """What all connections to one MX site have in common."""

    name: str
    rule: Rule
    window: Window
    bucket: Bucket
    rate: Leased
    cap: Leased | None
    lanes: int = 0
    failures: int = 0
    rests_until: float = 0.0
    slow_until: float = 0.0
    why: str = ""
    pools: list["_Pool"] = field(default_factory=list["_Pool"])

    def heal(self, remedy: Remedy, why: str, now: float) -> None:
        self.window.pushed_back()
        self.why = why
        if remedy.per_second is None:
            self.rests_until = max(self.rests_until, now + remedy.seconds)
        else:
            self.slow_until = now + remedy.seconds
            self.bucket.per_second = remedy.per_second

    async def rest(self) -> None:
        """Nothing is to be done: others may have what it holds of the shared rates."""
        await self.rate.give_back()
        if self.cap is not None:
            await self.cap.give_back()

    def tick(self, now: float) -> None:
        if self.slow_until and now >= self.slow_until:
            self.slow_until, self.bucket.per_second = 0.0, self.rule.rate


class _Pool:
    """Implements ``Work`` for the lanes to one set of exchangers."""

    def __init__(self, way: "DirectWayOut", site: _Site, destination: Destination) -> None:
        self.destination = destination
        self.site = site
        self.lanes = 0
        self.urgent: deque[Parcel] = deque()
        self.others: deque[Parcel] = deque()
        self._way = way
        self._filled = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self.urgent) + len(self.others)

    def put(self, parcel: Parcel) -> None:
        marketing = isinstance(parcel, Letter) and parcel.claimed.message.is_marketing
        (self.others if marketing else self.urgent).append(parcel)
        self._filled.set()

    async def take(self) -> Parcel:
        while True:
            if self.waiting:
                wait = self.site.bucket.wait(self._way.seconds())
                if not wait:
                    return self._pop()
                await asyncio.sleep(wait)
                continue
            self._filled.clear()
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._filled.wait()
            except TimeoutError:
                raise _Idle from None

    def take_now(self) -> Parcel | None:
        if not self.waiting or self.site.bucket.wait(self._way.seconds()):
            return None
        return self._pop()

    def _pop(self) -> Parcel:
        self.site.bucket.take()
        return (self.urgent or self.others).popleft()

    async def about_to_commit(self, parcel: Parcel) -> bool:
        allowed = await self._way.work.about_to_commit(parcel)
        if not allowed:
            self._way.held.release()
        return allowed

    def report(self, parcel: Parcel, verdict: Verdict) -> None:
        now = self._way.seconds()
        if isinstance(verdict, Reply):
            self.site.failures = 0
            self.site.window.went_well()
        self._way.end(parcel, self._judged(verdict, now))

    def _judged(self, verdict: Verdict, now: float) -> Verdict:
        """What speaks of the site and not of the message makes the site rest; the message is
        tried again later.
        """
        if isinstance(verdict, Refused):
            remedy = self._way.shaping.remedy_of(verdict.reply.whole, self.site.rule)
            if remedy is None and verdict.reply.code == CLOSING:
                remedy = Remedy(60.0)
            if remedy is not None:
                self.site.heal(remedy, str(verdict), now)
                if not verdict.permanent:
                    return Declined(Scope.RATE, str(verdict), min(remedy.seconds, CAP_SECONDS))
        if isinstance(verdict, HandOverError) and about_the_route(verdict):
            if isinstance(verdict, NotSent) and verdict.stage is Stage.CONTENT:
                return Declined(Scope.RATE, str(verdict), UNREACHABLE_SECONDS)
            wait = min(UNREACHABLE_SECONDS * 2**self.site.failures, UNREACHABLE_SECONDS_MAX)
            self.site.failures = min(self.site.failures + 1, 8)
            self.site.heal(Remedy(wait), str(verdict), now)
            return Declined(Scope.RATE, str(verdict), wait)
        return verdict

    async def connect(self) -> Connection:
        """To the first exchanger that answers. Raises the last one's error."""
        error: HandOverError = NotSent(Stage.CONNECT, "no exchanger")
        for number, route in enumerate(self.destination.routes):
            source = self._way.source(number + self.lanes)
            try:
                return await Connection.open(self._way.from_(route, source))
            except (NotSent, Refused) as failed:
                error = failed
        raise error


class DirectWayOut:
    """``sources`` are the addresses to send from, used in turn; ``per_day`` caps what one site gets
    a day while the addresses are new to it.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        quotas: Quotas,
        *,
        name: str,
        seconds: Callable[[], float],
        shaping: Shaping | None = None,
        sources: tuple[str, ...] = (),
        per_day: int | None = None,
    ) -> None:
        self.seconds = seconds
        self.held = asyncio.Semaphore(HELD_MAX)
        self._exchanges = exchanges
        self._quotas = quotas
        self._name = name
        self.shaping = shaping or built_in()
        self._sources = sources
        self._per_day = per_day
        self._sites: dict[str, _Site] = {}
        self._pools: dict[tuple[str, ...], _Pool] = {}
        self._work: Work | None = None
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def work(self) -> Work:
        assert self._work is not None, "lanes run only while the way out does"
        return self._work

    def source(self, number: int) -> str | None:
        return self._sources[number % len(self._sources)] if self._sources else None

    def from_(self, route: Route, source: str | None) -> Route:
        return route if source is None else replace(route, source=source)

    def end(self, parcel: Parcel, verdict: Verdict) -> None:
        self.held.release()
        self.work.report(parcel, verdict)

    async def run(self, work: Work) -> None:
        """Until cancelled."""
        self._work = work
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while True:
                await self.held.acquire()
                tasks.create_task(self._place(await work.take()))

    async def _place(self, parcel: Parcel) -> None:
        domain = parcel.envelope.recipient.rpartition("@")[2].lower()
        try:
            destination = await self._exchanges.of(domain)
        except NoMailThere as never:
            self.end(parcel, Refused(Stage.RCPT, never.reply))
            return
        except NoAnswer as unknown:
            self.end(parcel, Declined(Scope.RATE, str(unknown), UNREACHABLE_SECONDS))
            return
        site = self._site(destination)
        if (refusal := await self._admit(site)) is not None:
            self.end(parcel, refusal)
            return
        pool = self._pools.get(destination.key)
        if pool is None:
            pool = self._pools[destination.key] = _Pool(self, site, destination)
            site.pools.append(pool)
        pool.put(parcel)
        self._staff(site)

    async def _admit(self, site: _Site) -> Declined | None:
        now = self.seconds()
        site.tick(now)
        if site.rests_until > now:
            said = f"{site.name} rests: {site.why}"
            return Declined(Scope.RATE, said, site.rests_until - now)
        if sum(pool.waiting for pool in site.pools) >= QUEUE_MAX:
            return Declined(Scope.RATE, f"enough waits for {site.name}", QUEUE_SECONDS)
        if wait := await site.rate.take():
            said = f"{site.name} gets enough a second"
            return Declined(Scope.RATE, said, max(wait, QUEUE_SECONDS))
        if site.cap is not None and await site.cap.take():
            return Declined(Scope.RATE, f"{site.name} has had its mail of today", CAP_SECONDS)
        return None

    def _site(self, destination: Destination) -> _Site:
        known = self._sites.get(destination.site)
        if known is not None:
            return known
        rule, name = destination.rule, destination.site
        key = f"{self._name}/{name}"
        made = _Site(
            name,
            rule,
            Window(rule.connections),
            Bucket(rule.rate, self.seconds()),
            rate_of(self._quotas, f"rate/{key}", rule.rate, self.seconds),
            Leased(self._quotas, f"day/{key}", self._per_day, DAY, self.seconds)
            if self._per_day is not None
            else None,
        )
        self._sites[name] = made
        return made

    def _staff(self, site: _Site) -> None:
        """A lane for whoever waits, as many as the window has."""
        assert self._tasks is not None, "sites are staffed only while the way out runs"
        for pool in sorted(site.pools, key=lambda each: each.lanes):
            if pool.waiting > pool.lanes and site.lanes < site.window.connections:
                pool.lanes += 1
                site.lanes += 1
                self._tasks.create_task(self._lane(pool))

    async def _lane(self, pool: _Pool) -> None:
        site = pool.site
        try:
            with suppress(_Idle):
                await Lane(pool.connect, pool, IDLE_SECONDS, messages_max=site.rule.messages).run()
        finally:
            pool.lanes -= 1
            site.lanes -= 1
            if not pool.lanes and not pool.waiting:
                self._pools.pop(pool.destination.key, None)
                site.pools.remove(pool)
        if not site.pools:
            await site.rest()
        self._staff(site)
