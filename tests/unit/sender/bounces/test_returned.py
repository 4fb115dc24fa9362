"""Whoever returns a mail, we learn who did not get it, why, and which of ours it was."""

import base64
import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe_sender.domain.bounces import Kind, ProviderEvent, answer, read, try_bounce
from tests.unit.sender.bounces import mails

ZOE = "zoe@customer.example"

BOUNCES = {
    "POSTFIX": (ZOE, "invalid_recipient", True),
    "POSTFIX_EXPIRED": (ZOE, "mailbox_full", False),
    "POSTFIX_NO_HOST": ("zoe@nope.example", "bad_domain", True),
    "EXIM": (ZOE, "reputation", False),
    "SENDMAIL": (ZOE, "inactive_mailbox", True),
    "SENDMAIL_OLD": (ZOE, "invalid_recipient", True),
    "EXCHANGE_ONLINE": (ZOE, "invalid_recipient", True),
    "EXCHANGE_2003": (ZOE, "invalid_recipient", True),
    "EXCHANGE_2010": (ZOE, "mailbox_full", False),
    "GMAIL": (ZOE, "invalid_recipient", True),
    "GMAIL_OLD": (ZOE, "spam", False),
    "DOMINO": ("zoe@corp.example", "invalid_recipient", True),
    "GMX": (ZOE, "relaying", False),
    "IMAIL": (ZOE, "mailbox_full", False),
    "GERMAN": (ZOE, "invalid_recipient", True),
    "SIEVE_REJECT": (ZOE, "mailbox_full", False),
}


def one(raw: bytes) -> ProviderEvent:
    events = read(raw)
    assert len(events) == 1, events
    return events[0]


@pytest.mark.parametrize("name", BOUNCES)
def test_a_returned_mail_names_its_recipient_and_its_reason(name: str) -> None:
    event = one(getattr(mails, name))
    assert event.kind is Kind.BOUNCED
    assert (event.recipient, event.bounce_class, event.permanent) == BOUNCES[name]
    assert event.reason
    assert event.occurred_at is not None


@pytest.mark.parametrize("ends", [b"\r\n", b"\r", b"\n"])
@pytest.mark.parametrize("name", BOUNCES)
def test_line_ends_do_not_matter(name: str, ends: bytes) -> None:
    raw: bytes = getattr(mails, name)
    event = one(raw.replace(b"\n", ends))
    assert (event.recipient, event.bounce_class, event.permanent) == BOUNCES[name]


def test_a_report_gives_back_our_message() -> None:
    event = one(mails.POSTFIX)
    assert event.provider_message_id == "m_42@shop.example"
    assert event.message == "m_42"
    assert event.occurred_at == dt.datetime(2026, 11, 20, 9, 5, tzinfo=dt.UTC)
    assert one(mails.POSTFIX_NO_HOST).message == "m_42"
    assert one(mails.SENDMAIL_OLD).provider_message_id == "m_42@shop.example"


def test_several_recipients_each_have_their_own_reason() -> None:
    for raw in (mails.QMAIL, mails.EXIM_OLD):
        first, second = read(raw)
        assert first.recipient == ZOE
        assert second.recipient in {"ada@nope.example", "ada@full.example"}
        assert first.permanent
        assert second.bounce_class in {"bad_domain", "mailbox_full"}
        assert first.reason != second.reason


@pytest.mark.parametrize("raw", [mails.POSTFIX_DELAYED, mails.EXIM_WARNING])
def test_a_delay_is_no_bounce(raw: bytes) -> None:
    event = one(raw)
    assert (event.kind, event.recipient) == (Kind.DEFERRED, ZOE)
    assert (event.bounce_class, event.permanent) == ("connection", False)


def test_a_success_report_is_good_news() -> None:
    kinds = [(event.kind, event.bounce_class) for event in read(mails.POSTFIX_DELIVERED)]
    assert kinds == [(Kind.ACCEPTED, None), (Kind.DELIVERED, None)]


def test_a_complaint_by_mail_is_a_complaint() -> None:
    event = one(mails.ARF)
    assert (event.kind, event.recipient, event.message) == (Kind.COMPLAINED, ZOE, "m_42")
    assert one(mails.JMRP).kind is Kind.COMPLAINED
    assert one(mails.JMRP).recipient == "zoe@outlook.example"


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (b"fraud", Kind.COMPLAINED),
        (b"virus", Kind.COMPLAINED),
        (b"not-spam", Kind.OTHER),
        (b"auth-failure", Kind.OTHER),
        (b"other", Kind.OTHER),
        (b"opt-out", Kind.UNSUBSCRIBED),
    ],
)
def test_only_abuse_fraud_and_virus_are_complaints(word: bytes, kind: Kind) -> None:
    raw = mails.ARF.replace(b"Feedback-Type: abuse", b"Feedback-Type: " + word)
    assert one(raw).kind is kind


def test_a_redacted_complaint_finds_its_recipient_in_the_copy() -> None:
    raw = mails.ARF.replace(b"Original-Rcpt-To: zoe@customer.example\n", b"")
    assert (one(raw).recipient, one(raw).message) == (ZOE, "m_42")


@pytest.mark.parametrize("raw", [mails.AWAY, mails.ABSENCE])
def test_an_absence_is_no_bounce(raw: bytes) -> None:
    event = one(raw)
    assert (event.kind, event.recipient, event.bounce_class) == (Kind.AUTOREPLY, ZOE, None)


def test_a_read_receipt_is_no_bounce() -> None:
    assert (one(mails.READ).kind, one(mails.READ).recipient) == (Kind.OTHER, ZOE)


@pytest.mark.parametrize("raw", [mails.QUESTION, mails.FORWARDED, b"", b"\n\n", b"hello"])
def test_somebody_writing_to_us_is_no_bounce(raw: bytes) -> None:
    assert read(raw) == []


def test_an_unsubscribe_by_mail_is_one() -> None:
    assert (one(mails.LEAVE).kind, one(mails.LEAVE).recipient) == (Kind.UNSUBSCRIBED, ZOE)


def test_fields_in_base64_are_read() -> None:
    fields = "Final-Recipient: rfc822; zoe@customer.example\nAction: failed\nStatus: 5.2.2\n"
    coded = base64.encodebytes(fields.encode()).decode()
    raw = mails.report(coded, kind="message/delivery-status\nContent-Transfer-Encoding: base64")
    assert (one(raw).recipient, one(raw).bounce_class) == (ZOE, "mailbox_full")


def test_an_address_in_utf8_is_read() -> None:
    fields = "Final-Recipient: utf-8; zoé@customer.example\nAction: failed\nStatus: 5.1.1\n"
    raw = mails.report(fields, kind="message/global-delivery-status")
    assert one(raw).recipient == "zoé@customer.example"


def test_a_report_that_a_gateway_wrapped_again_is_read() -> None:
    raw = (
        b"From: postmaster@gateway.example\nSubject: Delivery Status Notification (Failure)\n"
        b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="w"\n\n--w\n'
        b"Content-Type: message/rfc822\n\n" + mails.POSTFIX + b"\n--w--\n"
    )
    assert one(raw).recipient == ZOE


def test_the_same_report_twice_is_one_fact() -> None:
    assert one(mails.POSTFIX).dedupe == one(mails.POSTFIX).dedupe
    first, second = read(mails.QMAIL)
    assert first.dedupe != second.dedupe


def test_the_try_prints_what_the_surface_says() -> None:
    document = try_bounce(mails.POSTFIX)
    assert document["verified"] is False
    (event,) = document["events"]
    expected = {
        "kind": "bounced",
        "recipient": ZOE,
        "bounce_class": "invalid_recipient",
        "permanent": True,
        "provider_message_id": "m_42@shop.example",
        "occurred_at": "2026-11-20T09:05:00Z",
    }
    assert expected.items() <= event.items()


PIECES = st.sampled_from(
    [getattr(mails, name) for name in BOUNCES]
    + [
        b"Content-Type: multipart/report; boundary=x\n\n",
        b"\n--x\n",
        b"\n--x--\n",
        b"\n\n",
        b"<",
        b"@",
    ]
    + [b"Content-Type: message/rfc822\n\n", b"Content-Transfer-Encoding: base64\n", b"=?x?b?/?="]
    + [b"Content-Type: message/delivery-status\n\n", b"Final-Recipient: ;\n", b"Status: 9.9.9\n"]
    + [b"Content-Type: text/plain; charset=idna\n", b"Date: Fri, 99 Foo 0000 99:99\n"]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=80)), max_size=12).map(b"".join))
@settings(max_examples=150, deadline=None)
def test_no_mail_breaks_the_reader(raw: bytes) -> None:
    for event in read(raw):
        assert event.kind in Kind


@given(st.sampled_from(sorted(BOUNCES)), st.integers(0, 1), st.randoms())
@settings(max_examples=150, deadline=None)
def test_a_torn_mail_does_not_break_it_either(name: str, keep: int, dice: object) -> None:
    raw: bytes = getattr(mails, name)
    cut = dice.randrange(len(raw))  # type: ignore[attr-defined]
    read(raw[:cut] if keep else raw[cut:])


@pytest.mark.parametrize(
    "evil",
    [
        b"<" * 500_000,
        b"a@" * 300_000,
        b"-" * 300_000,
        b"x" * 1_000_000,
        b"word " * 200_000,
        b" " * 300_000 + b"x\n",
        b"<a@b.example>:\n550 no such user\n\n" * 20_000,
        (b"a." * 30 + b"@" + b"b." * 30 + b"\n") * 5_000,
    ],
)
def test_a_mail_made_to_be_slow_is_not(evil: bytes) -> None:
    head = b"From: MAILER-DAEMON@mx.example\nSubject: failure notice\n"
    read(head + b"\n" + evil)
    read(head + b"Content-Type: text/html\n\n" + evil)
    read(head + b"X-Failed-Recipients: " + evil)


def test_a_mail_ten_thousand_parts_deep_is_read_to_a_bound() -> None:
    raw = b"Content-Type: message/rfc822\n\n" * 10_000
    assert read(raw) == []
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(2_000)
    )
    assert read(nested) == []


def test_an_answer_is_a_humans_only_when_no_machine_may_have_written_it() -> None:
    mail = b"From: Zoe <zoe@customer.example>\nSubject: Re: Your cart\n%b\nIs it blue?\n"
    told = answer(mail % b"In-Reply-To: <m_1@shop.example>\n")
    assert told is not None
    assert (told.kind, told.recipient) == (Kind.REPLIED, "zoe@customer.example")
    assert told.provider_message_id == "m_1@shop.example"
    for mark in (
        b"Auto-Submitted: auto-generated\n",
        b"Precedence: bulk\n",
        b"List-Id: <news.customer.example>\n",
        b"Return-Path: <>\n",
        b"X-Autoreply: yes\n",
    ):
        assert answer(mail % mark) is None
    assert answer(b"Subject: Re: Your cart\n\nhi") is None
    assert answer(b"\0\xff" * 50) is None
