"""Imported suppressions in Postgres."""

import datetime as dt
from collections.abc import Sequence

import asyncpg

from chappe.ids import WorkspaceId
from chappe_sender.domain.suppression_rows import SuppressionRow

# unsubscribed and erased close an address for marketing until a newer consent, the others for all.
STRENGTHEN = """
    WITH given AS (
        SELECT DISTINCT ON (address) address, reason, coalesce(at, $6) AS at, source
          FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::text[])
               u(address, reason, at, source)
         ORDER BY address, reason = 'unsubscribed', at DESC NULLS LAST),
    closed AS (
        INSERT INTO sender.suppression AS was (workspace, address, scope, reason, at, source)
        SELECT $1, address, '', reason, at, source FROM given ORDER BY address
            ON CONFLICT (workspace, address, scope) DO UPDATE
               SET reason = excluded.reason, at = greatest(was.at, excluded.at),
                   source = excluded.source
             WHERE was.reason IN ('unsubscribed', 'erased')
               AND (excluded.reason <> 'unsubscribed'
                    OR was.reason = 'unsubscribed' AND excluded.at > was.at)
         RETURNING 1)
    SELECT count(*) FROM closed
"""


class PostgresSuppressing:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def strengthen(
        self, workspace: WorkspaceId, rows: Sequence[SuppressionRow], now: dt.datetime
    ) -> int:
        return await self._pool.fetchval(
            STRENGTHEN,
            workspace,
            [row.address for row in rows],
            [row.reason for row in rows],
            [min(row.at, now) if row.at is not None else None for row in rows],
            [f"import {row.source}" if row.source else "import" for row in rows],
            now,
        )
