"""A fleet of processes over a real Kafka, with nothing running yet."""

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from chappe.clock import WallClock
from chappe_onebox.inbox import open_inbox
from tests.e2e.apart.fleet import CHAPPE, KEY, TOKEN, Fleet


@pytest.fixture
async def fleet(kafka_bootstrap: str, database: str, tmp_path: Path) -> AsyncGenerator[Fleet]:
    """An empty installation over Kafka, migrated, with nothing running yet."""
    async with open_inbox(directory=tmp_path, clock=WallClock()) as inbox:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CHAPPE_DATABASE_URL": database,
            "CHAPPE_KAFKA_BOOTSTRAP": kafka_bootstrap,
            "CHAPPE_KAFKA_PREFIX": f"test.{os.urandom(4).hex()}.",
            "CHAPPE_SMTP_URL": f"smtp://127.0.0.1:{inbox.smtp_port}",
            "CHAPPE_ADMIN_TOKEN": TOKEN,
            "CHAPPE_SECRET_KEY": KEY,
            "CHAPPE_SHARDS": "16",
            "CHAPPE_PUBLIC_URL": "https://mail.shop.example",
            "CHAPPE_LOG_LEVEL": "info",
        }
        migrate = [CHAPPE, "migrate"]
        await asyncio.to_thread(subprocess.run, migrate, env=environment, check=True)
        running = Fleet(environment, inbox)
        try:
            yield running
        finally:
            running.close()
