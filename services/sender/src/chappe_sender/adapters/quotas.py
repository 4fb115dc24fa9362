"""Rates and daily caps that all processes share, taken in slices so that a mail costs no query."""

import asyncpg

from chappe_sender.application.quota import Slice

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"

# An eighth of what is left, so that the last of it is shared in small parts. The old periods of a
# key go with the first lease of a new one; time is the database's.
LEASE = """
    WITH time AS MATERIALIZED (
        SELECT extract(epoch FROM clock_timestamp())::float8 AS now),
    this AS MATERIALIZED (
        SELECT floor(now / $2::int)::bigint AS period,
               (floor(now / $2::int) + 1) * $2::int - now AS seconds_left
          FROM time),
    used AS MATERIALIZED (
        SELECT coalesce((SELECT q.used FROM sender.quota q
                          WHERE q.key = $1 AND q.period = this.period), 0) AS used
          FROM this),
    part AS MATERIALIZED (
        SELECT least($4::int, greatest($3::int - used, 0), greatest(1, ($3::int - used) / 8))
               AS granted
          FROM used),
    old AS (DELETE FROM sender.quota WHERE key = $1 AND period < (SELECT period FROM this)),
    taken AS (
        INSERT INTO sender.quota AS q (key, period, used)
        SELECT $1, this.period, part.granted FROM this, part
            ON CONFLICT (key, period) DO UPDATE SET used = q.used + excluded.used)
    SELECT this.period, part.granted, this.seconds_left FROM this, part
"""

GIVE_BACK = """
    UPDATE sender.quota SET used = greatest(0, used - $3) WHERE key = $1 AND period = $2
"""


class PostgresQuotas:
    """Implements ``Quotas``."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def lease(self, key: str, seconds: int, cap: int, most: int) -> Slice:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK, key)
            row = await connection.fetchrow(LEASE, key, seconds, cap, most)
        assert row is not None
        return Slice(row["period"], row["granted"], row["seconds_left"])

    async def give_back(self, key: str, period: int, unused: int) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK, key)
            await connection.execute(GIVE_BACK, key, period, unused)
