"""What a killed sender leaves behind is concluded by the next one, and nothing goes out twice."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe_sender import bootstrap
from tests.integration.sender.place import (
    MARKETING,
    PARTITIONS,
    PATIENCE_SECONDS,
    TRANSACTIONAL,
    Place,
    Script,
    scripted,
    sender_at,
)
from tests.unit.sender.scripted_smtp import GATED, SILENT, ScriptedServer


class Inbox:
    """Evidence from the small server itself."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server

    async def has(self, message_id: str) -> bool:
        return any(message_id.encode() in raw for raw in self._server.accepted)


async def _ask_both(place: Place) -> None:
    await place.publish("cart", MARKETING)
    await place.publish("receipt", TRANSACTIONAL)
    await place.subscribe("zoe")
    await place.ask("zoe", "m_1")
    await place.ask("zoe", "m_2", "receipt")


def _data_asked(smtp: ScriptedServer) -> int:
    return smtp.commands.count("DATA")


def _dots_unanswered(smtp: ScriptedServer) -> int:
    return smtp.unanswered


async def _killed_when(
    pool: asyncpg.Pool,
    clock: HandClock,
    broker: MemoryBroker,
    smtp: ScriptedServer,
    count: Callable[[ScriptedServer], int],
) -> None:
    """Run a sender until both messages wait for an answer of the server, and kill it there."""
    async with sender_at(pool, clock, smtp, broker=broker) as place:
        await _ask_both(place)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while count(smtp) < 2:
                await asyncio.sleep(0.005)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(PARTITIONS)


async def test_what_was_killed_before_the_content_goes_out_once(
    pool: asyncpg.Pool, clock: HandClock, broker: MemoryBroker
) -> None:
    await bootstrap.migrate(pool)
    async with scripted(DATA=SILENT) as smtp:
        await _killed_when(pool, clock, broker, smtp, _data_asked)
        smtp.script.answers.clear()
        async with sender_at(pool, clock, smtp, broker=broker) as place:
            await place.settle()
            assert place.sent() == ["m_1", "m_2"]


async def test_what_was_killed_after_the_final_dot_is_in_doubt_or_goes_again(
    pool: asyncpg.Pool, clock: HandClock, broker: MemoryBroker
) -> None:
    await bootstrap.migrate(pool)
    async with scripted(dot=SILENT) as smtp:
        await _killed_when(pool, clock, broker, smtp, _dots_unanswered)
        smtp.script.answers.clear()
        async with sender_at(pool, clock, smtp, broker=broker) as place:
            await place.until("m_1", "in_doubt")
            await place.until("m_2", "scheduled")
            due = await place.next_due()
            await place.advance(due - clock.now())
            await place.settle()
            assert place.sent() == ["m_2"]
            assert [event.data["message"] for event in place.told("email.in_doubt")] == ["m_1"]


@pytest.mark.parametrize("stored", [True, False])
async def test_an_inbox_that_can_be_asked_leaves_no_doubt(
    pool: asyncpg.Pool, clock: HandClock, broker: MemoryBroker, stored: bool
) -> None:
    await bootstrap.migrate(pool)
    async with scripted(Script(answers={"dot": SILENT}, keep_silently=stored)) as smtp:
        await _killed_when(pool, clock, broker, smtp, _dots_unanswered)
        smtp.script.answers.clear()
        evidence = Inbox(smtp)
        async with sender_at(pool, clock, smtp, broker=broker, evidence=evidence) as place:
            await place.settle()
            assert place.sent() == ["m_1", "m_2"]
            assert await place.state("m_1") == ("accepted", None)
            assert len(place.told("email.accepted")) == 2


async def test_a_sender_that_is_stopped_gives_back_what_waits(
    pool: asyncpg.Pool, clock: HandClock, broker: MemoryBroker
) -> None:
    await bootstrap.migrate(pool)
    async with scripted() as smtp:
        async with sender_at(pool, clock, smtp, broker=broker) as place:
            await _ask_both(place)
            for n in range(200):
                await place.ask(f"c{n}", f"r_{n}", "receipt")
            await place.until("r_20", "accepted")
            await place.service.stop()
            await place.running
            states = await pool.fetch("SELECT state FROM sender.message")
            assert "sending" not in {row["state"] for row in states}
        async with sender_at(pool, clock, smtp, broker=broker) as place:
            await place.settle()
            assert len(place.sent()) == 202
            assert len(set(place.sent())) == 202


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_sender_that_lost_its_shards_writes_no_content(
    pool: asyncpg.Pool, clock: HandClock, broker: MemoryBroker
) -> None:
    await bootstrap.migrate(pool)
    async with (
        scripted(DATA=GATED) as slow,
        scripted() as quick,
        sender_at(pool, clock, slow, broker=broker) as old,
    ):
        await _ask_both(old)
        await _until(lambda: _data_asked(slow) == 2)
        async with sender_at(pool, clock, quick, broker=broker) as new:
            await new.until("m_1", "accepted")
            await new.until("m_2", "accepted")
            slow.script.gate.set()
            await _until(lambda: slow.closed == 2)
            assert new.sent() == ["m_1", "m_2"]
            assert old.sent() == []


async def test_a_verdict_that_comes_after_the_shard_was_lost_changes_nothing(
    pool: asyncpg.Pool, clock: HandClock, broker: MemoryBroker
) -> None:
    await bootstrap.migrate(pool)
    async with (
        scripted(dot=GATED) as slow,
        scripted() as quick,
        sender_at(pool, clock, slow, broker=broker) as old,
    ):
        await old.publish("cart", MARKETING)
        await old.publish("receipt", TRANSACTIONAL)
        await old.subscribe("zoe")
        await old.ask("zoe", "m_1")
        await _until(lambda: slow.unanswered == 1)
        async with sender_at(pool, clock, quick, broker=broker) as new:
            await new.until("m_1", "in_doubt")
            slow.script.gate.set()
            await _until(lambda: old.sent() == ["m_1"])
            # Both believe the shards to be theirs and fight for them: only a mail that may go out
            # again is sure to arrive meanwhile.
            await new.ask("zoe", "m_2", "receipt")
            await new.until("m_2", "accepted")
            assert await new.state("m_1") == ("in_doubt", "no_answer")
            assert [*old.sent(), *new.sent()].count("m_1") == 1
