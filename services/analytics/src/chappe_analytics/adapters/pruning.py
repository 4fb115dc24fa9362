"""Forget what was kept long enough, on the wall clock: raw events after 14 days, hits after 7."""

import asyncio
import datetime as dt

import asyncpg

from chappe_analytics import metrics

EVENTS_KEPT = dt.timedelta(days=14)
HITS_KEPT = dt.timedelta(days=7)
EVERY = dt.timedelta(hours=1)
CHUNK_ROWS = 5_000

# Several processes may do this at once; they skip what another one is deleting.
PRUNE = {
    "event": """
    DELETE FROM analytics.event WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM analytics.event WHERE stored_at < now() - $1::interval
         ORDER BY stored_at LIMIT $2 FOR UPDATE SKIP LOCKED))
""",
    "hit": """
    DELETE FROM analytics.hit WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM analytics.hit WHERE stored_at < now() - $1::interval
         ORDER BY stored_at LIMIT $2 FOR UPDATE SKIP LOCKED))
""",
}
KEPT = {"event": EVENTS_KEPT, "hit": HITS_KEPT}


async def prune(pool: asyncpg.Pool) -> None:
    """Delete what is too old, in chunks that hold no lock for long."""
    for table, statement in PRUNE.items():
        deleted = CHUNK_ROWS
        while deleted == CHUNK_ROWS:
            tag = await pool.execute(statement, KEPT[table], CHUNK_ROWS)
            deleted = int(tag.rpartition(" ")[2])
            metrics.PRUNED.labels(table).inc(deleted)


async def keep_pruning(pool: asyncpg.Pool) -> None:
    """Every hour, until cancelled; a database that is away has its turn an hour later."""
    while True:
        try:
            await prune(pool)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            metrics.PRUNE_FAILURES.inc()
        await asyncio.sleep(EVERY.total_seconds())
