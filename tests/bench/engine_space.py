"""How much Postgres people take who wait in a journey: rows as the engine writes them, multiplied.

One contact is written by the engine itself; the database makes the others from it, under random
ids, so that the indexes fill as they do in life.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import asyncpg
from apart import database
from engine_world import PARTITIONS, WAITING, contact_of, publish, published, seed
from harness import result

from chappe.clock import BusinessClock, WallClock
from chappe.postgres import open_pool

WAITING_PEOPLE = 1_000_000
WAITING_PEOPLE_FULL = 10_000_000
PORTION = 250_000
CONNECTIONS = 2
MODEL = 123_456_789
TABLES = ("profile", "enrollment", "journey_key", "timer")
MEBIBYTE = 1024 * 1024

# Ids as long as ours are: a prefix and 26 letters.
PEOPLE = """
    SELECT n, (n % $1)::int AS shard, 'c_' || left(md5('c' || n), 26) AS contact,
           'n_' || left(md5('n' || n), 26) AS enrollment, 'token-' || n AS token
      FROM generate_series($2::bigint, $3::bigint - 1) n
"""
COPIED = """
    WITH p AS MATERIALIZED ({people}), profiles AS (
    INSERT INTO orchestrator.profile (shard, contact, workspace, doc)
    SELECT p.shard, p.contact, m.workspace,
           convert_to(replace(convert_from(m.doc, 'UTF8'), $4, p.n::text), 'UTF8')
      FROM p CROSS JOIN orchestrator.profile m WHERE m.contact = $5), enrollments AS (
    INSERT INTO orchestrator.enrollment
           (shard, contact, id, workspace, journey, version, key, step, status, reason, held, token,
            due_at, entered_at, watch_until, doc)
    SELECT p.shard, p.contact, p.enrollment, m.workspace, m.journey, m.version, p.token, m.step,
           m.status, m.reason, m.held, m.token, m.due_at + p.n * interval '1 ms', m.entered_at,
           m.watch_until,
           convert_to(replace(replace(convert_from(m.doc, 'UTF8'), m.id, p.enrollment),
                              m.key, p.token), 'UTF8')
      FROM p CROSS JOIN orchestrator.enrollment m WHERE m.contact = $5), keys AS (
    INSERT INTO orchestrator.journey_key
           (shard, contact, journey, value, entered_at, closed_at, enrollment)
    SELECT p.shard, p.contact, m.journey, p.token, m.entered_at, m.closed_at, p.enrollment
      FROM p CROSS JOIN orchestrator.journey_key m WHERE m.contact = $5)
    INSERT INTO orchestrator.timer (shard, due_at, subject_kind, subject_id, token, contact)
    SELECT p.shard, m.due_at + p.n * interval '1 ms', m.subject_kind, p.enrollment, m.token,
           p.contact
      FROM p CROSS JOIN orchestrator.timer m WHERE m.contact = $5
"""


async def _fill(pool: asyncpg.Pool, people: int) -> None:
    model = contact_of(MODEL)
    statement = COPIED.format(people=PEOPLE)
    portions = iter(range(0, people, PORTION))
    done = 0

    async def work() -> None:
        nonlocal done
        for first in portions:
            last = min(first + PORTION, people)
            await pool.execute(statement, PARTITIONS, first, last, str(MODEL), model, timeout=1_800)
            done += last - first
            print(f"  {done:,} of {people:,} wait", flush=True)

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    for table in TABLES:
        await pool.execute(f"VACUUM ANALYZE orchestrator.{table}", timeout=1_800)


async def _measured(pool: asyncpg.Pool, people: int) -> list[dict[str, Any]]:
    clock = BusinessClock(WallClock())
    await publish(pool, [WAITING], clock.now())
    numbers = range(MODEL, MODEL + 1)
    await seed(pool, await published(pool), numbers, clock.now(), _in_a_month(clock.now()))
    await _fill(pool, people)
    sizes = {
        table: await pool.fetchval(
            "SELECT pg_total_relation_size($1::regclass)", f"orchestrator.{table}"
        )
        for table in TABLES
    }
    whole = sum(sizes.values())
    on = {"waiting": people, **{name: size // MEBIBYTE for name, size in sizes.items()}}
    return [
        result("engine_space", whole / MEBIBYTE, "MiB", "all who wait", **on),
        result("engine_space_each", whole / people, "bytes", "contact who waits", **on),
    ]


def _in_a_month(now: dt.datetime) -> Callable[[int], dt.datetime]:
    def due_at(number: int) -> dt.datetime:
        _ = number
        return now + dt.timedelta(days=30)

    return due_at


def measure(*, full: bool = False) -> list[dict[str, Any]]:
    """With a million people, or with ten."""

    async def run(dsn: str) -> list[dict[str, Any]]:
        async with open_pool(dsn, size=CONNECTIONS) as pool:
            people = WAITING_PEOPLE_FULL if full else WAITING_PEOPLE
            return await _measured(pool, people)

    with database() as dsn:
        return asyncio.run(run(dsn))


if __name__ == "__main__":
    for line in measure():
        print(line["name"], line["value"], line["unit"], line["per"])
