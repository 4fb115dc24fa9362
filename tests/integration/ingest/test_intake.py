"""Returned mail comes in where it was asked for, through the edge as processes get it."""

import asyncio
import smtplib
import socket

import asyncpg
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock, WallClock
from chappe.events import RAW_DELIVERY
from chappe.ids import random_id
from chappe.service import Context
from chappe.settings import Settings, SettingsError
from chappe.tokens import Tokens, Vault
from chappe_ingest.bootstrap import edge, migrate

pytestmark = pytest.mark.integration

PARTITIONS = 4
SECRET = b"a-secret-key-for-tests-only-0001"


def context(pool: asyncpg.Pool, clock: HandClock, broker: MemoryBroker, **given: object) -> Context:
    return Context(
        settings=Settings.model_validate({"bounce_domain": "bounce.shop.example"} | given),
        pool=pool,
        broker=broker,
        business=clock,
        wall=WallClock(),
        tokens=Tokens(SECRET),
        vault=Vault(SECRET),
        me=random_id("test_"),
        admin_token="admin-token",
        public_url="https://mail.example",
        api_url="http://127.0.0.1:1",
        smtp_url=None,
        exclusive=True,
    )


def a_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


async def test_a_mail_server_returns_a_mail(pool: asyncpg.Pool, clock: HandClock) -> None:
    await migrate(pool)
    broker, port = MemoryBroker(PARTITIONS), a_free_port()
    given = context(pool, clock, broker, bounce_smtp_port=port)
    to = f"{given.tokens.sign_return('b', 'm_1')}@bounce.shop.example"

    def deliver() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.sendmail("", [to], b"Subject: Undelivered\r\n\r\nNobody here.\r\n")

    async with edge(given):
        await asyncio.to_thread(deliver)
    kept = [broker.log(RAW_DELIVERY, each).slice(0, 10) for each in range(PARTITIONS)]
    assert sum(map(len, kept)) == 1
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(deliver)


async def test_a_mailbox_that_cannot_be_one_is_said_at_the_start(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    await migrate(pool)
    given = context(pool, clock, MemoryBroker(PARTITIONS), bounce_imap_url="imaps://host/INBOX")
    with pytest.raises(SettingsError, match="names no user"):
        async with edge(given):
            pass
