"""The resolver's dead letters in Postgres."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import asyncpg

from chappe.ids import WorkspaceId
from chappe_ingest.application.replay import Letter, Selection

PAGE = """
    SELECT d.id, d.shard, d.stream, d."offset", d.reason, d.source, d.at,
           octet_length(d.value) AS bytes, r.at AS replayed_at
      FROM ingest.dead_letter d
      LEFT JOIN ingest.replayed r ON r.letter = d.id
     WHERE (d.source IS NULL
            OR d.source = 'api'
            OR EXISTS (SELECT 1 FROM ingest.source s WHERE s.id = d.source AND s.workspace = $1))
       AND ($2::timestamptz IS NULL OR (d.at, d.id) < ($2, $3))
     ORDER BY d.at DESC, d.id DESC
     LIMIT $4
"""

ONE = """
    SELECT d.id, d.shard, d.stream, d."offset", d.reason, d.source, d.at, d.value,
           octet_length(d.value) AS bytes, r.at AS replayed_at
      FROM ingest.dead_letter d
      LEFT JOIN ingest.replayed r ON r.letter = d.id
     WHERE d.id = $2
       AND (d.source IS NULL
            OR d.source = 'api'
            OR EXISTS (SELECT 1 FROM ingest.source s WHERE s.id = d.source AND s.workspace = $1))
"""

SELECT = """
    SELECT d.id, d.key, d.value
      FROM ingest.dead_letter d
     WHERE (d.source = 'api'
            OR EXISTS (SELECT 1 FROM ingest.source s WHERE s.id = d.source AND s.workspace = $1))
       AND ($2::text[] IS NULL OR d.id = ANY($2))
       AND ($2::text[] IS NOT NULL
            OR NOT EXISTS (SELECT 1 FROM ingest.replayed r WHERE r.letter = d.id))
       AND ($3::text IS NULL
            OR d.source = $3
            OR EXISTS (SELECT 1 FROM ingest.source s
                        WHERE s.id = d.source AND s.workspace = $1 AND s.name = $3))
       AND ($4::text IS NULL OR strpos(lower(d.reason), lower($4)) > 0)
       AND ($5::timestamptz IS NULL OR d.at >= $5)
       AND ($6::timestamptz IS NULL OR d.at < $6)
     ORDER BY d.stream, d.shard, d."offset"
     LIMIT $7
"""

MARK = """
    INSERT INTO ingest.replayed (letter, replay, effects, at)
    SELECT letter, $2, $3, $4 FROM unnest($1::text[]) u(letter) ORDER BY letter
        ON CONFLICT (letter) DO UPDATE
       SET replay = excluded.replay, effects = excluded.effects, at = excluded.at
"""


class PostgresDeadLetters:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def page(
        self, workspace: WorkspaceId, after: tuple[dt.datetime, str] | None, limit: int
    ) -> Sequence[dict[str, Any]]:
        at, id_ = after or (None, "")
        return [dict(row) for row in await self._pool.fetch(PAGE, workspace, at, id_, limit)]

    async def one(self, workspace: WorkspaceId, letter: str) -> dict[str, Any] | None:
        row = await self._pool.fetchrow(ONE, workspace, letter)
        return dict(row) if row is not None else None

    async def select(
        self, workspace: WorkspaceId, selection: Selection, limit: int
    ) -> Sequence[Letter]:
        rows = await self._pool.fetch(
            SELECT,
            workspace,
            list(selection.ids) if selection.ids is not None else None,
            selection.source,
            selection.reason,
            selection.since,
            selection.until,
            limit,
        )
        return [Letter(row["id"], row["key"], row["value"]) for row in rows]

    async def mark(
        self, letters: Sequence[str], replay: str, *, effects: bool, at: dt.datetime
    ) -> None:
        await self._pool.execute(MARK, list(letters), replay, effects, at)
