"""What the orchestrator gets through: events, timers, and journeys that do not listen.

It runs in this process, on a throw-away Postgres with fsync on; its log is in memory. CPU is
measured beside the wall: on a machine that does something else too, only CPU says what it costs.
Loop and memory are set as `chappe run` sets them.
"""

import asyncio
import datetime as dt
import os
import time
from contextlib import AbstractAsyncContextManager
from itertools import count, pairwise
from typing import Any

import asyncpg
import uvloop
from apart import database
from engine_world import (
    PARTITIONS,
    WAITING,
    Cost,
    Engine,
    Sink,
    engine,
    mixed,
    other,
    publish,
    published,
    resident_mb,
    seed,
)
from harness import percentile, result

from chappe.clock import BusinessClock, WallClock
from chappe.postgres import open_pool

PEOPLE = 100_000
PEOPLE_FULL = 1_000_000
EVENTS = 40_000
WARM = 5_000
SMALL_ROUNDS = 300
SMALL = 10
RATES = (1_000, 500, 250)
"""Timers per second, the first of which the machine keeps up with is reported."""
LATENESS_SECONDS = 10
LATE_SECONDS_MAX = 1.0
FEW, MANY = 10, 1_000
ROUNDS = 3
ROUND_EVENTS = 10_000
FLOW_SECONDS = 4.0
FLOW_PER_TURN = 20
TURN_SECONDS = 0.02
SPACE = dt.timedelta(days=60)


class Bench:
    """The phases, in the order in which they leave the database as the next wants it."""

    def __init__(self, pool: asyncpg.Pool, people: int) -> None:
        self.pool = pool
        self.people = people
        self.clock = BusinessClock(WallClock())
        self.broker = Sink(PARTITIONS)
        self.numbers = count(10_000_000, EVENTS)
        self.on: dict[str, Any] = {
            "people": people,
            "journal": "on",
            "log": "in memory",
            "shards": PARTITIONS,
        }

    def running(self) -> AbstractAsyncContextManager[Engine]:
        return engine(self.pool, self.clock, self.broker)

    def some(self, amount: int) -> list[Any]:
        return list(mixed(next(self.numbers), amount, self.people, self.clock.now()))

    async def run(self) -> list[dict[str, Any]]:
        await publish(self.pool, [WAITING, *map(other, range(FEW))], self.clock.now())
        await seed(self.pool, await published(self.pool), range(self.people), self.clock.now())
        async with self.running() as running:
            await running.drain(self.some(WARM))
            found = [*await self.events(running), *await self.small(running)]
            found += await self.journeys(running)
            found += await self.stall(running)
            found += await self.at_once(running)
        return [*found, *await self.lateness()]

    async def events(self, running: Engine) -> list[dict[str, Any]]:
        cost = await running.drain(self.some(EVENTS))
        on = {**self.on, "events": EVENTS, "bytes": 700, "advance": 0.3, "batch": 500}
        return [
            result("engine_events", cost.count / cost.seconds, "events/s", "wall", **on),
            result("engine_events_per_pair", cost.per_pair(), "events/s", "pair of cores", **on),
            result("engine_python", cost.python_us(), "µs", "event", **on),
            result("engine_postgres", cost.postgres_us(), "µs", "event", **on),
        ]

    async def small(self, running: Engine) -> list[dict[str, Any]]:
        """From the append to the commit, one batch at a time."""
        took: list[float] = []
        for _ in range(SMALL_ROUNDS):
            wanted = running.seen.inputs + SMALL
            batch = self.some(SMALL)
            started = time.monotonic()
            await running.put(batch)
            await running.until(lambda seen, wanted=wanted: seen.inputs >= wanted)
            took.append(time.monotonic() - started)
        on = {**self.on, "batch": SMALL, "rounds": SMALL_ROUNDS}
        return [result("engine_small_batch_p50", percentile(took, 0.5) * 1e3, "ms", "batch", **on)]

    async def journeys(self, running: Engine) -> list[dict[str, Any]]:
        """The same events with few journeys published, then with many that do not listen."""
        few = [await running.drain(self.some(ROUND_EVENTS)) for _ in range(ROUNDS)]
        await publish(self.pool, map(other, range(FEW, MANY)), self.clock.now())
        await running.drain(self.some(WARM))
        many = [await running.drain(self.some(ROUND_EVENTS)) for _ in range(ROUNDS)]
        ratio = min(map(_cpu, many)) / min(map(_cpu, few))
        on = {**self.on, "few": FEW, "many": MANY, "events": ROUND_EVENTS, "best_of": ROUNDS}
        return [result("engine_journeys_ratio", ratio, "times", "event", **on)]

    async def stall(self, running: Engine) -> list[dict[str, Any]]:
        """The longest time without a commit while events flow and a journey is published."""
        quiet = await self._flow(running, None)
        stalled = await self._flow(running, other(MANY))
        on = {**self.on, "journeys": MANY, "events_per_second": FLOW_PER_TURN / TURN_SECONDS}
        on["longest_without_ms"] = round(quiet * 1e3, 1)
        return [result("engine_publish_stall", stalled * 1e3, "ms", "publication", **on)]

    async def _flow(self, running: Engine, journey: str | None) -> float:
        running.seen.ends.clear()
        first, wanted = time.monotonic(), running.seen.inputs
        turns = int(FLOW_SECONDS / TURN_SECONDS)
        prepared = [self.some(FLOW_PER_TURN) for _ in range(turns)]
        publishing: asyncio.Task[None] | None = None
        for turn, batch in enumerate(prepared):
            await asyncio.sleep(max(0.0, first + turn * TURN_SECONDS - time.monotonic()))
            wanted += await running.put(batch)
            if journey is not None and turn == turns // 2:
                task = publish(self.pool, [journey], self.clock.now())
                publishing = asyncio.ensure_future(task)
        if publishing is not None:
            await publishing
        await running.until(lambda seen: seen.inputs >= wanted)
        return max(later - earlier for earlier, later in pairwise(running.seen.ends))

    async def at_once(self, running: Engine) -> list[dict[str, Any]]:
        """Everybody's wait ends: each is asked for a mail and waits anew."""
        before, wanted = resident_mb(), running.seen.timers + self.people
        self.clock.advance(SPACE / 2 + dt.timedelta(days=1))
        running.runner.wake()
        cost = await running.cost(self.people, lambda seen: seen.timers >= wanted)
        on = {**self.on, "due": self.people}
        return [
            result("engine_timers", cost.count / cost.seconds, "timers/s", "wall", **on),
            result("engine_timers_per_pair", cost.per_pair(), "timers/s", "pair of cores", **on),
            result("engine_timers_python", cost.python_us(), "µs", "timer", **on),
            result("engine_timers_postgres", cost.postgres_us(), "µs", "timer", **on),
            result("engine_timers_memory", resident_mb() - before, "MB", "all at once", **on),
        ]

    async def lateness(self) -> list[dict[str, Any]]:
        """How late timers fire at a rate the machine sustains, with everybody else waiting.

        What the phases before have written reaches the disk first: a commit behind gigabytes of
        it says how fast the disk is.
        """
        await asyncio.to_thread(os.sync)
        for attempt, rate in enumerate(RATES):
            amount = rate * LATENESS_SECONDS
            first = self.people * (attempt + 1) * 10
            now = self.clock.now()
            begins = now + dt.timedelta(seconds=5 + amount / 4_000)
            gap = dt.timedelta(seconds=1) / rate
            await seed(
                self.pool,
                await published(self.pool),
                range(first, first + amount),
                now,
                lambda number, first=first, gap=gap, begins=begins: begins + (number - first) * gap,
            )
            async with self.running() as running:
                cost = await running.cost(amount, lambda seen, n=amount: seen.timers >= n)
                late = running.seen.lateness
            p99 = percentile(late, 0.99)
            if p99 <= LATE_SECONDS_MAX or rate == RATES[-1]:
                on = {**self.on, "rate_per_second": rate, "waiting": self.people + amount}
                on["cpu_seconds_per_second"] = round(
                    (cost.python + cost.postgres) / LATENESS_SECONDS, 2
                )
                return [
                    result("engine_lateness_p50", percentile(late, 0.5) * 1e3, "ms", "timer", **on),
                    result("engine_lateness_p99", p99 * 1e3, "ms", "timer", **on),
                ]
        raise AssertionError("the last rate is always reported")


def _cpu(cost: Cost) -> float:
    return cost.python_us() + cost.postgres_us()


def measure(*, full: bool = False) -> list[dict[str, Any]]:
    """At 100,000 people, or at a million."""

    async def run(dsn: str) -> list[dict[str, Any]]:
        async with open_pool(dsn) as pool:
            return await Bench(pool, PEOPLE_FULL if full else PEOPLE).run()

    with database() as dsn:
        return uvloop.run(run(dsn))


if __name__ == "__main__":
    for line in measure():
        print(line["name"], line["value"], line["unit"], line["per"])
