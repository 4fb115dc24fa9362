"""Segments in Postgres: their definitions, and how many contacts a rule holds for."""

import datetime as dt

import asyncpg

from chappe.ids import WorkspaceId
from chappe.journey import Condition
from chappe.journey.segments import SEGMENTS_MAX
from chappe.journey.sql import Over, to_sql
from chappe_orchestrator.application.ports import SegmentRow

COUNT_TIMEOUT_SECONDS = 30

ONE = "SELECT definition, updated_at FROM orchestrator.segment WHERE workspace = $1 AND name = $2"

LIST = """
    SELECT name, definition, updated_at FROM orchestrator.segment
     WHERE workspace = $1 AND name > $2 ORDER BY name LIMIT $3
"""

# The row lock makes writers of one generation wait for each other: the bound holds.
MOVE = "UPDATE orchestrator.definitions SET generation = generation + 1"

OTHERS = "SELECT count(*) FROM orchestrator.segment WHERE workspace = $1 AND name <> $2"

PUT = """
    INSERT INTO orchestrator.segment (workspace, name, definition, updated_at)
    VALUES ($1, $2, $3, $4)
        ON CONFLICT (workspace, name)
        DO UPDATE SET definition = excluded.definition, updated_at = excluded.updated_at
"""

DELETE = "DELETE FROM orchestrator.segment WHERE workspace = $1 AND name = $2 RETURNING name"

KNOWN = """
    WITH zone AS MATERIALIZED (SELECT name FROM pg_timezone_names),
    doc AS (SELECT shard, contact AS id, convert_from(doc, 'utf8')::jsonb AS d
              FROM orchestrator.profile WHERE workspace = $1),
    scored AS (
        SELECT *, coalesce(CASE WHEN $3::interval IS NULL OR d ->> 'score_at' IS NULL
                           THEN (d ->> 'score')::numeric
                           ELSE round((d ->> 'score')::numeric * power(0.5, greatest(0,
                                extract(epoch FROM $2::timestamptz
                                        - (d ->> 'score_at')::timestamptz)
                                / extract(epoch FROM $3::interval))), 2) END, 0) AS score
          FROM doc),
    known AS (
        SELECT shard, id, score,
               coalesce(d -> 'traits', '{}') || jsonb_build_object(
                   'email', d #> '{identifiers,email,0}',
                   'tags', coalesce(d -> 'tags', '[]'), 'score', score) AS contact,
               '{}'::jsonb AS event, '{}'::jsonb AS entry,
               coalesce((SELECT name FROM zone WHERE name = d #>> '{traits,timezone}'),
                        (SELECT name FROM zone WHERE name = d #>> '{traits,time_zone}'),
                        $4::text) AS zone,
               coalesce(d -> 'tags', '[]') AS tags,
               coalesce(d -> 'segments', '[]') AS segments,
               coalesce(d -> 'consent', '{}') AS consent,
               coalesce(d -> 'topics', '{}') AS topics,
               coalesce(d -> 'counters', '{}') AS counters,
               coalesce(d -> 'mails', '[]') AS mails,
               NULL::timestamptz AS entered_at, NULL::jsonb AS entry_counts
          FROM scored)
"""

COUNT = "{known} SELECT count(*) FROM known k WHERE {rule}"

_OVER = Over(
    schema="orchestrator",
    history="orchestrator.event_history h",
    belongs="h.shard = k.shard AND h.contact = k.id",
)


class PostgresSegments:
    """``SegmentShelf`` over the orchestrator's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def one(self, workspace: WorkspaceId, name: str) -> SegmentRow | None:
        row = await self._pool.fetchrow(ONE, workspace, name)
        return SegmentRow(name, row["definition"], row["updated_at"]) if row else None

    async def listed(self, workspace: WorkspaceId, after: str, limit: int) -> list[SegmentRow]:
        return [SegmentRow(*row) for row in await self._pool.fetch(LIST, workspace, after, limit)]

    async def put(
        self, workspace: WorkspaceId, name: str, definition: bytes, at: dt.datetime
    ) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(MOVE)
            others: int = await connection.fetchval(OTHERS, workspace, name)
            if others >= SEGMENTS_MAX:
                return False
            await connection.execute(PUT, workspace, name, definition, at)
        return True

    async def delete(self, workspace: WorkspaceId, name: str) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(MOVE)
            return await connection.fetchval(DELETE, workspace, name) is not None

    async def count(
        self,
        workspace: WorkspaceId,
        rule: Condition,
        *,
        now: dt.datetime,
        zone: str,
        half_life: dt.timedelta | None,
    ) -> int:
        sql = to_sql(rule, _OVER, now=now, first=5)
        statement = COUNT.format(known=KNOWN, rule=sql.text)
        return await self._pool.fetchval(
            statement, workspace, now, half_life, zone, *sql.args, timeout=COUNT_TIMEOUT_SECONDS
        )
