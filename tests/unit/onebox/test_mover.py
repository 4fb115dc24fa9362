import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

from chappe.clock import UTC, BusinessClock, HandClock
from chappe.service import Service
from chappe_onebox.demo.mover import TOGETHER, Mover

START = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Wall(HandClock):
    """Stands still, as the offset alone moves time here."""


class Timers:
    """A service that only has timers: they fire at the first look after their time."""

    def __init__(self, clock: BusinessClock, due: list[dt.datetime]) -> None:
        self.clock = clock
        self.due = sorted(due)
        self.fired: list[dt.datetime] = []
        self.stuck: str | None = None

    async def busy(self) -> str | None:
        if self.stuck and self.fired:
            return self.stuck
        now = self.clock.now()
        fired = [due for due in self.due if due <= now]
        self.due = self.due[len(fired) :]
        self.fired += [now] * len(fired)
        return "timers: firing" if fired else None

    async def next_due(self) -> dt.datetime | None:
        return self.due[0] if self.due else None


async def _nothing(*_: Any) -> None: ...


def _service(timers: Timers) -> Service:
    run: Callable[[], Awaitable[None]] = _nothing
    return Service(
        name="timers",
        app=_nothing,
        patterns=(),
        run=run,
        stop=run,
        busy=timers.busy,
        next_due=timers.next_due,
    )


def _world(due: list[dt.timedelta], seconds_max: float = 5) -> tuple[Mover, Timers, list[Any]]:
    clock = BusinessClock(Wall(START))
    timers = Timers(clock, [START + each for each in due])
    kept: list[dt.timedelta] = []
    mover = Mover(
        clock=clock,
        services=[_service(timers)],
        inbox=None,
        keep=kept.append,
        seconds_max=seconds_max,
    )
    return mover, timers, kept


async def test_a_hop_stops_at_each_due_instant_on_the_way() -> None:
    mover, timers, kept = _world([dt.timedelta(hours=1), dt.timedelta(hours=20)])
    moved = await mover.advance(dt.timedelta(days=1))
    assert moved.settled
    assert moved.now == START + dt.timedelta(days=1)
    assert [at - START for at in timers.fired] == [
        dt.timedelta(hours=1) + TOGETHER,
        dt.timedelta(hours=20) + TOGETHER,
    ]
    assert kept == [*(at - START for at in timers.fired), dt.timedelta(days=1)]


async def test_the_offset_is_kept_before_the_clock_moves() -> None:
    mover, _, _ = _world([])
    seen: list[dt.datetime] = []
    mover.keep = lambda _: seen.append(mover.clock.now())
    await mover.advance(dt.timedelta(hours=1))
    assert seen == [START]


async def test_due_instants_of_one_second_are_one_hop() -> None:
    close = [dt.timedelta(hours=1, milliseconds=each) for each in range(900)]
    mover, timers, kept = _world(close)
    await mover.advance(dt.timedelta(hours=2))
    assert len(timers.fired) == 900
    assert len(kept) == 2


async def test_what_does_not_come_to_rest_is_named_and_the_clock_waits_for_it() -> None:
    mover, timers, _ = _world([dt.timedelta(hours=1), dt.timedelta(hours=2)], seconds_max=0.1)
    timers.stuck = "sender: 1 message on its way"
    moved = await mover.advance(dt.timedelta(days=1))
    assert not moved.settled
    assert moved.stuck == ("sender: 1 message on its way",)
    assert moved.now == START + dt.timedelta(hours=1) + TOGETHER


async def test_a_timer_that_stays_due_is_named() -> None:
    mover, timers, _ = _world([dt.timedelta()], seconds_max=0.1)

    async def at_rest() -> str | None:
        return None

    mover.services = [_service(timers)]
    object.__setattr__(mover.services[0], "busy", at_rest)
    moved = await mover.advance(dt.timedelta(hours=1))
    assert moved.stuck == ("timers: due since 2026-11-22T09:00:00Z",)
