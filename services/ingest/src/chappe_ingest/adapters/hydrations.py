"""Deliveries that wait for their shop's API, in Postgres."""

import datetime as dt
from collections.abc import Sequence

import asyncpg

from chappe.events import Stream
from chappe.ids import SourceId
from chappe_ingest.application.hydration import Asking
from chappe_ingest.domain.normalised import Hydration

DUE = """
    SELECT source FROM ingest.hydration
     WHERE next_at <= $1
     GROUP BY source ORDER BY min(number) LIMIT $2
"""

# Of one key only the oldest may go, so that its deliveries come back in their order.
CLAIM = """
    WITH mine AS (
        SELECT h.number FROM ingest.hydration h
         WHERE h.source = $1 AND h.next_at <= $2
           AND NOT EXISTS (SELECT FROM ingest.hydration before
                            WHERE before.key = h.key AND before.number < h.number)
         ORDER BY h.number
         LIMIT $3
           FOR UPDATE SKIP LOCKED)
    UPDATE ingest.hydration h
       SET next_at = $4, attempts = h.attempts + 1
      FROM mine
     WHERE h.number = mine.number
    RETURNING h.number, h.source, h.kind, h.key, h.stream, h.record, h.path, h.content,
              h.attempts, h.deadline
"""

LATER = "UPDATE ingest.hydration SET next_at = $2 WHERE number = $1"
DONE = "DELETE FROM ingest.hydration WHERE number = $1"
WAITING = """
    SELECT count(*) AS waiting,
           count(*) FILTER (
               WHERE h.next_at <= $1
                 AND NOT EXISTS (SELECT FROM ingest.hydration before
                                  WHERE before.key = h.key AND before.number < h.number)) AS due
      FROM ingest.hydration h
"""


# Its own words begin alike, so that nobody else's are taken away.
SAY = """
    UPDATE ingest.source SET note = 'API: ' || $2::text
     WHERE id = $1 AND (note IS NULL OR note LIKE 'API: %')
       AND note IS DISTINCT FROM 'API: ' || $2::text
"""


class PostgresHydrations:
    """The table as the hydrator's port speaks of it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def due(self, now: dt.datetime, limit: int) -> Sequence[SourceId]:
        return [SourceId(row["source"]) for row in await self._pool.fetch(DUE, now, limit)]

    async def claim(
        self, source: SourceId, limit: int, now: dt.datetime, until: dt.datetime
    ) -> Sequence[Asking]:
        rows = await self._pool.fetch(CLAIM, source, now, limit, until)
        return sorted((_asking(row) for row in rows), key=lambda asked: asked.number)

    async def later(self, asked: Asking, next_at: dt.datetime) -> None:
        await self._pool.execute(LATER, asked.number, next_at)

    async def done(self, asked: Asking) -> None:
        await self._pool.execute(DONE, asked.number)

    async def say(self, source: SourceId, problem: str | None) -> None:
        await self._pool.execute(SAY, source, problem)

    async def waiting(self, now: dt.datetime) -> tuple[int, int]:
        row = await self._pool.fetchrow(WAITING, now)
        assert row is not None, "an aggregate has a row"
        return row["waiting"], row["due"]


def _asking(row: asyncpg.Record) -> Asking:
    return Asking(
        source=SourceId(row["source"]),
        kind=row["kind"],
        key=row["key"],
        stream=Stream(row["stream"]),
        record=row["record"],
        question=Hydration(row["path"], row["content"]),
        deadline=row["deadline"],
        number=row["number"],
        attempts=row["attempts"],
    )
