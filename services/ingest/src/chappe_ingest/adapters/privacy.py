"""What the ingest service holds of one person, and how far erasures are."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from chappe.ids import ContactId, SourceId, WorkspaceId
from chappe_ingest.application.forgetting import Erasing, ShopTask

IDENTIFIERS = """
    SELECT type, value, scope, trusted FROM ingest.identifier
     WHERE workspace = $1 AND contact = $2 ORDER BY type, value LIMIT $3
"""

CONTACT = (
    "SELECT created_at, stated::text AS stated FROM ingest.contact WHERE workspace = $1 AND id = $2"
)

FORMER = """
    SELECT contact, at FROM ingest.contact_redirect
     WHERE workspace = $1 AND "into" = $2 ORDER BY at LIMIT $3
"""

CONFLICTS = """
    SELECT type, value, reason, times, last_at FROM ingest.identity_conflict
     WHERE workspace = $1 AND wanted_by = $2 ORDER BY last_at DESC LIMIT $3
"""

ERASED = "SELECT at FROM ingest.erasure WHERE id = $1"

TASKS = """
    SELECT id, source, shop, asked_at, due_at, state, erased, kept, confirmed_at, finished_at
      FROM ingest.shop_erasure
     WHERE workspace = $1 AND ($2::text IS NULL OR source = $2)
     ORDER BY asked_at DESC LIMIT $3
"""

CONFIRM = """
    UPDATE ingest.shop_erasure
       SET state = 'running', confirmed_at = coalesce(confirmed_at, $4)
     WHERE workspace = $1 AND source = $2 AND id = $3 AND state IN ('waiting', 'running')
    RETURNING id
"""

SOURCE = """
    SELECT id FROM ingest.source
     WHERE workspace = $1 AND (id = $2 OR name = $2 AND state <> 'deleted')
     ORDER BY id = $2 DESC LIMIT 1
"""

RUNNING = """
    SELECT id, workspace, scope, cursor FROM ingest.shop_erasure
     WHERE state = 'running' ORDER BY confirmed_at LIMIT 1
"""

# The next contacts that the shop has named, and whether nobody else has.
NAMED_BY = """
    SELECT i.contact, bool_and(n.scope = $2) AS alone
      FROM (SELECT DISTINCT contact FROM ingest.identifier
             WHERE workspace = $1 AND scope = $2 AND type = 'external_id' AND contact > $3
             ORDER BY contact LIMIT $4) i
      JOIN ingest.identifier n ON n.workspace = $1 AND n.contact = i.contact
       AND n.type IN ('external_id', 'email', 'phone')
     GROUP BY i.contact ORDER BY i.contact
"""

ADVANCE = """
    UPDATE ingest.shop_erasure
       SET cursor = $2, erased = erased + $3, kept = kept + $4,
           state = CASE WHEN $5 THEN 'done' ELSE state END,
           finished_at = CASE WHEN $5 THEN $6::timestamptz END
     WHERE id = $1
"""

TOUCHED = """
    SELECT source, n FROM ingest.erased_dropped WHERE source = ANY($1::text[])
"""

UNDONE = """
    SELECT source, id, state, due_at FROM ingest.shop_erasure
     WHERE source = ANY($1::text[]) AND state <> 'done' ORDER BY due_at LIMIT $2
"""

NEXT_DUE = "SELECT min(due_at) FROM ingest.shop_erasure WHERE state <> 'done'"

EXPORT_MAX = 1_000
TASKS_MAX = 100
UNDONE_MAX = 1_000


class PostgresPrivacy:
    """Reads for exports; the tasks that shops leave behind."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def export(self, workspace: WorkspaceId, contact: ContactId) -> dict[str, Any]:
        """Identifiers, what each source said of consent, earlier ids, what stayed elsewhere."""
        row = await self._pool.fetchrow(CONTACT, workspace, contact)
        stated: dict[str, list[str]] = json.loads(row["stated"]) if row else {}
        return {
            "contact": contact,
            "known_since": row["created_at"] if row else None,
            "identifiers": await self._rows(IDENTIFIERS, workspace, contact),
            "consent": [
                {"source": who.rpartition(" ")[0], "channel": who.rpartition(" ")[2],
                 "state": said[0], "since": said[1]}
                for who, said in sorted(stated.items())
            ],
            "former_ids": await self._rows(FORMER, workspace, contact),
            "not_attached": await self._rows(CONFLICTS, workspace, contact),
        }  # fmt: skip

    async def _rows(self, sql: str, workspace: str, contact: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._pool.fetch(sql, workspace, contact, EXPORT_MAX)]

    async def is_erased(self, event: str) -> bool:
        return await self._pool.fetchval(ERASED, event) is not None

    async def source_of(self, workspace: WorkspaceId, ref: str) -> str | None:
        return await self._pool.fetchval(SOURCE, workspace, ref)

    async def tasks(self, workspace: WorkspaceId, source: str | None) -> list[dict[str, Any]]:
        rows = await self._pool.fetch(TASKS, workspace, source, TASKS_MAX)
        return [dict(row) for row in rows]

    async def confirm(
        self, workspace: WorkspaceId, source: str, task: str, now: dt.datetime
    ) -> bool:
        """False when there is no such task, or it is done."""
        return await self._pool.fetchval(CONFIRM, workspace, source, task, now) is not None

    async def running(self) -> tuple[str, WorkspaceId, str, str] | None:
        row = await self._pool.fetchrow(RUNNING)
        return (row["id"], row["workspace"], row["scope"], row["cursor"]) if row else None

    async def named_by(
        self, workspace: WorkspaceId, scope: str, after: str, limit: int
    ) -> Sequence[tuple[ContactId, bool]]:
        rows = await self._pool.fetch(NAMED_BY, workspace, scope, after, limit)
        return [(ContactId(row["contact"]), row["alone"]) for row in rows]

    async def advance(
        self, task: str, cursor: str, erased: int, kept: int, now: dt.datetime, *, done: bool
    ) -> None:
        await self._pool.execute(ADVANCE, task, cursor, erased, kept, done, now)

    async def erasing(self, sources: Sequence[SourceId]) -> Mapping[SourceId, Erasing]:
        """Of sources that erasures touch: what was left out, and what shops wait for."""
        dropped = {row["source"]: row["n"] for row in await self._pool.fetch(TOUCHED, sources)}
        tasks: dict[str, list[ShopTask]] = {}
        for source, *task in await self._pool.fetch(UNDONE, sources, UNDONE_MAX):
            tasks.setdefault(source, []).append(ShopTask(*task))
        return {
            SourceId(source): Erasing(dropped.get(source, 0), tuple(tasks.get(source, ())))
            for source in dropped.keys() | tasks.keys()
        }

    async def next_due(self) -> dt.datetime | None:
        """When the earliest shop's request must have been answered."""
        return await self._pool.fetchval(NEXT_DUE)
