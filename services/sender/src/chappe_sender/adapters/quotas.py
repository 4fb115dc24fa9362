"""Rates and daily caps that all processes share, taken in slices so that a mail costs no query."""

import asyncpg

# The old periods of a key go with the first lease of a new one.
LEASE = """
    WITH old AS (DELETE FROM sender.quota WHERE key = $1 AND period < $2)
    INSERT INTO sender.quota AS q (key, period, used) VALUES ($1, $2, least($3, $4)::int)
        ON CONFLICT (key, period) DO UPDATE SET used = least($3, q.used + $4)::int
    RETURNING used, coalesce((SELECT w.used FROM sender.quota w
                               WHERE w.key = $1 AND w.period = $2), 0) AS before
"""


class PostgresQuotas:
    """Implements ``Quotas``."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def lease(self, key: str, period: int, cap: int, wanted: int) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key)
            row = await connection.fetchrow(LEASE, key, period, cap, wanted)
        return row["used"] - row["before"] if row is not None else 0
