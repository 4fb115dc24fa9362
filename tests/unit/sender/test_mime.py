"""The message on the wire: readable by anybody, and no value becomes a header."""

import dataclasses
import datetime as dt
import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe_sender.domain.addresses import Address, parse_address, parse_mailbox
from chappe_sender.domain.headers import HeaderError, encode_words, header
from chappe_sender.domain.mime import Mail, Marketing, build

SHOP = parse_mailbox("Shop <hello@shop.example>")
ZOE = parse_address("zoe@example.com")
assert SHOP is not None
assert ZOE is not None

PLAIN = Mail(
    message="m_1",
    workspace="default",
    journey="abandoned-cart",
    sender=SHOP,
    reply_to=None,
    to=ZOE,
    subject="Hello",
    date=dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC),
    html="<p>Hello</p>",
    text="Hello\n",
    plain_style=True,
    marketing=Marketing(unsubscribe_url="https://t.example/u/x", topic="offers"),
)


def built(**changes: Any) -> tuple[bytes, EmailMessage]:
    raw = build(dataclasses.replace(PLAIN, **changes))
    return raw, email.message_from_bytes(raw, policy=email.policy.default)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def test_both_parts_read_back_as_they_were() -> None:
    html, text = "<p>Zoé, 5 €</p>\n", "Zoé, 5 €\n" + "long " * 100 + "end\n"
    raw, message = built(html=html, text=text)
    assert part(message, "plain") == text.rstrip("\n")
    assert email.message_from_bytes(raw).is_multipart()
    assert "Zo&#233;, 5 &#8364;" in part(message, "html")
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert not message.defects


def test_html_goes_quoted_when_references_would_mean_nothing_or_a_line_is_too_long() -> None:
    for html, plain_style in (("<style>a{content:'é'}</style>", False), ("é" * 300, True)):
        raw, message = built(html=html, plain_style=plain_style)
        assert part(message, "html").strip() == html
        assert b"quoted-printable" in raw.rpartition(b"text/html")[2][:80]


def test_the_same_message_gives_the_same_bytes_and_the_same_message_id() -> None:
    raw, message = built()
    assert raw == built()[0]
    assert message["Message-ID"] == "<m_1@shop.example>"
    assert message["Chappe-Message"] == "m_1"


def test_marketing_says_how_to_leave_and_transactional_does_not() -> None:
    _, message = built()
    assert message["List-Unsubscribe"] == "<https://t.example/u/x>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-ID"] == "<offers.default.shop.example>"
    _, receipt = built(marketing=None)
    assert receipt["List-Unsubscribe"] is None
    assert receipt["Precedence"] is None
    assert message["Auto-Submitted"] == receipt["Auto-Submitted"] == "auto-generated"


@given(st.text(max_size=300))
def test_any_subject_stays_a_subject(subject: str) -> None:
    raw = build(dataclasses.replace(PLAIN, subject=f"x{subject}"))
    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert names.count(b"Subject") == 1
    assert b"Bcc" not in names
    assert len(names) == 14
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert b"\r" not in head.replace(b"\r\n", b"")


def test_a_subject_with_a_line_break_injects_nothing() -> None:
    _, message = built(subject="Hi\r\nBcc: everybody@example.com")
    assert message["Bcc"] is None
    assert message["Subject"] == "Hi Bcc: everybody@example.com"


@pytest.mark.parametrize("value", ["a\r\nb", "a\nBcc: x", "a\rb", "a\0b", "a\x85b", "a\u2028b"])
def test_no_header_takes_a_control_character(value: str) -> None:
    with pytest.raises(HeaderError):
        header("Subject", value)


def test_a_header_name_is_a_name() -> None:
    with pytest.raises(HeaderError):
        header("X\r\nBcc", "x")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_encoded_words_read_back(text: str) -> None:
    parsed = email.message_from_bytes(
        header("Subject", encode_words(f"é{text}")) + b"\r\n", policy=email.policy.default
    )
    assert " ".join(str(parsed["Subject"]).split()) == " ".join(f"é{text}".split())


@pytest.mark.parametrize("name", ["Shöp, Inc", 'Shop "and" Co', "Shop (x)", "=?x", "Shop"])
def test_a_display_name_reads_back(name: str) -> None:
    assert SHOP is not None
    _, message = built(sender=dataclasses.replace(SHOP, name=name))
    (address,) = message["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, "hello@shop.example")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zoe@example.com", "zoe@example.com"),
        (" zoe+x@EXAMPLE.com ", "zoe+x@example.com"),
        ("zoé@bücher.example", "zoé@xn--bcher-kva.example"),
        ("zoe@localhost", "zoe@localhost"),
        ("zoe", None),
        ("@example.com", None),
        ("zoe@", None),
        ("a b@example.com", None),
        ("a\r\nb@example.com", None),
        ("zoe@example..com", None),
        ("zoe@-x.com", None),
        ("zoe@127.0.0.1", None),
        ("<zoe@example.com>", None),
        ("a" * 65 + "@example.com", None),
        ("zoe@" + "a." * 130 + "com", None),
    ],
)
def test_an_address_is_one_a_server_can_be_asked_to_take(text: str, expected: str | None) -> None:
    address = parse_address(text)
    assert (str(address) if address is not None else None) == expected


def test_an_international_local_part_needs_utf8_on_the_way() -> None:
    assert Address("zoé", "example.com").needs_utf8
    assert not Address("zoe", "xn--bcher-kva.example").needs_utf8


def test_a_mail_needs_smtputf8_when_any_of_its_addresses_does() -> None:
    zoe = parse_mailbox("Zoé <zoé@shop.example>")
    assert zoe is not None
    assert not PLAIN.needs_utf8
    for changes in ({"to": zoe.address}, {"sender": zoe}, {"reply_to": zoe}):
        assert dataclasses.replace(PLAIN, **changes).needs_utf8
