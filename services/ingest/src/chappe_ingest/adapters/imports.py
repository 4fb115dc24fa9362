"""How far imports are, in Postgres."""

import datetime as dt
from typing import Final

import asyncpg

from chappe.ids import WorkspaceId
from chappe_ingest.application.importing import Standing, Step

FRESH: Final = dt.timedelta(days=6)
"""Repeats of rows are known as such for 7 days; a table older than this is read from its start."""

KEPT: Final = dt.timedelta(days=14)

FIND = """
    SELECT id, next_row, taken, refused, done FROM ingest.import
     WHERE workspace = $1 AND id = $2 AND at > $3
"""

# A first step begins a row anew when the one that is there is too old to go on from.
ADD = """
    WITH begun AS (
        INSERT INTO ingest.import AS was (workspace, id, next_row, taken, refused, done, at)
        SELECT $1, $2, $4, $5, $6, $7, $8 WHERE $3 = 2
            ON CONFLICT (workspace, id) DO UPDATE
           SET next_row = excluded.next_row, taken = excluded.taken, refused = excluded.refused,
               done = excluded.done, at = excluded.at
         WHERE was.at <= $9
     RETURNING 1)
    UPDATE ingest.import
       SET next_row = $4, taken = taken + $5, refused = refused + $6, done = $7, at = $8
     WHERE workspace = $1 AND id = $2 AND next_row = $3 AND NOT done
       AND NOT EXISTS (SELECT 1 FROM begun)
"""

FORGET = "DELETE FROM ingest.import WHERE at < $1"


class PostgresProgress:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def of(self, workspace: WorkspaceId, id_: str, *, now: dt.datetime) -> Standing | None:
        row = await self._pool.fetchrow(FIND, workspace, id_, now - FRESH)
        return Standing(**dict(row)) if row is not None else None

    async def add(self, workspace: WorkspaceId, id_: str, step: Step, *, now: dt.datetime) -> None:
        await self._pool.execute(
            ADD,
            workspace,
            id_,
            step.first_row,
            step.next_row,
            step.taken,
            step.refused,
            step.done,
            now,
            now - FRESH,
        )
        if step.done:
            await self._pool.execute(FORGET, now - KEPT)
