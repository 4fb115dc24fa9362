"""Open what every service is given: the pool, the broker, the keys."""

import os
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from chappe.broker import Broker
from chappe.broker.installation import open_broker
from chappe.postgres import migrate, open_pool
from chappe.service import Role
from chappe.settings import Settings
from chappe_onebox.box.roles import migrate_all

POOL_SIZE = 12
LOG_SCHEMA = "log"
BROKER_MIGRATIONS = "chappe.broker.migrations"


@dataclass(frozen=True, slots=True)
class Ground:
    """What all services of a process stand on."""

    pool: asyncpg.Pool
    broker: Broker


async def migrate_everything(pool: asyncpg.Pool, roles: Mapping[str, Role]) -> list[str]:
    """The broker's tables and every service's; returns the names of what was applied."""
    return await migrate(pool, LOG_SCHEMA, BROKER_MIGRATIONS) + await migrate_all(pool, roles)


@asynccontextmanager
async def open_ground(
    settings: Settings,
    dsn: str,
    *,
    exclusive: bool,
    migrating: Mapping[str, Role] | None,
    spooling: bool = False,
) -> AsyncGenerator[Ground]:
    """A pool and a broker over it; ``migrating`` names the services to bring up to date first.

    ``spooling``: every service of the process can wait for a broker that is away.
    """
    async with open_pool(dsn, size=POOL_SIZE) as pool:
        if migrating is not None:
            await migrate_everything(pool, migrating)
        async with open_broker(settings, pool, exclusive=exclusive, spooling=spooling) as broker:
            yield Ground(pool, broker)


def name_of_process() -> str:
    """Tells this process from the others that share the shards."""
    return f"{socket.gethostname()}-{os.getpid()}"
