"""Mail that comes back: only to addresses that we signed, durable before the 250."""

import smtplib
from asyncio import to_thread
from collections.abc import AsyncIterator

import pytest

from chappe.broker import BrokerUnavailable
from chappe_ingest.adapters.intake import MailboxError, mailbox_of
from chappe_ingest.application.returned import KEPT_BYTES
from tests.unit.ingest.returns import MAIL, Desk, returns

FORGED = "b-aebagbafaydqqcijbifqydiob4iaaaaa@bounce.shop.example"


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with returns() as opened:
        yield opened


async def test_a_returned_mail_is_kept_with_the_message_that_its_address_names(
    desk: Desk,
) -> None:
    await to_thread(desk.send, [desk.address().upper()])
    (raw,) = desk.kept()
    assert (raw.provider, raw.body) == ("mail", MAIL)
    assert raw.headers == {"return-kind": "b", "return-message": "m_1", "via": "smtp"}


async def test_a_forged_address_gets_550_in_the_transaction(desk: Desk) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        await to_thread(desk.send, [FORGED])
    assert refused.value.recipients[FORGED][0] == 550
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await to_thread(desk.send, ["postmaster@bounce.shop.example"])
    assert desk.kept() == []


async def test_a_token_for_leaving_is_none_for_bounces(desk: Desk) -> None:
    leave = desk.door.tokens.sign_return("u", "m_1") or ""
    assert desk.returned.recipient(f"b{leave[1:]}@bounce.shop.example") is None


async def test_while_nothing_can_be_stored_the_sender_keeps_its_mail(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise BrokerUnavailable("away")

    monkeypatch.setattr(desk.door.broker, "append", away)
    with pytest.raises(smtplib.SMTPDataError) as refused:
        await to_thread(desk.send, [desk.address()])
    assert refused.value.smtp_code == 451


async def test_of_a_long_mail_the_beginning_is_kept(desk: Desk) -> None:
    long = MAIL + b"x" * 76 * 1 + b"\r\n" + (b"y" * 76 + b"\r\n") * 10_000
    await to_thread(desk.send, [desk.address()], long)
    (raw,) = desk.kept()
    assert len(raw.body) == KEPT_BYTES


async def test_a_returned_mail_with_endless_lines_is_kept_all_the_same(desk: Desk) -> None:
    long = MAIL + b"x" * 50_000 + b"\r\n"
    await to_thread(desk.send, [desk.address()], long)
    (raw,) = desk.kept()
    assert raw.body == long


async def test_nobody_keeps_a_place_by_saying_nothing_in_many_words(desk: Desk) -> None:
    def chatter() -> int:
        with smtplib.SMTP("127.0.0.1", desk.port, timeout=10) as client:
            return next(code for code, _ in (client.noop() for _ in range(100)) if code != 250)

    assert await to_thread(chatter) == 421


@pytest.mark.parametrize(
    "field",
    ["Delivered-To: {}", "X-Original-To: <{}>", "To: a@shop.example,\r\n {}",
     "Received: from a by b\r\n\tfor <{}>; today"],
)  # fmt: skip
async def test_in_a_mailbox_the_address_is_found_in_the_head(desk: Desk, field: str) -> None:
    mail = field.format(desk.address()).encode() + b"\r\nSubject: x\r\n\r\nbody"
    found = desk.returned.recipient_in(mail)
    assert found is not None
    assert found.message == "m_1"
    below = b"Subject: x\r\n\r\nTo: " + desk.address().encode()
    assert desk.returned.recipient_in(below) is None


def test_a_mailbox_is_a_url() -> None:
    box = mailbox_of("imaps://us%40er:pa%2Fss@mail.shop.example/Returned")
    assert (box.host, box.port, box.tls) == ("mail.shop.example", 993, True)
    assert (box.user, box.password, box.folder) == ("us@er", "pa/ss", "Returned")
    assert "pa/ss" not in repr(box)
    for wrong in ("https://a:b@c/", "imaps://host/", "imaps://a:b@c:x/", "imaps://a:b@c/%22"):
        with pytest.raises(MailboxError):
            mailbox_of(wrong)
