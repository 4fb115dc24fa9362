"""What was taken back reaches a message that is queued already, wherever it waits: it is skipped or
cancelled with a reason, and never handed over.
"""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
import pytest

from chappe.clock import HandClock
from tests.integration.sender.place import PATIENCE_SECONDS, Place, Script, a_sender
from tests.unit.sender.scripted_smtp import GATED

HOUR = dt.timedelta(hours=1)
LANES = 16
"""Of the relay."""
BUSY = 2 * LANES
"""Each lane announces the next message before its last one is answered."""

Act: TypeAlias = Callable[[Place], Awaitable[None]]


@dataclass(frozen=True)
class Taking:
    """Something that takes a message back, and how the message then ends."""

    act: Act
    state: str
    reason: str | None


async def unsubscribe(place: Place) -> None:
    await place.event("zoe", "email.unsubscribed", data={"address": "zoe@example.com"})


async def unsubscribe_elsewhere(place: Place) -> None:
    """Said by another contact that has the same address, of another shard."""
    await place.event("other", "email.unsubscribed", data={"address": "zoe@example.com"})


async def leave_the_topic(place: Place) -> None:
    await place.event("zoe", "email.unsubscribed", data={"scope": "topic", "topic": "offers"})


async def complain(place: Place) -> None:
    await place.event("zoe", "email.complained", data={"address": "zoe@example.com"})


async def leave_the_journey(place: Place) -> None:
    await place.cancel("zoe", "m_1")


async def stop_everything(place: Place) -> None:
    answer = await place.http.post(
        "/api/v1/sending/stops", json={"kind": "journey", "value": "abandoned-cart"}
    )
    assert answer.status_code == 201, answer.text


TAKINGS = {
    "an unsubscribe": Taking(unsubscribe, "skipped", "unsubscribed"),
    "an unsubscribe by another contact": Taking(unsubscribe_elsewhere, "skipped", "unsubscribed"),
    "leaving its topic": Taking(leave_the_topic, "skipped", "topic_opted_out"),
    "a complaint": Taking(complain, "skipped", "suppressed"),
    "an exit": Taking(leave_the_journey, "cancelled", "exited"),
}
each_taking = pytest.mark.parametrize("taking", TAKINGS.values(), ids=TAKINGS.keys())


@asynccontextmanager
async def asked(
    pool: asyncpg.Pool, clock: HandClock, script: Script | None = None
) -> AsyncGenerator[Place]:
    """A sender whose contact has agreed to marketing."""
    async with a_sender(pool, clock, script) as place:
        await place.subscribe("zoe")
        await place.settle()
        clock.advance(dt.timedelta(minutes=1))
        yield place


async def taken_back(place: Place, taking: Taking) -> None:
    await place.until("m_1", taking.state)
    await place.advance(HOUR)
    await place.settle()
    assert await place.state("m_1") == (taking.state, taking.reason)
    assert "m_1" not in place.sent()
    told = [e for e in place.told(f"email.{taking.state}") if e.data["message"] == "m_1"]
    assert [e.data["reason"] for e in told] == [taking.reason]
    lines = [(d.what, d.reason) for d in place.journal() if d.message == "m_1"]
    assert lines[-1] == (taking.state, taking.reason)


@each_taking
async def test_it_reaches_a_message_that_waits_for_its_shard_to_read_on(
    pool: asyncpg.Pool, clock: HandClock, taking: Taking
) -> None:
    async with asked(pool, clock) as place:
        await place.ask("zoe", "m_1", needs={"events": 1_000})
        await place.until("m_1", "pending")
        await taking.act(place)
        await taken_back(place, taking)


@each_taking
async def test_it_reaches_a_message_that_waits_for_its_next_attempt(
    pool: asyncpg.Pool, clock: HandClock, taking: Taking
) -> None:
    async with asked(pool, clock, Script(answers={"RCPT": ["451 4.3.0 later", "250 ok"]})) as place:
        await place.ask("zoe", "m_1")
        await place.until("m_1", "scheduled")
        await taking.act(place)
        await taken_back(place, taking)


@each_taking
async def test_it_reaches_a_message_that_was_claimed_and_waits_for_a_lane(
    pool: asyncpg.Pool, clock: HandClock, taking: Taking
) -> None:
    """Every connection is busy with a mail whose verdict does not come."""
    script = Script(answers={"dot": GATED})
    async with asked(pool, clock, script) as place:
        await every_lane_busy(place)
        await place.ask("zoe", "m_1")
        await place.until("m_1", "sending")
        await taking.act(place)
        await place.until("m_1", taking.state)
        script.gate.set()
        await taken_back(place, taking)


@each_taking
async def test_it_reaches_a_message_in_a_lane_that_a_rate_holds_back(
    pool: asyncpg.Pool, clock: HandClock, taking: Taking
) -> None:
    """The site was asked too often, and rests."""
    answers: dict[str, str | list[str]] = {
        "RCPT": ["451 4.7.0 [TSS04] Messages temporarily deferred", "250 ok"]
    }
    async with asked(pool, clock, Script(answers=answers)) as place:
        await place.subscribe("first")
        await place.ask("first", "m_first")
        await place.until("m_first", "scheduled")
        await place.ask("zoe", "m_1")
        await place.until("m_1", "scheduled")
        await taking.act(place)
        await taken_back(place, taking)


async def every_lane_busy(place: Place) -> None:
    """Receipts whose final dot is not answered, and others that wait behind them."""
    for n in range(BUSY):
        await place.ask("busy", f"m_busy_{n}", "receipt")
    for n in range(BUSY):
        await place.until(f"m_busy_{n}", "sending")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while place.smtp.unanswered < LANES:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("where", ["retry", "lane"])
async def test_an_emergency_stop_reaches_a_message_wherever_it_waits(
    pool: asyncpg.Pool, clock: HandClock, where: str
) -> None:
    """It stays until somebody resumes; then it goes once."""
    answers: dict[str, dict[str, str | list[str]]] = {
        "retry": {"RCPT": ["451 4.3.0 later", "250 ok"]}, "lane": {"dot": GATED},
    }  # fmt: skip
    script = Script(answers=answers[where])
    async with asked(pool, clock, script) as place:
        if where == "lane":
            await every_lane_busy(place)
        await place.ask("zoe", "m_1")
        await place.until("m_1", {"retry": "scheduled", "lane": "sending"}[where])
        await stop_everything(place)
        script.gate.set()
        await place.advance(HOUR)
        await place.settle()
        assert "m_1" not in place.sent()
        assert (await place.state("m_1"))[0] in {"pending", "scheduled"}
        await place.http.post("/api/v1/sending/resume", json={})
        await place.until("m_1", "accepted")
        assert place.sent().count("m_1") == 1


async def test_a_receipt_survives_an_unsubscribe_and_not_a_complaint(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with asked(pool, clock) as place:
        await place.ask("zoe", "m_1", "receipt", needs={"events": 1_000})
        await place.until("m_1", "pending")
        await unsubscribe(place)
        await place.ask("zoe", "m_marketing")
        await place.until("m_marketing", "skipped")
        assert await place.state("m_1") == ("pending", None)
        await complain(place)
        await taken_back(place, Taking(complain, "skipped", "suppressed"))


async def test_whoever_agrees_before_the_mail_is_due_gets_it(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    """Only what was taken back is skipped ahead of its time."""
    async with a_sender(pool, clock) as place:
        await place.ask("zoe", "m_1", needs={"events": 2})
        await place.event("zoe", "contact.updated", traits={"consent": {"email": "pending"}})
        await place.until("m_1", "pending")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await pool.fetchval("SELECT state FROM sender.permission") != "pending":
                await asyncio.sleep(0.005)
        clock.advance(HOUR / 2)
        await place.subscribe("zoe")
        await place.settle()
        assert await place.state("m_1") == ("accepted", None)
