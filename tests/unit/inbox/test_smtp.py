"""The port, through real sockets."""

import asyncio
import datetime as dt
import smtplib
import socket
from pathlib import Path

import httpx

from chappe.clock import HandClock
from chappe_onebox.inbox import Inbox, Limits, open_inbox
from tests.unit.inbox.smtp_client import Client, mail


async def raw_of(web: httpx.AsyncClient, number: int = 1) -> bytes:
    return (await web.get(f"/api/v1/message/{number}/raw")).content


async def test_the_standard_library_can_send_here(inbox: Inbox, web: httpx.AsyncClient) -> None:
    content = b"Subject: Dots\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n"

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=20) as smtp:
            smtp.sendmail("a@example.com", ["b@example.com", "c@example.com"], content)

    await asyncio.to_thread(send)
    assert inbox.count() == 1
    assert await raw_of(web) == content


async def test_a_grouped_client_keeps_several_mails_in_flight(inbox: Inbox, client: Client) -> None:
    envelope = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
    await client.write(envelope)
    for number in range(20):
        for code in ("250", "250", "354"):
            assert (await client.reply()).startswith(code)
        await client.write(mail(f"No {number}") + b"\r\n.\r\n" + envelope)
        assert await client.reply() == f"250 2.0.0 Stored as {number + 1}"
    assert inbox.count() == 20


async def test_a_client_that_closes_its_side_still_gets_its_answer(inbox: Inbox) -> None:
    client = await Client.connect(inbox.smtp_port)
    await client.begin()
    await client.write(mail() + b"\r\n.\r\nQUIT\r\n")
    client.half_close()
    assert (await client.reply()).startswith("250")
    assert (await client.reply()).startswith("221")
    assert await client.reply() == ""
    await client.close()


async def test_a_half_received_mail_is_not_stored(inbox: Inbox) -> None:
    client = await Client.connect(inbox.smtp_port)
    await client.begin()
    await client.write(mail() + b"\r\n.\r")
    assert inbox.busy()
    client.abort()
    await inbox.wait_quiet()
    assert inbox.count() == 0
    assert not inbox.busy()


async def test_sixteen_clients_at_once_lose_nothing(inbox: Inbox) -> None:
    async def send(name: int) -> None:
        client = await Client.connect(inbox.smtp_port)
        for number in range(10):
            reply = await client.send(mail(message_id=f"<{name}-{number}@example.com>"))
            assert reply.startswith("250")
        await client.close()

    await asyncio.gather(*(send(name) for name in range(16)))
    assert inbox.count() == 160
    assert await inbox.has("<15-9@example.com>")


async def test_has_knows_a_mail_by_its_message_id_alone(inbox: Inbox, client: Client) -> None:
    await client.send(mail(message_id="<known@example.com>"))
    assert await inbox.has("<known@example.com>")
    assert await inbox.has("known@example.com")
    assert not await inbox.has("<other@example.com>")
    assert not await inbox.has("")


async def test_has_is_asked_behind_the_mails_handed_over_before(
    inbox: Inbox, client: Client
) -> None:
    await client.begin()
    await client.write(mail(message_id="<late@example.com>") + b"\r\n.\r\n")
    while not inbox._store.pending:
        await asyncio.sleep(0)
    assert await inbox.has("<late@example.com>"), "it was not yet answered, and is known"
    assert (await client.reply()).startswith("250")


async def test_beyond_the_limit_the_oldest_are_dropped(tmp_path: Path, clock: HandClock) -> None:
    limits = Limits(mails_kept=3)
    async with open_inbox(directory=tmp_path, clock=clock, limits=limits) as inbox:
        client = await Client.connect(inbox.smtp_port)
        for number in range(5):
            await client.send(mail(message_id=f"<{number}@example.com>"))
        await client.close()
        assert inbox.count() == 3
        assert [await inbox.has(f"<{n}@example.com>") for n in range(5)] == [
            False,
            False,
            True,
            True,
            True,
        ]


async def test_one_connection_too_many_is_turned_away(tmp_path: Path, clock: HandClock) -> None:
    limits = Limits(connections=1)
    async with open_inbox(directory=tmp_path, clock=clock, limits=limits) as inbox:
        first = await Client.connect(inbox.smtp_port)
        second = Client(*await asyncio.open_connection("127.0.0.1", inbox.smtp_port))
        assert (await second.reply()).startswith("421 4.7.0")
        assert await second.reply() == ""
        assert (await first.ask("NOOP")).startswith("250")
        await first.close()
        await second.close()


async def test_a_silent_client_is_let_go(tmp_path: Path, clock: HandClock) -> None:
    limits = Limits(command_timeout=dt.timedelta(milliseconds=20))
    async with open_inbox(directory=tmp_path, clock=clock, limits=limits) as inbox:
        client = await Client.connect(inbox.smtp_port, greet=False)
        assert (await client.reply()).startswith("421 4.4.2")
        await client.close()


async def test_content_that_stops_coming_is_forgotten(tmp_path: Path, clock: HandClock) -> None:
    limits = Limits(content_timeout=dt.timedelta(milliseconds=200))
    async with open_inbox(directory=tmp_path, clock=clock, limits=limits) as inbox:
        client = await Client.connect(inbox.smtp_port)
        await client.begin()
        await client.write(b"Subject: half")
        assert (await client.reply()).startswith("421 4.4.2")
        assert inbox.count() == 0
        await client.close()


async def test_closing_answers_for_what_was_handed_over_whole(
    tmp_path: Path, clock: HandClock
) -> None:
    async with open_inbox(directory=tmp_path, clock=clock) as inbox:
        client = await Client.connect(inbox.smtp_port)
        await client.begin()
        await client.write(mail(message_id="<last@example.com>") + b"\r\n.\r\n")
        while not inbox._store.pending:
            await asyncio.sleep(0)
    assert (await client.reply()).startswith("250")
    assert (await client.reply()).startswith("421 4.3.2")
    assert await client.reply() == ""
    await client.close()
    async with open_inbox(directory=tmp_path, clock=clock) as inbox:
        assert await inbox.has("<last@example.com>")


async def test_a_port_that_is_taken_is_said_so(tmp_path: Path, clock: HandClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        try:
            async with open_inbox(directory=tmp_path, clock=clock, smtp_port=port):
                raise AssertionError("opened")
        except OSError as error:
            assert str(port) in str(error)  # noqa: PT017 -- an async with cannot stand in raises
