"""What was acknowledged is there after anything."""

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

from chappe.clock import HandClock
from chappe_onebox.inbox import InboxTooNewError, open_inbox
from tests.unit.inbox.smtp_client import PATIENCE_SECONDS, Client, mail

SERVER = """
import asyncio, sys
from pathlib import Path
from chappe.clock import WallClock
from chappe_onebox.inbox import open_inbox

async def main():
    async with open_inbox(directory=Path(sys.argv[1]), clock=WallClock()) as inbox:
        print(inbox.smtp_port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_mail_acknowledged_just_before_kill_9_is_kept_and_a_half_one_is_not(
    tmp_path: Path, clock: HandClock
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        port = int(await process.stdout.readline())
    half = await Client.connect(port)
    await half.begin()
    await half.write(mail(message_id="<half@example.com>") + b"\r\n.")
    client = await Client.connect(port)
    for number in range(3):
        reply = await client.send(mail(message_id=f"<{number}@example.com>"))
        assert reply.startswith("250")
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    half.abort()
    client.abort()
    async with open_inbox(directory=tmp_path, clock=clock) as inbox:
        assert inbox.count() == 3
        assert [await inbox.has(f"{number}@example.com") for number in range(3)] == [True] * 3
        assert not await inbox.has("half@example.com")


async def test_mails_and_their_numbers_outlive_a_restart(tmp_path: Path, clock: HandClock) -> None:
    for expected in ("1", "2"):
        async with open_inbox(directory=tmp_path, clock=clock) as inbox:
            client = await Client.connect(inbox.smtp_port)
            assert await client.send(mail()) == f"250 2.0.0 Stored as {expected}"
            await client.close()


async def test_a_disk_that_refuses_is_a_451_and_the_inbox_goes_on(
    tmp_path: Path, clock: HandClock
) -> None:
    async with open_inbox(directory=tmp_path, clock=clock) as inbox:
        client = await Client.connect(inbox.smtp_port)
        other = sqlite3.connect(tmp_path / "inbox.sqlite3", isolation_level=None)
        pages = other.execute("pragma page_count").fetchone()[0]
        await inbox._store.write(
            lambda writer: writer._connection.execute(f"pragma max_page_count = {pages}")
        )
        assert (await client.send(mail(text="x" * 100_000))).startswith("451 4.3.0")
        assert inbox.count() == 0
        await inbox._store.write(
            lambda writer: writer._connection.execute("pragma max_page_count = 1000000")
        )
        assert (await client.send(mail())).startswith("250")
        other.close()
        await client.close()


async def test_a_file_of_a_newer_version_is_refused_with_what_to_do(
    tmp_path: Path, clock: HandClock
) -> None:
    newer = sqlite3.connect(tmp_path / "inbox.sqlite3")
    newer.execute("pragma user_version = 99")
    newer.close()
    with pytest.raises(InboxTooNewError, match="start that version"):
        await open_inbox(directory=tmp_path, clock=clock).__aenter__()
