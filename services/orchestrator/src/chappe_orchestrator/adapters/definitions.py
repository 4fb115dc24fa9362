"""Journeys in Postgres: drafts, immutable versions, and the generation that every batch reads."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace

import asyncpg

from chappe.ids import WorkspaceId
from chappe_orchestrator.application.ports import (
    JourneyRow,
    NewVersion,
    Published,
    StoredVersion,
)

READ = """
    SELECT v.workspace, v.name, v.version, v.definition, v.templates, j.paused, j.archived
      FROM orchestrator.journey_version v
      JOIN orchestrator.journey j ON j.workspace = v.workspace AND j.name = v.name
"""

SEGMENTS = "SELECT workspace, definition FROM orchestrator.segment ORDER BY workspace, name"

SETTINGS = "SELECT workspace, doc FROM orchestrator.journey_settings"

GENERATION = "SELECT generation FROM orchestrator.definitions"

LOCK = "SELECT generation FROM orchestrator.definitions FOR UPDATE"

MOVE = "UPDATE orchestrator.definitions SET generation = generation + 1"

CURRENT = """
    SELECT j.version, j.archived, v.definition, v.templates
      FROM orchestrator.journey j
      LEFT JOIN orchestrator.journey_version v
        ON v.workspace = j.workspace AND v.name = j.name AND v.version = j.version
     WHERE j.workspace = $1 AND j.name = $2
"""

INSERT_VERSION = """
    INSERT INTO orchestrator.journey_version
           (workspace, name, version, definition, templates, published_at)
    VALUES ($1, $2, $3, $4, $5, $6)
"""

SET_VERSION = """
    INSERT INTO orchestrator.journey (workspace, name, version, updated_at)
    VALUES ($1, $2, $3, $4)
        ON CONFLICT (workspace, name)
        DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at,
                      archived = false
"""

SET_DRAFT = """
    INSERT INTO orchestrator.journey (workspace, name, draft, draft_templates, draft_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $5)
        ON CONFLICT (workspace, name)
        DO UPDATE SET draft = excluded.draft, draft_templates = excluded.draft_templates,
                      draft_at = excluded.draft_at, updated_at = excluded.updated_at
"""

# A draft that has been saved anew meanwhile is another one, and stays.
DRAFT_DONE = """
    UPDATE orchestrator.journey SET draft = NULL, draft_templates = NULL, draft_at = NULL
     WHERE workspace = $1 AND name = $2 AND draft = ANY ($3::bytea[])
"""

DROP_DRAFT = """
    WITH never AS (
        DELETE FROM orchestrator.journey
         WHERE workspace = $1 AND name = $2 AND draft IS NOT NULL AND version IS NULL
        RETURNING name),
    kept AS (
        UPDATE orchestrator.journey SET draft = NULL, draft_templates = NULL, draft_at = NULL
         WHERE workspace = $1 AND name = $2 AND draft IS NOT NULL AND version IS NOT NULL
        RETURNING name)
    SELECT name FROM never UNION ALL SELECT name FROM kept
"""

SET_PAUSED = """
    UPDATE orchestrator.journey SET paused = $3, updated_at = $4
     WHERE workspace = $1 AND name = $2 AND version IS NOT NULL
    RETURNING name
"""

ARCHIVE = """
    UPDATE orchestrator.journey SET archived = true, updated_at = $3
     WHERE workspace = $1 AND name = $2 AND version IS NOT NULL
    RETURNING name
"""

LIST = """
    SELECT j.name, j.version, j.paused, j.archived, j.updated_at, j.draft IS NOT NULL AS has_draft,
           CASE WHEN v.definition IS NULL OR $4 THEN j.draft END AS draft, j.draft_at,
           v.definition, v.published_at
      FROM orchestrator.journey j
      LEFT JOIN orchestrator.journey_version v
        ON v.workspace = j.workspace AND v.name = j.name AND v.version = j.version
     WHERE j.workspace = $1 AND j.name > $2 AND (NOT $4 OR j.draft IS NOT NULL)
     ORDER BY j.name LIMIT $3
"""

ONE = """
    SELECT j.name, j.version, j.paused, j.archived, j.updated_at, j.draft, j.draft_templates,
           j.draft_at, v.definition, v.templates, v.published_at
      FROM orchestrator.journey j
      LEFT JOIN orchestrator.journey_version v
        ON v.workspace = j.workspace AND v.name = j.name
       AND v.version = coalesce($3::int, j.version)
     WHERE j.workspace = $1 AND j.name = $2
"""

VERSIONS = """
    SELECT version, published_at FROM orchestrator.journey_version
     WHERE workspace = $1 AND name = $2 ORDER BY version DESC LIMIT 100
"""


class PostgresDefinitions:
    """``Definitions`` and ``JourneyShelf`` over the orchestrator's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def read(self) -> tuple[int, Sequence[StoredVersion]]:
        # The generation first: what is published in between makes the next batch read again.
        generation = await self.generation()
        rows = await self._pool.fetch(READ)
        return generation, [
            StoredVersion(
                workspace=row["workspace"],
                journey=row["name"],
                version=row["version"],
                definition=row["definition"],
                templates=row["templates"],
                paused=row["paused"],
                archived=row["archived"],
            )
            for row in rows
        ]

    async def settings(self) -> Mapping[WorkspaceId, bytes]:
        return {row["workspace"]: row["doc"] for row in await self._pool.fetch(SETTINGS)}

    async def segments(self) -> Mapping[WorkspaceId, Sequence[bytes]]:
        found: dict[WorkspaceId, list[bytes]] = {}
        for row in await self._pool.fetch(SEGMENTS):
            found.setdefault(row["workspace"], []).append(row["definition"])
        return found

    async def generation(self) -> int:
        return await self._pool.fetchval(GENERATION)

    async def publish(
        self, workspace: WorkspaceId, versions: Sequence[NewVersion], at: dt.datetime
    ) -> list[Published]:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetchval(LOCK)
            published: list[Published] = []
            moved = False
            for new in versions:
                row = await connection.fetchrow(CURRENT, workspace, new.journey)
                held = row["version"] if row else None
                same = row is not None and (
                    (row["definition"], row["templates"]) == (new.definition, new.templates)
                )
                version = held if same and held else (held or 0) + 1
                published.append(Published(new.journey, version, changed=not same))
                if not same:
                    await connection.execute(
                        INSERT_VERSION, workspace, new.journey, version,
                        new.definition, new.templates, at,
                    )  # fmt: skip
                returns = row is not None and row["archived"]
                if not same or returns:
                    await connection.execute(SET_VERSION, workspace, new.journey, version, at)
                done = [one for one in (new.definition, new.draft) if one is not None]
                await connection.execute(DRAFT_DONE, workspace, new.journey, done)
                moved = moved or not same or returns
            if moved:
                await connection.execute(MOVE)
        return published

    async def save_draft(
        self,
        workspace: WorkspaceId,
        name: str,
        definition: bytes,
        templates: bytes,
        at: dt.datetime,
    ) -> None:
        await self._pool.execute(SET_DRAFT, workspace, name, definition, templates, at)

    async def drop_draft(self, workspace: WorkspaceId, name: str) -> bool:
        return await self._pool.fetchval(DROP_DRAFT, workspace, name) is not None

    async def set_paused(
        self, workspace: WorkspaceId, name: str, at: dt.datetime, *, paused: bool
    ) -> bool:
        """False when there is no such published journey."""
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchval(SET_PAUSED, workspace, name, paused, at)
            if found is not None:
                await connection.execute(MOVE)
        return found is not None

    async def archive(self, workspace: WorkspaceId, name: str, at: dt.datetime) -> bool:
        """False when there is no such published journey."""
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchval(ARCHIVE, workspace, name, at)
            if found is not None:
                await connection.execute(MOVE)
        return found is not None

    async def listed(
        self, workspace: WorkspaceId, after: str, limit: int, *, drafts: bool = False
    ) -> list[JourneyRow]:
        """The draft's body comes along where nothing else says what the journey is called."""
        rows = await self._pool.fetch(LIST, workspace, after, limit, drafts)
        return [_row(row, has_draft=row["has_draft"]) for row in rows]

    async def one(
        self, workspace: WorkspaceId, name: str, version: int | None = None
    ) -> JourneyRow | None:
        """A journey with its current version, or with the one asked for."""
        row = await self._pool.fetchrow(ONE, workspace, name, version)
        if row is None:
            return None
        found = _row(row, has_draft=row["draft"] is not None)
        return replace(found, templates=row["templates"], draft_templates=row["draft_templates"])

    async def versions(self, workspace: WorkspaceId, name: str) -> list[tuple[int, dt.datetime]]:
        """The newest hundred, newest first."""
        rows = await self._pool.fetch(VERSIONS, workspace, name)
        return [(row["version"], row["published_at"]) for row in rows]


def _row(row: asyncpg.Record, *, has_draft: bool) -> JourneyRow:
    return JourneyRow(
        name=row["name"],
        version=row["version"],
        paused=row["paused"],
        archived=row["archived"],
        updated_at=row["updated_at"],
        has_draft=has_draft,
        draft=row["draft"],
        definition=row["definition"],
        templates=None,
        published_at=row["published_at"],
        draft_at=row["draft_at"],
    )
