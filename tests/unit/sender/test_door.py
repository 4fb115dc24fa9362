"""A mail host's door: what it says, without sending anything."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from chappe_sender.adapters.smtp.door import Door
from chappe_sender.domain.domain_check import NoAnswer
from tests.unit.sender.scripted_smtp import SILENT, Script, scripted


async def test_a_host_is_asked_about_recipients_and_gets_no_mail() -> None:
    script = Script(answers={"RCPT": ["250 2.1.5 ok", "550 5.1.1 no such address here"]})
    async with scripted(script) as server:
        door = Door("out.shop.example", port=server.port)
        said = await door.ask("127.0.0.1", ("b-1@b.example", "b-2@b.example"))
    assert said == ("250 2.1.5 ok", "550 5.1.1 no such address here")
    assert server.commands[:3] == [
        "EHLO out.shop.example",
        "MAIL FROM:<>",
        "RCPT TO:<b-1@b.example>",
    ]
    assert "DATA" not in server.commands
    assert server.accepted == []


async def test_a_greeting_is_taken_from_the_address_that_is_named() -> None:
    async with scripted(Script(banner="220 mx.example ready")) as server:
        door = Door("out.shop.example", port=server.port)
        assert await door.greeting("127.0.0.1", "127.0.0.1") == "220 mx.example ready"
        with pytest.raises(NoAnswer):
            await door.greeting("127.0.0.1", "192.0.2.1")


async def test_a_host_that_refuses_the_sender_is_not_asked_further() -> None:
    async with scripted(Script(answers={"MAIL": "554 5.7.1 go away"})) as server:
        with pytest.raises(NoAnswer, match="go away"):
            await Door("x.example", port=server.port).ask("127.0.0.1", ("b@b.example",))


async def test_a_host_that_stays_silent_costs_a_bounded_time() -> None:
    async with scripted(Script(answers={"EHLO": SILENT})) as server:
        door = Door("x.example", port=server.port, seconds=0.2)
        with pytest.raises(NoAnswer, match=r"within 0\.2 s"):
            await door.ask("127.0.0.1", ("b@b.example",))


@asynccontextmanager
async def serving(said: bytes) -> AsyncGenerator[int]:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400\r\n", b"2" * 10_000, b"220-x\r\n" * 200])
async def test_what_is_no_mail_host_is_no_answer(said: bytes) -> None:
    async with serving(said) as port:
        with pytest.raises(NoAnswer):
            await Door("x.example", port=port, seconds=5).greeting("127.0.0.1")


async def test_a_closed_port_is_no_answer() -> None:
    async with serving(b"") as port:
        pass
    with pytest.raises(NoAnswer):
        await Door("x.example", port=port).greeting("127.0.0.1")
