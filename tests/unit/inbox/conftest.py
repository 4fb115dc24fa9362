import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from chappe.clock import HandClock
from chappe_onebox.inbox import Inbox, open_inbox
from tests.unit.inbox.smtp_client import Client


@pytest.fixture
def clock() -> HandClock:
    return HandClock(dt.datetime(2026, 11, 22, 9, 30, tzinfo=dt.UTC))


@pytest.fixture
async def inbox(tmp_path: Path, clock: HandClock) -> AsyncIterator[Inbox]:
    async with open_inbox(directory=tmp_path, clock=clock) as opened:
        yield opened


@pytest.fixture
async def client(inbox: Inbox) -> AsyncIterator[Client]:
    connected = await Client.connect(inbox.smtp_port)
    yield connected
    await connected.close()


@pytest.fixture
async def web(inbox: Inbox) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(inbox.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://inbox") as opened:
        yield opened
