"""Quiet hours are looked at once more when a message is handed over."""

import datetime as dt
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from chappe.clock import HandClock
from chappe.events import QuietTime
from tests.integration.sender.place import a_sender

pytestmark = pytest.mark.integration

PARIS = ZoneInfo("Europe/Paris")
NIGHT = QuietTime(zone="Europe/Paris", begin=dt.time(22), end=dt.time(8))
HOUR = dt.timedelta(hours=1)


async def test_a_message_in_the_night_waits_for_the_morning_and_keeps_its_time(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    """The night of 24 to 25 October 2026 has eleven hours between 22:00 and 8:00."""
    clock.set(dt.datetime(2026, 10, 24, 22, 30, tzinfo=PARIS).astimezone(dt.UTC))
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1", quiet=NIGHT, deadline=clock.now() + HOUR)
        await place.ask("zoe", "m_2", "receipt", quiet=NIGHT)
        await place.settle()
        assert place.sent() == ["m_2"]
        assert await place.state("m_1") == ("scheduled", "quiet_hours")
        morning = dt.datetime(2026, 10, 25, 8, tzinfo=PARIS).astimezone(dt.UTC)
        assert await place.next_due() == morning
        assert morning - clock.now() == 10 * HOUR + HOUR / 2
        await place.advance(morning - clock.now())
        await place.settle()
        assert place.sent() == ["m_1", "m_2"]


async def test_a_step_that_does_not_wait_drops_it(pool: asyncpg.Pool, clock: HandClock) -> None:
    clock.set(dt.datetime(2026, 6, 1, 23, tzinfo=PARIS).astimezone(dt.UTC))
    skip = QuietTime(zone="Europe/Paris", begin=dt.time(22), end=dt.time(8), skip=True)
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1", quiet=skip)
        await place.settle()
        assert await place.state("m_1") == ("skipped", "quiet_hours")
        assert [event.data["reason"] for event in place.told("email.skipped")] == ["quiet_hours"]


async def test_by_day_it_goes_at_once(pool: asyncpg.Pool, clock: HandClock) -> None:
    clock.set(dt.datetime(2026, 6, 1, 12, tzinfo=PARIS).astimezone(dt.UTC))
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1", quiet=NIGHT)
        await place.settle()
        assert place.sent() == ["m_1"]
