"""The built-in inbox and clients that are not ours: swaks, smtp-source, Postfix, aiosmtplib."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiosmtplib
import pytest

from chappe.clock import WallClock
from chappe_onebox.inbox import Inbox, open_inbox
from tests.peers.mails import route, sample, send
from tests.peers.postfix import Postfix
from tests.peers.swaks import SECONDS, TAKEN, smtp_source, swaks

pytestmark = pytest.mark.peers


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    async with open_inbox(directory=tmp_path, clock=WallClock()) as opened:
        yield opened


async def test_swaks_delivers_in_a_pipeline(inbox: Inbox, tmp_path: Path) -> None:
    mail = tmp_path / "mail.eml"
    mail.write_bytes(sample().envelope.content.replace(b"\r\n", b"\n"))
    code, said = await swaks(inbox.smtp_port, "zoe@example.com", "--pipeline", "--data", f"@{mail}")
    assert code == TAKEN, said
    assert inbox.count() == 1


@pytest.mark.parametrize("after", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_client_that_vanishes_leaves_nothing(inbox: Inbox, after: str) -> None:
    await swaks(inbox.smtp_port, "zoe@example.com", "--drop-after", after)
    await inbox.wait_quiet()
    assert inbox.count() == 0


async def test_a_flood_is_all_kept(inbox: Inbox) -> None:
    await smtp_source(inbox.smtp_port, "zoe@example.com", mails=300, sessions=20)
    assert inbox.count() == 300


async def test_postfix_hands_our_mail_on_to_it(mx: Postfix, tmp_path: Path) -> None:
    mails = [sample("zoe@inbox.example"), sample("zoé@inbox.example")]
    async with open_inbox(directory=tmp_path, clock=WallClock(), smtp_port=mx.inbox) as inbox:
        await send(route(mx.ports["strict"]), *mails)
        async with asyncio.timeout(SECONDS):
            for mail in mails:
                while not await inbox.has(f"{mail.name}@shop.example"):
                    await asyncio.sleep(0.02)


async def test_aiosmtplib_delivers_too(inbox: Inbox) -> None:
    envelope = sample(text=".\n..\n").envelope
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.smtp_port, start_tls=False)
    async with client:
        await client.sendmail(envelope.sender, [envelope.recipient], envelope.content)
    assert inbox.count() == 1
