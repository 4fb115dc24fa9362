"""One pool per process, opened with errors that say what to do."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
from typing_extensions import override

CONNECT_TIMEOUT_SECONDS = 10.0
COMMAND_TIMEOUT_SECONDS = 60.0
VERSION_MIN = 150_000
IDLE_SECONDS_MAX = 15
"""A connection nobody needs is closed: a quiet box keeps a few, at some 5 MB of Postgres each."""


class PlainConnection(asyncpg.Connection):
    """A connection that is not reset when it goes back to the pool.

    asyncpg would ask the server to drop locks, cursors and settings after every use: a second
    round trip per statement. We leave none of these behind.
    """

    @override
    def get_reset_query(self) -> str:
        return ""


class DatabaseUnavailable(Exception):
    """Postgres cannot be used; the message says why and what to do."""


@asynccontextmanager
async def open_pool(
    dsn: str, *, size: int = 8, application: str = "chappe"
) -> AsyncGenerator[asyncpg.Pool]:
    """Open at most ``size`` connections, lazily; close them with the process.

    Raises ``DatabaseUnavailable`` when Postgres does not answer or is older than 15.
    """
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            connection_class=PlainConnection,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            max_inactive_connection_lifetime=IDLE_SECONDS_MAX,
            server_settings={"application_name": application, "jit": "off", "timezone": "UTC"},
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(
            f"cannot connect to Postgres ({type(error).__name__}: {error}): "
            "check CHAPPE_DATABASE_URL and that the server is up"
        ) from error
    try:
        version = await pool.fetchval("SELECT current_setting('server_version_num')::int")
        if version < VERSION_MIN:
            raise DatabaseUnavailable(
                f"Postgres {version // 10_000} is too old: Chappe needs 15 or newer"
            )
        yield pool
    finally:
        pool.terminate()
