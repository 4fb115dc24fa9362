"""The settings of a workspace's journeys, and the heartbeat, in Postgres."""

import datetime as dt

import asyncpg

from chappe.ids import WorkspaceId

ONE = "SELECT doc FROM orchestrator.journey_settings WHERE workspace = $1"

PUT = """
    INSERT INTO orchestrator.journey_settings (workspace, doc, updated_at) VALUES ($1, $2, $3)
        ON CONFLICT (workspace) DO UPDATE SET doc = excluded.doc, updated_at = excluded.updated_at
"""

MOVE = "UPDATE orchestrator.definitions SET generation = generation + 1"

BEAT = """
    WITH before AS (SELECT alive_at FROM orchestrator.heartbeat),
    now AS (
        INSERT INTO orchestrator.heartbeat (alive_at) VALUES ($1)
            ON CONFLICT (one) DO UPDATE SET alive_at = excluded.alive_at)
    SELECT alive_at FROM before
"""


class PostgresSettings:
    """``SettingsShelf`` over the orchestrator's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def one(self, workspace: WorkspaceId) -> bytes | None:
        return await self._pool.fetchval(ONE, workspace)

    async def put(self, workspace: WorkspaceId, doc: bytes, at: dt.datetime) -> None:
        """In force from every shard's next batch on."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(PUT, workspace, doc, at)
            await connection.execute(MOVE)


class PostgresHeartbeat:
    """``Heartbeat`` over the orchestrator's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def beat(self, at: dt.datetime) -> dt.datetime | None:
        return await self._pool.fetchval(BEAT, at)
