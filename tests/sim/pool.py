"""A process's connections to the simulated database: slow, lost, repeated, late."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from chappe_orchestrator.adapters.store import COMMIT
from tests.sim.database import FLUSH, Database
from tests.sim.faults import Faults

Statement = tuple[str, Sequence[Any]]


class SimPool:
    """As much of ``asyncpg.Pool`` as the engine uses."""

    def __init__(self, database: Database, faults: Faults) -> None:
        self._database = database
        self._faults = faults

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        await self._faults.trip()
        if sql in (COMMIT.sql, FLUSH.sql):
            return await self.commit([(sql, arguments)])
        rows = self._database.run(sql, arguments)
        await self._faults.trip()
        return rows

    async def commit(self, work: Sequence[Statement]) -> list[Any]:
        """Everything at one instant, or, for all that anybody can tell, perhaps."""
        if self._faults.strikes(0.03):
            if self._faults.strikes(0.5):
                # Nobody waits for it any more, and it is on its way nevertheless.
                self._faults.later(lambda: self._try(work))
            raise OSError("lost on the way there")
        rows = self._run(work)
        if self._faults.strikes(0.05):
            await self._faults.trip()
            if self._try(work):
                self._database.violations.append("a commit was accepted twice")
        await self._faults.trip()
        if self._faults.strikes(0.03):
            raise OSError("lost on the way back")
        return rows

    def _run(self, work: Sequence[Statement]) -> list[Any]:
        """The fence comes first: it alone may refuse, and then nothing has happened."""
        rows: list[Any] = []
        for sql, arguments in sorted(work, key=lambda one: one[0] not in (COMMIT.sql, FLUSH.sql)):
            rows = self._database.run(sql, arguments)
        return rows

    def _try(self, work: Sequence[Statement]) -> bool:
        """A statement that arrives late, or twice: true when it was taken."""
        try:
            self._run(work)
        except (asyncpg.DivisionByZeroError, asyncpg.DataError):
            return False
        return True

    async def execute(self, sql: str, *arguments: Any) -> None:
        await self.fetch(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        return next(iter((await self.fetch(sql, *arguments))[0].values()))

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator["SimConnection"]:
        yield SimConnection(self, self._database, self._faults)

    def is_closed(self) -> bool:
        return False


class SimConnection:
    """A connection in a transaction: its writes happen when it is committed, all at once."""

    def __init__(self, pool: SimPool, database: Database, faults: Faults) -> None:
        self._pool = pool
        self._database = database
        self._faults = faults
        self._work: list[Statement] = []

    def transaction(self) -> "SimConnection":
        return self

    async def start(self) -> None:
        await self._faults.trip()

    async def commit(self) -> None:
        await self._faults.trip()
        await self._pool.commit(self._work)

    async def rollback(self) -> None:
        self._work = []

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        await self._faults.trip()
        if sql == COMMIT.sql:
            self._work.append((sql, arguments))
            return [{"ok": 1}]
        return self._database.run(sql, arguments)

    async def execute(self, sql: str, *arguments: Any) -> None:
        await self._faults.trip()
        self._work.append((sql, arguments))

    async def add_listener(self, channel: str, heard: Callable[..., None]) -> None:
        """Nobody is told; the ticks find what was let go."""

    async def remove_listener(self, channel: str, heard: Callable[..., None]) -> None:
        """Nobody listens."""

    def is_closed(self) -> bool:
        return False
