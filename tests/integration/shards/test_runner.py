"""The life of a shard on a real Postgres: apply once, take over, set aside, fire after reading."""

import asyncio
import datetime as dt
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from chappe.broker import Broker, Outgoing
from chappe.broker.embedded import EmbeddedLog
from chappe.broker.kafka import KafkaBroker
from chappe.broker.kafka_connection import KafkaConnection
from chappe.clock import HandClock
from chappe.events import EVENTS, SENDS
from chappe.events.streams import Stream
from chappe.postgres import migrate
from chappe.shards import (
    Batch,
    DeadLetter,
    FencedStatement,
    LostShards,
    Out,
    Owned,
    ShardRunner,
    unwrap,
    wrap,
)

PARTITIONS = 4
SCHEMA = "toy"
LEASE = dt.timedelta(seconds=1)
TICK_SECONDS = 0.2
PATIENCE_SECONDS = 20

COUNT = FencedStatement(
    SCHEMA,
    {
        "counted": """
            INSERT INTO {schema}.seen (body, n)
            SELECT body, 1 FROM unnest({bodies}::text[]) AS u(body)
                ON CONFLICT (body) DO UPDATE SET n = {schema}.seen.n + 1""",
    },
)


class Toy:
    """Counts each body, and echoes it on ``sends``."""

    name = "toy"
    schema = SCHEMA
    inputs: Sequence[Stream] = (EVENTS,)
    timer_stream: Stream | None = EVENTS

    def __init__(self) -> None:
        self.due: dict[int, dt.datetime] = {}
        self.fired: list[tuple[int, int]] = []
        self.applied: list[str] = []
        self.finished: list[int] = []
        self.before_commit: Callable[[], None] = lambda: None

    async def claimed(self, shards: Sequence[Owned]) -> None:
        pass

    async def releasing(self, shards: Sequence[int]) -> None:
        self.finished += shards

    async def released(self, shards: Sequence[int]) -> None:
        pass

    async def apply(self, batch: Batch) -> None:
        bodies = [item.body.decode().strip('"') for item in batch.inputs]
        out = [Out(item.shard, SENDS, item.shard, b"k", item.body) for item in batch.inputs]
        self.before_commit()
        await batch.commit(COUNT, {"bodies": list(dict.fromkeys(bodies))}, outbox=out)
        self.applied += bodies
        for shard in batch.due:
            self.fired.append((shard, len(self.applied)))
            self.due.pop(shard, None)

    async def poison(self, batch: Batch, error: Exception) -> None:
        letter = DeadLetter(batch.inputs[0], f"refused: {error}", batch.now)
        await batch.commit(COUNT, {"bodies": []}, dead=[letter])

    def next_due(self) -> dt.datetime | None:
        return min(self.due.values(), default=None)

    def due_shards(self, now: dt.datetime) -> Sequence[int]:
        return [shard for shard, due in self.due.items() if due <= now]


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def log(
    request: pytest.FixtureRequest, pool: asyncpg.Pool
) -> AsyncGenerator[EmbeddedLog | KafkaBroker]:
    await migrate(pool, SCHEMA, "chappe.shards.migrations")
    await pool.execute("CREATE TABLE toy.seen (body text PRIMARY KEY, n int NOT NULL)")
    if request.param == "kafka":
        connection = KafkaConnection(bootstrap=request.getfixturevalue("kafka_bootstrap"))
        prefix = f"test.{secrets.token_hex(4)}."
        opened = KafkaBroker(connection, prefix=prefix, partitions=PARTITIONS)
    else:
        await migrate(pool, "log", "chappe.broker.migrations")
        opened = EmbeddedLog(pool, PARTITIONS, exclusive=False)
    await opened.create({EVENTS: PARTITIONS, SENDS: PARTITIONS})
    yield opened
    await opened.close()


@asynccontextmanager
async def running(
    toy: Toy, log: Broker, pool: asyncpg.Pool, clock: HandClock, me: str = "a"
) -> AsyncGenerator[ShardRunner]:
    runner = ShardRunner(
        toy, broker=log, pool=pool, clock=clock, me=me, lease=LEASE, tick_seconds=TICK_SECONDS
    )
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        await runner.stop()
        await asyncio.wait_for(task, PATIENCE_SECONDS)


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not check():
            await asyncio.sleep(0.01)


def record(partition: int, body: str) -> Outgoing:
    return Outgoing(partition, b"k", wrap(f'"{body}"'.encode()))


async def echoed(log: Broker, count: int) -> list[str]:
    reader = log.reader(SENDS)
    await reader.assign(dict.fromkeys(range(PARTITIONS), 0))
    found: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found) < count:
            for records in (await reader.read(100, 0.2)).values():
                found += [unwrap(r.value)[1].decode().strip('"') for r in records]
    await reader.close()
    return found


async def test_every_record_is_applied_once_and_relayed(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    toy = Toy()
    async with running(toy, log, pool, clock):
        await log.append(EVENTS, [record(n % PARTITIONS, f"e{n}") for n in range(100)])
        await until(lambda: len(toy.applied) == 100)
        assert sorted(await echoed(log, 100)) == sorted(f"e{n}" for n in range(100))
    assert await pool.fetchval("SELECT count(*) FROM toy.seen WHERE n = 1") == 100


async def test_a_repeated_relay_is_applied_once(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    value = b'{"by":["p","i",0,7],"body":"again"}'
    toy = Toy()
    async with running(toy, log, pool, clock):
        await log.append(EVENTS, [Outgoing(1, b"k", value)] * 3)
        await log.append(EVENTS, [record(1, "last")])
        await until(lambda: "last" in toy.applied)
        await log.append(EVENTS, [Outgoing(1, b"k", value), record(1, "end")])
        await until(lambda: "end" in toy.applied)
    assert toy.applied.count("again") == 1


async def test_a_dead_owner_is_succeeded_within_the_lease_and_nothing_is_applied_twice(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    first, second = Toy(), Toy()
    dead = ShardRunner(
        first, broker=log, pool=pool, clock=clock, me="dead", lease=LEASE, tick_seconds=3600
    )
    task = asyncio.create_task(dead.run())
    await log.append(EVENTS, [record(0, "before")])
    await until(lambda: first.applied == ["before"])
    async with running(second, log, pool, clock, "heir") as heir:
        await until(lambda: len(heir.owned) == PARTITIONS)
        await log.append(EVENTS, [record(0, "after")])
        await until(lambda: "after" in second.applied)
        # The zombie never heard of it, reads the same record, and its commit is fenced.
        await until(lambda: len(dead.owned) < PARTITIONS)
    await dead.stop()
    await asyncio.wait_for(task, PATIENCE_SECONDS)
    rows = await pool.fetch("SELECT body, n FROM toy.seen ORDER BY body")
    assert [tuple(row) for row in rows] == [("after", 1), ("before", 1)]


async def test_what_a_stopped_process_lets_go_is_taken_without_waiting_for_a_tick(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    patient = ShardRunner(
        Toy(), broker=log, pool=pool, clock=clock, me="b", lease=LEASE, tick_seconds=3600
    )
    async with running(Toy(), log, pool, clock, "a") as a:
        await until(lambda: len(a.owned) == PARTITIONS)
        task = asyncio.create_task(patient.run())
        await until(lambda: len(a.owned) == PARTITIONS // 2)  # it has ticked once: a gave back
        await a.stop()
        await until(lambda: len(patient.owned) == PARTITIONS)
    await patient.stop()
    await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_two_processes_share_and_a_stopped_one_hands_over(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    first = Toy()
    async with running(first, log, pool, clock, "a") as a:
        await until(lambda: len(a.owned) == PARTITIONS)
        async with running(Toy(), log, pool, clock, "b") as b:
            await until(lambda: len(a.owned) == len(b.owned) == PARTITIONS // 2)
            assert not set(a.owned) & set(b.owned)
            assert set(first.finished) == set(b.owned)
        await until(lambda: len(a.owned) == PARTITIONS)


async def test_a_commit_that_lost_its_shard_changes_nothing(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    toy = Toy()
    async with running(toy, log, pool, clock) as runner:
        await until(lambda: len(runner.owned) == PARTITIONS)
        await pool.execute("UPDATE toy.shard SET epoch = epoch + 1 WHERE shard = 2")
        with pytest.raises(LostShards):
            await runner.commit(COUNT, {"bodies": ["ghost"]}, shards=[1, 2])
        assert await pool.fetchval("SELECT count(*) FROM toy.seen") == 0


WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


async def test_a_commit_and_a_tick_of_the_same_process_never_wait_for_each_other(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with running(Toy(), log, pool, clock) as runner:
        await until(lambda: len(runner.owned) == PARTITIONS)
        async with runner.transaction() as tx:
            # Two steps, as the sender's notes do it: a tick between them would wait for the last
            # shard with the first one in its hand.
            last = PARTITIONS - 1
            lock = "SELECT 1 FROM toy.shard WHERE shard = $1 FOR SHARE"
            await tx.connection.execute(lock, last)
            for _ in range(30):
                await asyncio.sleep(TICK_SECONDS / 10)
                assert await pool.fetchval(WAITING) == 0
            await runner.commit(COUNT, {"bodies": ["x"]}, shards=[0], transaction=tx)
        assert await pool.fetchval("SELECT n FROM toy.seen WHERE body = 'x'") == 1


async def test_what_the_database_refuses_is_set_aside_and_the_rest_goes_on(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    await pool.execute("ALTER TABLE toy.seen ADD CHECK (body <> 'poison')")
    toy = Toy()
    async with running(toy, log, pool, clock):
        bodies = [f"e{n}" for n in range(20)] + ["poison"] + [f"f{n}" for n in range(20)]
        await log.append(EVENTS, [record(1, body) for body in bodies])
        await until(lambda: len(toy.applied) == 40)
    assert toy.applied == [body for body in bodies if body != "poison"]
    assert await pool.fetchval("SELECT count(*) FROM toy.dead_letter WHERE shard = 1") == 1


async def test_an_undecodable_record_becomes_a_dead_letter_with_its_reason(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    toy = Toy()
    async with running(toy, log, pool, clock):
        await log.append(EVENTS, [Outgoing(3, b"k", b"\xff not json"), record(3, "fine")])
        await until(lambda: toy.applied == ["fine"])
    row = await pool.fetchrow("SELECT stream, value, reason FROM toy.dead_letter")
    assert row is not None
    assert (row["stream"], row["value"]) == ("events", b"\xff not json")
    assert "not a record of ours" in row["reason"]


async def test_a_dead_letter_goes_after_fourteen_days_and_not_before(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    toy = Toy()
    async with running(toy, log, pool, clock) as runner:
        await log.append(EVENTS, [Outgoing(3, b"k", b"no json"), record(3, "fine")])
        await until(lambda: toy.applied == ["fine"])
        clock.advance(dt.timedelta(days=13, hours=23))
        await runner.forget()
        assert await pool.fetchval("SELECT count(*) FROM toy.dead_letter") == 1
        clock.advance(dt.timedelta(hours=2))
        await runner.forget()
        assert await pool.fetchval("SELECT count(*) FROM toy.dead_letter") == 0


async def test_a_timer_fires_only_after_what_was_in_the_log_when_it_was_due(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    toy = Toy()
    await log.append(EVENTS, [record(2, f"e{n}") for n in range(1200)])
    toy.due = {2: clock.now() - dt.timedelta(hours=1)}
    async with running(toy, log, pool, clock):
        await until(lambda: bool(toy.fired))
    assert toy.fired == [(2, 1200)]


async def test_an_outbox_left_by_a_crash_is_relayed_by_the_next_owner(
    log: Broker, pool: asyncpg.Pool, clock: HandClock
) -> None:
    await pool.execute("INSERT INTO toy.shard (shard, out_seq) VALUES (0, 2)")
    await pool.executemany(
        "INSERT INTO toy.outbox VALUES (0, $1, 'sends', 0, 'k', $2)",
        [(1, b'"one"'), (2, b'"two"')],
    )
    async with running(Toy(), log, pool, clock):
        assert await echoed(log, 2) == ["one", "two"]

        async def tidy() -> bool:
            return await pool.fetchval("SELECT count(*) FROM toy.outbox") == 0

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await tidy():
                await asyncio.sleep(0.05)
    assert await pool.fetchval("SELECT pub_seq FROM toy.shard WHERE shard = 0") == 2
