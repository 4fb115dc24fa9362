"""The timers of the owned shards: the earliest of each in memory, all of them in the table."""

import datetime as dt
import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from chappe.clock import UTC
from chappe.ids import ContactId
from chappe_orchestrator.application.ports import Wakeup, Who
from chappe_orchestrator.domain import Timer

IN_MEMORY_MAX = 1_000
"""Timers of one shard read ahead; twice as many are kept before the latest are let go."""

LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=UTC)


class TimerTable(Protocol):
    """The part of the store that the queue reads."""

    async def timers(self, after: Mapping[int, dt.datetime], limit: int) -> dict[int, list[Wakeup]]:
        """The earliest timers of each shard, due at or after the instant given for it."""
        ...


class _ShardTimers:
    """One shard. ``until``: the table may hold more timers after this one; None: it holds none."""

    def __init__(self) -> None:
        self.heap: list[Timer] = []
        self.contacts: dict[Timer, ContactId] = {}
        self.until: Timer | None = None

    def load(self, wakeups: Sequence[Wakeup]) -> None:
        full = len(wakeups) >= IN_MEMORY_MAX
        self.until = wakeups[-1].timer if full else None
        for wakeup in wakeups:
            self._hold(wakeup)

    def add(self, wakeup: Wakeup) -> None:
        if self.until is not None and wakeup.timer > self.until:
            return
        self._hold(wakeup)
        if len(self.contacts) > 2 * IN_MEMORY_MAX:
            self._let_go()

    def force(self, wakeup: Wakeup) -> None:
        """A wake-up that is due although the table does not hold it."""
        self._hold(wakeup)

    def discard(self, timer: Timer) -> None:
        self.contacts.pop(timer, None)

    def first(self) -> Timer | None:
        while self.heap and self.heap[0] not in self.contacts:
            heapq.heappop(self.heap)
        return self.heap[0] if self.heap else None

    def due(self, now: dt.datetime, limit: int) -> list[Wakeup]:
        """The earliest due ones, left in place until they are discarded."""
        found: list[Timer] = []
        while len(found) < limit:
            timer = self.first()
            if timer is None or timer.due_at > now:
                break
            found.append(heapq.heappop(self.heap))
        for timer in found:
            heapq.heappush(self.heap, timer)
        return [Wakeup(timer, self.contacts[timer]) for timer in found]

    def _hold(self, wakeup: Wakeup) -> None:
        if wakeup.timer not in self.contacts:
            self.contacts[wakeup.timer] = wakeup.contact
            heapq.heappush(self.heap, wakeup.timer)

    def _let_go(self) -> None:
        kept = sorted(self.contacts)[:IN_MEMORY_MAX]
        self.contacts = {timer: self.contacts[timer] for timer in kept}
        self.heap = kept
        self.until = kept[-1]


class TimerQueue:
    """Knows what is due next. Changes only after the commit that made them true."""

    def __init__(self, store: TimerTable) -> None:
        self._store = store
        self._shards: dict[int, _ShardTimers] = {}

    async def claim(self, shards: Iterable[int]) -> None:
        """Load the earliest timers of these shards."""
        fresh = {shard: _ShardTimers() for shard in shards}
        wakeups = await self._store.timers(dict.fromkeys(fresh, LONG_AGO), IN_MEMORY_MAX)
        for shard, timers in fresh.items():
            timers.load(wakeups.get(shard, []))
        self._shards.update(fresh)

    def release(self, shards: Iterable[int]) -> None:
        for shard in shards:
            self._shards.pop(shard, None)

    def next_due(self) -> dt.datetime | None:
        return min((one.due_at for s in self._shards.values() if (one := s.first())), default=None)

    def due_shards(self, now: dt.datetime) -> list[int]:
        return [
            shard
            for shard, timers in self._shards.items()
            if (first := timers.first()) is not None and first.due_at <= now
        ]

    def due(self, shards: Mapping[int, dt.datetime], limit: int) -> dict[int, list[Wakeup]]:
        """At most about ``limit`` due wake-ups, an equal share for each shard."""
        share = max(1, limit // max(1, len(shards)))
        return {
            shard: self._shards[shard].due(instant, share)
            for shard, instant in shards.items()
            if shard in self._shards
        }

    def force(self, who: Who, timer: Timer) -> None:
        """Make an enrollment go on that no timer of the table stands for."""
        if who.shard in self._shards:
            self._shards[who.shard].force(Wakeup(timer, who.contact))

    def apply(self, gone: Iterable[tuple[Who, Timer]], armed: Iterable[tuple[Who, Timer]]) -> None:
        """Follow a commit."""
        for who, timer in gone:
            if (timers := self._shards.get(who.shard)) is not None:
                timers.discard(timer)
        for who, timer in armed:
            if (timers := self._shards.get(who.shard)) is not None:
                timers.add(Wakeup(timer, who.contact))

    def put_aside(self, timers: Iterable[tuple[Who, Timer]]) -> None:
        """Think of these no more until they are forced, or the shard is claimed anew."""
        for who, timer in timers:
            if (held := self._shards.get(who.shard)) is not None:
                held.discard(timer)

    async def refill(self) -> None:
        """Read on for shards whose memory ran empty while the table holds more."""
        hungry = {
            shard: timers
            for shard, timers in self._shards.items()
            if timers.until is not None and timers.first() is None
        }
        if not hungry:
            return
        # Everything up to `until` has fired or was cancelled: nothing earlier is worth reading.
        after = {shard: timers.until.due_at for shard, timers in hungry.items() if timers.until}
        wakeups = await self._store.timers(after, IN_MEMORY_MAX)
        for shard, timers in hungry.items():
            if self._shards.get(shard) is timers:
                timers.load(wakeups.get(shard, []))
