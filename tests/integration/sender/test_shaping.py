"""Sites that push back: mail to them waits with a reason, and everything else goes on."""

import datetime as dt

import asyncpg
import pytest

from chappe.clock import HandClock
from chappe.settings import SettingsError
from chappe_sender.domain.breaker import SAMPLE_MIN
from tests.integration.sender.feedback_place import KEY, deliver, endpoint, event, failed, mailgun
from tests.integration.sender.place import Place, Script, a_sender

SPAM = "5.7.1 Message rejected as spam"
SUSPENDED = "4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred"
RATED = "[[site]]\nname = 'example'\nmx = ['example.com']\nrelay_rate = 0.5\n"


async def ask_many(place: Place, count: int, prefix: str = "m_") -> None:
    for n in range(count):
        await place.subscribe(f"{prefix}{n}")
        await place.ask(f"{prefix}{n}", f"{prefix}{n}")


def why(place: Place, message: str) -> tuple[str | None, str]:
    """The reason and the detail of a message's last line in the journal."""
    (*_, line) = [each for each in place.journal() if each.message == message]
    return line.reason, str(line.seen.get("detail"))


async def test_bounces_that_come_back_later_stop_marketing_too(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await ask_many(place, SAMPLE_MIN)
        await place.settle()
        assert len(place.sent()) == SAMPLE_MIN
        for n in range(5):
            told = failed(f"m_{n}", 550, SPAM, recipient=f"m_{n}@example.com")
            await deliver(place, mailgun(told, token=f"t{n}"), endpoint=at)
        await place.settle()
        await ask_many(place, 1, "late_")
        await place.ask("late_0", "m_receipt", "receipt")
        await place.settle()
        assert await place.state("late_0") == ("scheduled", "breaker")
        assert (await place.state("m_receipt"))[0] == "accepted"
        reason, detail = why(place, "late_0")
        assert reason == "breaker"
        assert "example.com: 3 refused" in detail


async def test_a_site_that_suspends_us_in_a_relays_answer_rests_and_receipts_go(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    answers: dict[str, str | list[str]] = {"RCPT": [f"451 {SUSPENDED}", "250 ok"]}
    async with a_sender(pool, clock, Script(answers=answers)) as place:
        await ask_many(place, 1, "first_")
        await place.settle()
        await ask_many(place, 3)
        await place.ask("first_0", "m_receipt", "receipt")
        await place.settle()
        assert place.sent() == ["m_receipt"]
        for n in range(3):
            assert await place.state(f"m_{n}") == ("scheduled", "site_rests")
        assert SUSPENDED in why(place, "m_1")[1]


async def test_a_delay_that_a_provider_tells_of_later_makes_the_site_rest(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await ask_many(place, 1, "first_")
        await place.settle()
        told = event("failed", "first_0", severity="temporary")
        told |= {
            "recipient": "first_0@example.com",
            "delivery-status": {"code": 451, "message": SUSPENDED},
        }
        await deliver(place, mailgun(told, token="t1"), endpoint=at)
        await place.settle()
        await ask_many(place, 1)
        await place.settle()
        assert await place.state("m_0") == ("scheduled", "site_rests")


async def test_an_operators_rate_is_kept_and_nothing_of_it_counts_as_an_attempt(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock, shaping=RATED) as place:
        await ask_many(place, 12)
        await place.settle()
        assert len(place.sent()) <= 10  # five in each period, and one may have ended meanwhile
        waiting = await pool.fetch("SELECT reason, attempts FROM sender.message WHERE reason <> ''")
        assert {tuple(row) for row in waiting} == {("site_rate", 0)}
        later = await place.next_due()
        assert later - clock.now() <= dt.timedelta(minutes=1)


async def test_a_table_that_cannot_be_meant_is_refused_at_the_start(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    with pytest.raises(SettingsError, match="CHAPPE_SHAPING: site x: there is no conections"):
        async with a_sender(pool, clock, shaping="[[site]]\nname = 'x'\nconections = 3"):
            pass
