"""Strangers at the door for returned mail: swaks, smtp-source, whoever speaks badly, a real MTA."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chappe.clock import monotonic
from chappe.ids import derived, random_id
from chappe_ingest.adapters.intake.smtp import CONNECTIONS_MAX, MAIL_BYTES_MAX
from chappe_sender.domain.bounces import Kind, read
from tests.peers.mails import route, sample, send
from tests.peers.postfix import Postfix
from tests.peers.swaks import NO_TLS, NOT_DATA, NOT_RECIPIENT, TAKEN, smtp_source, swaks
from tests.unit.ingest.returns import Desk, returns
from tests.unit.sender.bounces import mails

pytestmark = pytest.mark.peers

SECONDS = 30.0


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with returns() as opened:
        yield opened


async def test_a_bounce_is_kept_as_it_came(desk: Desk, tmp_path: Path) -> None:
    bounce = tmp_path / "bounce.eml"
    bounce.write_bytes(mails.POSTFIX)
    code, said = await swaks(desk.port, desk.address(), "--data", f"@{bounce}")
    assert code == TAKEN, said
    (raw,) = desk.kept()
    assert raw.body.rstrip() == mails.POSTFIX.replace(b"\n", b"\r\n").rstrip()
    (event,) = read(raw.body)
    assert (event.kind, event.bounce_class) == (Kind.BOUNCED, "invalid_recipient")


async def test_a_stranger_is_refused_within_the_transaction(desk: Desk) -> None:
    code, said = await swaks(desk.port, "postmaster@bounce.shop.example")
    assert code == NOT_RECIPIENT
    assert "550 5.1.1" in said
    assert desk.kept() == []


async def test_of_two_recipients_the_one_that_is_ours_is_kept(desk: Desk) -> None:
    code, said = await swaks(desk.port, f"{desk.address()},nobody@bounce.shop.example")
    assert code == TAKEN, said
    assert len(desk.kept()) == 1


async def test_what_is_too_large_is_refused_and_nothing_of_it_kept(
    desk: Desk, tmp_path: Path
) -> None:
    large = tmp_path / "large.eml"
    large.write_bytes(b"Subject: large\n\n" + (b"x" * 76 + b"\n") * (MAIL_BYTES_MAX // 76))
    code, said = await swaks(desk.port, desk.address(), "--data", f"@{large}")
    assert code == NOT_DATA
    assert "552" in said
    assert desk.kept() == []


async def test_tls_is_not_offered_and_those_who_can_go_without_do(desk: Desk) -> None:
    code, _ = await swaks(desk.port, desk.address(), "--tls")
    assert code == NO_TLS
    code, _ = await swaks(desk.port, desk.address(), "--tls-optional", "--pipeline")
    assert code == TAKEN
    assert len(desk.kept()) == 1


@pytest.mark.parametrize("after", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_client_that_vanishes_leaves_nothing(desk: Desk, after: str) -> None:
    await swaks(desk.port, desk.address(), "--drop-after", after)
    assert desk.kept() == []
    code, said = await swaks(desk.port, desk.address())
    assert code == TAKEN, said


async def test_a_flood_of_bounces_is_all_kept(desk: Desk) -> None:
    await smtp_source(desk.port, desk.address(), mails=200, sessions=10)
    assert len(desk.kept()) == 200


# -- by hand --------------------------------------------------------------------------------------


async def talk(desk: Desk, data: bytes) -> list[str]:
    """Everything in one packet, as no client should; the answers until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    try:
        writer.write(data)
        async with asyncio.timeout(SECONDS):
            said = await reader.read(-1)
    finally:
        writer.close()
        await writer.wait_closed()
    return said.decode().splitlines()


async def test_all_in_one_packet_is_taken_too(desk: Desk) -> None:
    said = await talk(
        desk,
        b"EHLO x.example\r\nMAIL FROM:<>\r\nRCPT TO:<" + desk.address().encode() + b">\r\nDATA\r\n"
        b"Subject: x\r\n\r\n..\r\n.\r\nQUIT\r\n",
    )
    assert said[-2:] == ["250 2.0.0 kept", "221 Bye"]
    (raw,) = desk.kept()
    assert raw.body == b"Subject: x\r\n\r\n.\r\n"


async def test_nonsense_is_answered_and_ended(desk: Desk) -> None:
    nonsense = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"\xff\xfe\r\n" * 3 + b"WHAT\r\n" * 9
    said = await talk(desk, nonsense)
    assert all(line.startswith(("220", "500", "502", "421")) for line in said)
    assert len(said) < 20


async def test_a_second_mail_cannot_be_smuggled_in_behind_a_bare_line_end(desk: Desk) -> None:
    to = desk.address().encode()
    said = await talk(
        desk,
        b"EHLO x.example\r\nMAIL FROM:<>\r\nRCPT TO:<" + to + b">\r\nDATA\r\nSubject: x\r\n\r\n"
        b"one\n.\nMAIL FROM:<>\nRCPT TO:<" + to + b">\nDATA\nSubject: y\n\ntwo\r\n.\r\nQUIT\r\n",
    )
    assert said[-1] == "221 Bye"
    assert len(desk.kept()) == 1


async def test_above_the_number_of_connections_one_is_told_to_come_back(desk: Desk) -> None:
    held = [await asyncio.open_connection("127.0.0.1", desk.port) for _ in range(CONNECTIONS_MAX)]
    for reader, _ in held:
        assert (await reader.readline()).startswith(b"220")
    code, said = await swaks(desk.port, desk.address())
    assert code != TAKEN
    assert "421 4.7.0" in said
    for _, writer in held:
        writer.close()
        await writer.wait_closed()


# -- a real mail server ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "bounce_class", "permanent"),
    [
        ("dead@remote.example", "invalid_recipient", True),
        ("full@remote.example", "mailbox_full", False),
        ("spam@remote.example", "spam", False),
    ],
)
async def test_what_postfix_returns_names_our_message_and_its_reason(
    mx: Postfix, recipient: str, bounce_class: str, permanent: bool
) -> None:
    async with returns(mx.intake) as desk:
        name = derived("m_", random_id(""))
        await send(
            route(mx.ports["strict"]),
            sample(recipient, back=desk.address("b", name), message=name),
        )
        until = monotonic() + SECONDS
        while not desk.kept():
            assert monotonic() < until, mx.log[-4_000:]
            await asyncio.sleep(0.02)
        (raw,) = desk.kept()
    assert raw.headers["return-message"] == name
    (event,) = read(raw.body)
    assert (event.kind, event.recipient) == (Kind.BOUNCED, recipient)
    assert (event.bounce_class, event.permanent) == (bounce_class, permanent)
    assert event.provider_message_id == f"{name}@shop.example"
