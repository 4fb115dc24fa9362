"""An orchestrator on a real Postgres, with a log in memory and a hand on the clock."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from chappe.clock import HandClock
from tests.integration.orchestrator.place import Place


@pytest.fixture
async def place(pool: asyncpg.Pool, clock: HandClock) -> AsyncIterator[Place]:
    async with Place.opened(pool, clock) as opened:
        yield opened
