"""The timers in memory: what is due, in order, without holding the whole table."""

import datetime as dt
from collections.abc import Mapping

from chappe.ids import EnrollmentId
from chappe_orchestrator.application.ports import Wakeup, Who
from chappe_orchestrator.application.timers import IN_MEMORY_MAX, TimerQueue
from chappe_orchestrator.domain import Timer
from tests.unit.orchestrator.world import NINE, ZOE

ME = Who(0, ZOE)


class Table:
    """The timer table of shard 0."""

    def __init__(self, *timers: Timer) -> None:
        self.rows = set(timers)

    async def timers(self, after: Mapping[int, dt.datetime], limit: int) -> dict[int, list[Wakeup]]:
        due = sorted(timer for timer in self.rows if timer.due_at >= after[0])
        return {0: [Wakeup(timer, ZOE) for timer in due[:limit]]}


def timer(n: int, minutes: int = 0, token: int = 1) -> Timer:
    return Timer(NINE + dt.timedelta(minutes=minutes), EnrollmentId(f"en_{n:05}"), token)


async def drained(queue: TimerQueue, table: Table, now: dt.datetime) -> list[Timer]:
    """Fire what is due, batch by batch, as a processor does."""
    fired: list[Timer] = []
    while queue.due_shards(now):
        batch = [wakeup.timer for wakeup in queue.due({0: now}, 500)[0]]
        assert 0 < len(batch) <= 500
        table.rows -= set(batch)
        queue.apply([(ME, one) for one in batch], [])
        await queue.refill()
        fired += batch
    return fired


async def test_many_timers_at_one_instant_fire_once_each_and_in_order() -> None:
    timers = [timer(n) for n in range(3 * IN_MEMORY_MAX + 7)]
    table = Table(*timers)
    queue = TimerQueue(table)
    await queue.claim([0])
    assert await drained(queue, table, NINE) == timers
    assert queue.next_due() is None


async def test_a_timer_set_beyond_what_memory_holds_is_found_again() -> None:
    table = Table(*(timer(n, minutes=n) for n in range(IN_MEMORY_MAX)))
    queue = TimerQueue(table)
    await queue.claim([0])
    late = timer(99_999, minutes=5_000)
    table.rows.add(late)
    queue.apply([], [(ME, late)])
    fired = await drained(queue, table, NINE + dt.timedelta(days=30))
    assert fired[-1] == late
    assert len(fired) == IN_MEMORY_MAX + 1


async def test_more_timers_set_than_memory_holds_all_fire() -> None:
    table = Table()
    queue = TimerQueue(table)
    await queue.claim([0])
    timers = [timer(n, minutes=n % 7) for n in range(5 * IN_MEMORY_MAX)]
    for one in timers:
        table.rows.add(one)
        queue.apply([], [(ME, one)])
    fired = await drained(queue, table, NINE + dt.timedelta(hours=1))
    assert fired == sorted(timers)


async def test_a_timer_that_was_cleared_is_not_due() -> None:
    table = Table(timer(1), timer(2, minutes=5))
    queue = TimerQueue(table)
    await queue.claim([0])
    queue.apply([(ME, timer(1))], [])
    assert queue.next_due() == NINE + dt.timedelta(minutes=5)
    assert queue.due_shards(NINE) == []


async def test_what_is_due_stays_due_until_the_commit() -> None:
    queue = TimerQueue(Table(timer(1)))
    await queue.claim([0])
    assert queue.due({0: NINE}, 500) == queue.due({0: NINE}, 500)
    queue.release([0])
    assert queue.next_due() is None
