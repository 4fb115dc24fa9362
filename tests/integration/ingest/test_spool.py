"""The spool as a process has it: over the death of that process, and through bootstrap."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock, WallClock
from chappe.events.streams import RAW_COMMERCE
from chappe.ids import random_id
from chappe.service import Context
from chappe.settings import load_settings
from chappe.tokens import Tokens, Vault
from chappe_ingest.adapters.spool import open_volume
from chappe_ingest.bootstrap import edge, migrate
from tests.unit.ingest.shop import checkout, signature

pytestmark = pytest.mark.integration

PATIENCE_SECONDS = 10
TOKEN = "admin-token"

WRITER = """
import sys
from pathlib import Path
from chappe.broker import Outgoing
from chappe.events.streams import RAW_COMMERCE
from chappe_ingest.adapters.spool import open_volume
from chappe_ingest.application.spool import Spooled

volume = open_volume(Path(sys.argv[1]))
for number in range(1_000_000):
    record = Outgoing(number % 4, b"k", b'{"body":%d}' % number + b" " * 500)
    volume.write([Spooled(1.0, RAW_COMMERCE, record)])
    print(number, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_had_acknowledged(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            seen = [writer.stdout.readline() for _ in range(200)]
            os.kill(writer.pid, signal.SIGKILL)
            seen += writer.stdout.readlines()
        acknowledged = [int(line) for line in seen if line.endswith("\n")]
        volume = open_volume(tmp_path)
        kept = [each.record.value for each in volume.read(1_000_000, 1_000_000_000)]
        assert len(kept) >= len(acknowledged) >= 200
        numbers = [json.loads(value)["body"] for value in kept]
        assert numbers == list(range(len(numbers)))
        volume.advance(len(kept))
        volume.close()


def context_of(pool: asyncpg.Pool, clock: HandClock, broker: MemoryBroker, data: Path) -> Context:
    return Context(
        settings=load_settings({"CHAPPE_DATA": str(data)}),
        pool=pool,
        broker=broker,
        business=clock,
        wall=WallClock(),
        tokens=Tokens(b"k" * 32),
        vault=Vault(b"k" * 32),
        me="one",
        admin_token=TOKEN,
        public_url="http://shop.test",
        api_url="http://shop.test",
        smtp_url=None,
        exclusive=True,
    )


async def test_what_was_answered_200_while_the_log_was_away_is_in_it_after_a_restart(
    pool: asyncpg.Pool, clock: HandClock, tmp_path: Path
) -> None:
    await migrate(pool)
    broker = MemoryBroker(4)
    context = context_of(pool, clock, broker, tmp_path)
    async with edge(context) as door:
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(door.app), base_url=context.public_url
        )
        wanted = {"kind": "shopify", "name": "atelier", "secret": "s"}
        made = await http.post(
            "/api/v1/sources", json=wanted, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        path = made.json()["url"].removeprefix(context.public_url)
        broker.away = True
        for number in range(10):
            body = json.dumps(checkout(f"t{number}")).encode()
            headers = {
                "Content-Type": "application/json",
                "X-Shopify-Topic": "checkouts/create",
                "X-Shopify-Hmac-Sha256": signature(body, "s"),
            }
            answer = await http.post(path, content=body, headers=headers)
            assert answer.status_code == 200
        assert (await http.get("/readyz")).status_code == 200
        assert "10 records" in (await door.busy() or "")
        assert "chappe_ingest_spool_records 10.0" in (await http.get("/metrics")).text
        await http.aclose()
    broker.away = False
    async with edge(replace(context, me=random_id("p_"))) as door:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await door.busy() is not None:
                await asyncio.sleep(0.01)
    ends = await broker.end_offsets(RAW_COMMERCE)
    assert sum(ends.values()) == 10
