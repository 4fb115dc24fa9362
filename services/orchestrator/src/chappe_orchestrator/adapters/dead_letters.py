"""The records that the orchestrator could not use."""

import datetime as dt

import asyncpg

from chappe_orchestrator.application.ports import DeadLetterRow

LIST = """
    SELECT id, stream, shard, "offset", reason, source, length(value) AS bytes, at
      FROM orchestrator.dead_letter
     WHERE $1::timestamptz IS NULL OR (at, id) < ($1, $2)
     ORDER BY at DESC, id DESC LIMIT $3
"""


class PostgresDeadLetters:
    """``DeadLetters`` over the orchestrator's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def listed(
        self, before: tuple[dt.datetime, str] | None, limit: int
    ) -> list[DeadLetterRow]:
        at, last = before or (None, None)
        return [DeadLetterRow(*row) for row in await self._pool.fetch(LIST, at, last, limit)]
