"""After an outage marketing mail waits until what was held up has been heard."""

import datetime as dt

import pytest

from chappe.broker import BrokerUnavailable
from chappe.clock import UTC
from chappe_orchestrator.application.outages import DOWN_AFTER, LONGEST, QUIET, Outages
from chappe_orchestrator.domain import Key, Timer, arrange, step
from chappe_orchestrator.domain.state import Contact, KeysWantedError
from tests.unit.orchestrator.test_segments import segments
from tests.unit.orchestrator.world import NINE, World, small

START = dt.datetime(2026, 11, 22, 9, tzinfo=UTC)


class Wall:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> dt.datetime:
        return self.at


class Memory:
    """A heartbeat kept in memory."""

    def __init__(self) -> None:
        self.at: dt.datetime | None = None

    async def beat(self, at: dt.datetime) -> dt.datetime | None:
        before, self.at = self.at, at
        return before


class Place:
    """Outages with a hand on the clock and on the log."""

    def __init__(self) -> None:
        self.wall, self.away = Wall(), False
        self.outages = Outages(heartbeat=Memory(), ping=self._ping, wall=self.wall)

    async def _ping(self) -> None:
        if self.away:
            raise BrokerUnavailable("away")

    async def pass_time(self, by: dt.timedelta) -> None:
        self.wall.at += by
        await self.outages.look()


async def test_the_first_start_and_a_short_restart_are_no_outage() -> None:
    place = Place()
    await place.outages.look()
    await place.pass_time(DOWN_AFTER)
    assert place.outages.heard_until(0) is None


async def test_a_start_after_half_a_minute_is_one_and_so_is_a_log_that_was_away() -> None:
    for away in (False, True):
        place = Place()
        await place.outages.look()
        place.away = away
        await place.pass_time(DOWN_AFTER + dt.timedelta(seconds=1))
        place.away = False
        await place.outages.look()
        assert place.outages.heard_until(0) is not None


async def recovering() -> Place:
    place = Place()
    await place.outages.look()
    await place.pass_time(dt.timedelta(minutes=5))
    return place


async def test_what_a_shard_has_heard_lets_its_own_mail_go() -> None:
    place = await recovering()
    place.outages.hear([(0, START + dt.timedelta(minutes=4))])
    assert place.outages.heard_until(0) == START + dt.timedelta(minutes=4)
    assert place.outages.heard_until(1) < START  # type: ignore[operator]


async def test_a_minute_of_quiet_ends_the_waiting_and_so_does_a_quarter_of_an_hour() -> None:
    place = await recovering()
    await place.pass_time(QUIET / 2)
    place.outages.hear([(0, START)])
    await place.pass_time(QUIET / 2)
    assert place.outages.heard_until(1) is None
    assert place.outages.heard_until(0) == START
    place = await recovering()
    for _ in range(60):
        await place.pass_time(LONGEST / 60)
        place.outages.hear([(0, START)])
    await place.pass_time(dt.timedelta(seconds=1))
    assert place.outages.heard_until(0) is None


def fired(*, marketing: bool, heard_until: dt.datetime | None) -> tuple[list[str], World]:
    world = World(
        small("{event: custom.go}", "[{wait: 1h}, {send: {template: a}}]", marketing=marketing)
    )
    world.meet()
    world.hear("custom.go")
    (timer,) = world.timers
    state: Contact = world._load((timer,))
    later = NINE + dt.timedelta(hours=2)
    _, effects = step(state, [timer], now=later, journeys=world.journeys, heard_until=heard_until)
    assert all(isinstance(one, Timer) for one in effects.timers_set)
    return [decision.what for decision in effects.decisions], world


def test_marketing_mail_of_a_timer_waits_for_what_was_held_up_and_is_asked_for_after() -> None:
    due = NINE + dt.timedelta(hours=1)
    assert "postponed" in fired(marketing=True, heard_until=due - dt.timedelta(seconds=1))[0]
    assert "asked" in fired(marketing=True, heard_until=due)[0]
    assert "asked" in fired(marketing=True, heard_until=None)[0]


def test_transactional_mail_does_not_wait() -> None:
    assert "asked" in fired(marketing=False, heard_until=NINE - dt.timedelta(days=1))[0]


def begun_by_time(trigger: str, heard_until: dt.datetime | None) -> list[str]:
    """What a step decides whose timer stands for a silence, or for a segment, of 30 days."""
    journey = small(trigger, "[{send: {template: a}}]")
    rules = segments(lapsed={"last": "order.placed", "at": {"before": "-30d"}})
    world = World(journeys=arrange([journey], segments=rules))
    world.meet()
    world.hear("order.placed")
    timer = min(world.timers)
    more: set[Key] = set()
    while True:
        state = world._load((timer,), more)
        later = NINE + dt.timedelta(days=31)
        try:
            _, effects = step(
                state, [timer], now=later, journeys=world.journeys, heard_until=heard_until
            )
        except KeysWantedError as wanted:
            more.add(wanted.key)
        else:
            return [decision.what for decision in effects.decisions]


@pytest.mark.parametrize(
    "trigger", ["{inactive: {event: order.placed, for: 30d}}", "{segment: {entered: lapsed}}"]
)
def test_a_journey_that_time_begins_waits_for_the_order_that_was_held_up(trigger: str) -> None:
    heard = NINE + dt.timedelta(days=29)
    assert "postponed" in begun_by_time(trigger, heard)
    assert "asked" in begun_by_time(trigger, None)


def test_time_moves_members_by_what_has_been_read_and_no_further() -> None:
    rules = segments(buyers={"did": "order.placed", "since": "7d"})
    world = World(journeys=arrange([], segments=rules))
    world.hear("order.placed")
    (timer,) = world.timers
    behind = timer.due_at - dt.timedelta(hours=1)
    _, effects = step(
        world._load((timer,)),
        [timer],
        now=timer.due_at + dt.timedelta(days=1),
        journeys=world.journeys,
        read_until=behind,
    )
    assert effects.events == []
    assert [one.due_at for one in effects.timers_set] == [timer.due_at]
