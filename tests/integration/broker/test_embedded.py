"""The embedded log under trouble: slow commits, cut connections, a locked row."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from chappe.broker import BrokerMismatch, BrokerUnavailable, Outgoing, Record
from chappe.broker.embedded import EmbeddedLog
from chappe.events.streams import EVENTS, SENDS
from chappe.postgres import migrate, open_pool

pytestmark = pytest.mark.integration

PARTITIONS = 3
PATIENCE = 20.0
HOLD = "SELECT 1 FROM log.partition WHERE stream = $1 AND partition = $2 FOR UPDATE"
WAITING = """
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%asked%'
"""
# Every other commit of an append takes a few milliseconds longer, after its offsets are given out.
SLOW_COMMITS = """
    CREATE FUNCTION log.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF random() < 0.5 THEN PERFORM pg_sleep(random() * 0.01); END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON log.record
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION log.dawdle();
"""


@pytest.fixture
async def logs(database: str) -> AsyncIterator[list[EmbeddedLog]]:
    """Five processes on one log."""
    async with AsyncExitStack() as stack:
        opened: list[EmbeddedLog] = []
        for _ in range(5):
            pool = await stack.enter_async_context(open_pool(database, size=3))
            await migrate(pool, "log", "chappe.broker.migrations")
            log = EmbeddedLog(pool, PARTITIONS, exclusive=False)
            stack.push_async_callback(log.close)
            opened.append(log)
        await opened[0].create({EVENTS: PARTITIONS, SENDS: PARTITIONS})
        yield opened


async def test_a_slow_commit_never_hides_a_record_behind_a_quick_one(
    logs: list[EmbeddedLog], pool: asyncpg.Pool
) -> None:
    await pool.execute(SLOW_COMMITS)
    appenders, per_appender = logs[1:], 40
    chance = random.Random(7)

    async def append(who: int, log: EmbeddedLog) -> None:
        for number in range(per_appender):
            count = chance.randint(1, 3)
            partitions = chance.sample(range(PARTITIONS), count)
            await log.append(EVENTS, [Outgoing(p, b"%d" % who, b"%d" % number) for p in partitions])

    async def follow() -> dict[int, list[Record]]:
        reader = logs[0].reader(EVENTS)
        await reader.assign(dict.fromkeys(range(PARTITIONS), 0))
        seen: dict[int, list[Record]] = {partition: [] for partition in range(PARTITIONS)}
        quiet = asyncio.Event()
        appending.add_done_callback(lambda _: quiet.set())
        while not quiet.is_set() or any(
            len(seen[partition]) < end
            for partition, end in (await logs[0].end_offsets(EVENTS)).items()
        ):
            for partition, records in (await reader.read(7, 0.01)).items():
                seen[partition].extend(records)
        return seen

    async with asyncio.timeout(PATIENCE):
        appending = asyncio.gather(*(append(who, log) for who, log in enumerate(appenders)))
        seen = await follow()
        await appending
    for records in seen.values():
        assert [record.offset for record in records] == list(range(len(records)))


async def test_a_connection_cut_in_the_middle_of_an_append_is_an_error_and_heals(
    logs: list[EmbeddedLog], pool: asyncpg.Pool
) -> None:
    log, other = logs[0], logs[1]
    await log.append(EVENTS, [Outgoing(0, b"k", b"0")])
    async with pool.acquire() as holder, holder.transaction():
        await holder.fetch(HOLD, EVENTS, 0)
        appending = asyncio.create_task(log.append(EVENTS, [Outgoing(0, b"k", b"1")]))
        await holder.execute("SELECT pg_terminate_backend($1)", await blocked(pool))
        with pytest.raises(BrokerUnavailable):
            await appending
    await log.append(EVENTS, [Outgoing(0, b"k", b"2")])
    reader = other.reader(EVENTS)
    await reader.assign({0: 0})
    found = await reader.read(10, PATIENCE)
    assert [record.value for record in found[0]] == [b"0", b"2"]
    assert [record.offset for record in found[0]] == [0, 1]


async def test_a_statement_that_fails_fails_its_own_callers_only(
    logs: list[EmbeddedLog], pool: asyncpg.Pool
) -> None:
    """Those who wait while the first one is on its way go into the next statement."""
    log = logs[0]
    async with pool.acquire() as holder, holder.transaction():
        await holder.fetch(HOLD, EVENTS, 0)
        hit = asyncio.create_task(log.append(EVENTS, [Outgoing(0, b"k", b"hit")]))
        pid = await blocked(pool)
        spared = [
            asyncio.create_task(log.append(SENDS, [Outgoing(p, b"k", b"spared")]))
            for p in range(PARTITIONS)
        ]
        await asyncio.sleep(0)
        await holder.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(BrokerUnavailable):
            await hit
        await asyncio.gather(*spared)
    assert await log.end_offsets(EVENTS) == {0: 0, 1: 0, 2: 0}
    assert await log.end_offsets(SENDS) == {0: 1, 1: 1, 2: 1}


async def test_an_append_that_takes_too_long_is_given_up(
    logs: list[EmbeddedLog], pool: asyncpg.Pool
) -> None:
    async with pool.acquire() as holder, holder.transaction():
        await holder.fetch(HOLD, EVENTS, 0)
        with pytest.raises(BrokerUnavailable):
            await logs[0].append(EVENTS, [Outgoing(0, b"k", b"in doubt")])
    await logs[0].append(EVENTS, [Outgoing(0, b"k", b"2")])
    reader = logs[1].reader(EVENTS)
    await reader.assign({0: 0})
    assert (await reader.read(10, PATIENCE))[0][-1].value == b"2"


async def test_callers_that_wait_share_a_statement(
    logs: list[EmbeddedLog], pool: asyncpg.Pool
) -> None:
    await asyncio.gather(
        *(logs[0].append(EVENTS, [Outgoing(n % PARTITIONS, b"k", b"%d" % n)]) for n in range(300))
    )
    transactions = await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM log.record")
    assert transactions == 1


async def test_a_stream_that_was_never_created_is_said_so(logs: list[EmbeddedLog]) -> None:
    await logs[0].create({EVENTS: PARTITIONS})
    log = EmbeddedLog(logs[0]._pool, PARTITIONS + 1, exclusive=False)
    with pytest.raises(BrokerMismatch, match="events/3 was never created"):
        await log.append(EVENTS, [Outgoing(PARTITIONS, b"k", b"1")])
    await log.close()


async def test_retention_deletes_in_bites(logs: list[EmbeddedLog], pool: asyncpg.Pool) -> None:
    records = [Outgoing(0, b"k", b"v") for _ in range(2_500)]
    await logs[0].append(EVENTS, records)
    await logs[0].publish_position("all", EVENTS, {0: 2_400, 1: 0, 2: 0})
    await logs[0].trim(EVENTS, keep_seconds=0)
    assert (await logs[0].start_offsets(EVENTS))[0] == 2_400
    assert await pool.fetchval("SELECT count(*) FROM log.record") == 100


async def blocked(pool: asyncpg.Pool) -> int:
    """The backend of an append that waits for a row."""
    async with asyncio.timeout(PATIENCE):
        while (pid := await pool.fetchval(WAITING)) is None:
            await asyncio.sleep(0.01)
    return int(pid)
