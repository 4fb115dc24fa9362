"""Dead letters and erasures in Postgres, as the sweep looks at them."""

from collections.abc import Sequence

import asyncpg

from chappe.ids import WorkspaceId
from chappe_ingest.adapters import merge_tables
from chappe_ingest.domain.identity import Key

UNSWEPT = "SELECT id FROM ingest.erasure WHERE swept_at IS NULL ORDER BY at LIMIT 1000"

LETTERS = """
    SELECT id, value FROM ingest.dead_letter
     WHERE id > $1 AND octet_length(value) > 0 ORDER BY id LIMIT $2
"""

BLANK = """
    UPDATE ingest.dead_letter SET value = '', key = '', reason = 'erased at a contact''s request'
     WHERE id = ANY($1::text[])
"""

WORKSPACE_OF = "SELECT workspace FROM ingest.source WHERE id = $1"

SWEPT = "UPDATE ingest.erasure SET swept_at = now() WHERE id = ANY($1::text[])"


class PostgresKept:
    """Implements ``Kept``."""

    def __init__(self, pool: asyncpg.Pool, fingerprint: merge_tables.Fingerprint) -> None:
        self._pool = pool
        self._fingerprint = fingerprint

    async def unswept(self) -> Sequence[str]:
        return [row["id"] for row in await self._pool.fetch(UNSWEPT)]

    async def letters(self, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        return [(row["id"], row["value"]) for row in await self._pool.fetch(LETTERS, after, limit)]

    async def blank(self, letters: Sequence[str]) -> None:
        await self._pool.execute(BLANK, list(letters))

    async def workspace_of(self, source: str) -> WorkspaceId | None:
        found = await self._pool.fetchval(WORKSPACE_OF, source)
        return WorkspaceId(found) if found is not None else None

    async def erased_of(self, keys: Sequence[Key]) -> set[Key]:
        async with self._pool.acquire() as connection:
            return set(await merge_tables.erased(connection, keys, self._fingerprint))

    async def swept(self, erasures: Sequence[str]) -> None:
        await self._pool.execute(SWEPT, list(erasures))
