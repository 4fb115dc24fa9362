"""The resolver's dead letters, newest first."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import asyncpg

from chappe.ids import WorkspaceId

PAGE = """
    SELECT id, shard, stream, "offset", reason, source, at, octet_length(value) AS bytes
      FROM ingest.dead_letter d
     WHERE (d.source IS NULL
            OR d.source = 'api'
            OR EXISTS (SELECT 1 FROM ingest.source s WHERE s.id = d.source AND s.workspace = $1))
       AND ($2::timestamptz IS NULL OR (at, id) < ($2, $3))
     ORDER BY at DESC, id DESC
     LIMIT $4
"""


class PostgresDeadLetters:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def page(
        self, workspace: WorkspaceId, after: tuple[dt.datetime, str] | None, limit: int
    ) -> Sequence[dict[str, Any]]:
        at, id_ = after or (None, "")
        return [dict(row) for row in await self._pool.fetch(PAGE, workspace, at, id_, limit)]
