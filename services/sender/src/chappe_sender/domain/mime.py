"""The message as it goes on the wire, built by hand because it is built a thousand times a second.

HTML goes as ASCII with numeric references, 7bit (legal everywhere, free to make); where that is
not possible, as quoted-printable like the text. RFC 5322, 2045, 2047, 2369, 2919, 3834, 8058.
"""

import binascii
import datetime as dt
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import format_datetime
from typing import TypeAlias

from chappe.ids import derived
from chappe_sender.domain.addresses import Address, Mailbox
from chappe_sender.domain.headers import encode_mailbox, encode_words, header, one_line

SUBJECT_LETTERS_MAX = 400
LINE_OCTETS_MAX = 998
SENDER_TAG = "chappe"
_UNTIDY = re.compile(r"[^A-Za-z0-9_-]+")

Signer: TypeAlias = Callable[[bytes, bytes], bytes]
"""Headers and body in, header lines to put before them out (DKIM)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marketing:
    """What a marketing mail says about leaving: one link that works with one POST (RFC 8058), and
    an address to write to where there is one.
    """

    unsubscribe_url: str
    topic: str
    unsubscribe_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Everything a message is made of. ``date`` is wall clock, and stays the same over retries."""

    message: str
    workspace: str
    journey: str
    sender: Mailbox
    reply_to: Mailbox | None
    to: Address
    subject: str
    date: dt.datetime
    html: str
    text: str
    plain_style: bool
    marketing: Marketing | None

    @property
    def needs_utf8(self) -> bool:
        """Whether a header holds an international address (RFC 6531): SMTPUTF8 all the way."""
        replies = self.reply_to is not None and self.reply_to.address.needs_utf8
        return self.to.needs_utf8 or self.sender.address.needs_utf8 or replies


def build(mail: Mail, sign: Signer | None = None) -> bytes:
    """The message, ending in CRLF, lines at most 998 octets. Raises ``HeaderError``.

    The same mail always gives the same bytes.
    """
    boundary = f"=_{derived('', 'boundary', mail.message)}"
    html_part = _html_part(mail.html, plain_style=mail.plain_style)
    text_part = _quoted("plain", mail.text)
    edge = b"--" + boundary.encode()
    body = b"".join((edge, b"\r\n", text_part, edge, b"\r\n", html_part, edge, b"--\r\n"))
    head = b"".join(header(name, value) for name, value in _headers(mail, boundary))
    signature = sign(head, body) if sign is not None else b""
    return b"".join((signature, head, b"\r\n", body))


def message_id(mail: Mail) -> str:
    """The Message-ID: the same for every attempt, so that receivers can drop a repeat."""
    return f"<{mail.message}@{mail.sender.address.domain}>"


def _headers(mail: Mail, boundary: str) -> list[tuple[str, str]]:
    subject = encode_words(one_line(mail.subject, SUBJECT_LETTERS_MAX))
    lines = [
        ("From", encode_mailbox(mail.sender)),
        ("To", str(mail.to)),
        ("Subject", subject),
        ("Date", _date(mail.date)),
        ("Message-ID", message_id(mail)),
    ]
    if mail.reply_to is not None:
        lines.append(("Reply-To", encode_mailbox(mail.reply_to)))
    return [
        *lines,
        *service_headers(mail),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative; boundary="{boundary}"'),
    ]


def service_headers(mail: Mail) -> list[tuple[str, str]]:
    """What we add beside the fields that every mail has: the way to leave, whose mail it is."""
    lines: list[tuple[str, str]] = []
    if mail.marketing is not None:
        topic, workspace = _tidy(mail.marketing.topic), _tidy(mail.workspace)
        lines += [
            ("List-Unsubscribe", _ways_to_leave(mail.marketing)),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-ID", f"<{topic}.{workspace}.{mail.sender.address.domain}>"),
            ("Precedence", "bulk"),
        ]
    journey = _tidy(mail.journey)
    return [
        *lines,
        ("Feedback-ID", f"{journey}:{_tidy(mail.workspace)}-w:{SENDER_TAG}"),
        ("Auto-Submitted", "auto-generated"),
        ("Chappe-Message", mail.message),
    ]


def _ways_to_leave(marketing: Marketing) -> str:
    link = f"<{marketing.unsubscribe_url}>"
    if marketing.unsubscribe_address is None:
        return link
    return f"{link}, <mailto:{marketing.unsubscribe_address}?subject=unsubscribe>"


@functools.lru_cache(maxsize=64)
def _date(moment: dt.datetime) -> str:
    """A claim's messages share it."""
    return format_datetime(moment)


@functools.lru_cache(maxsize=1024)
def _tidy(text: str) -> str:
    return _UNTIDY.sub("-", text)[:64].strip("-") or "none"


def _html_part(html: str, *, plain_style: bool) -> bytes:
    if not (plain_style or html.isascii()):
        return _quoted("html", html)
    raw = html.encode("ascii", "xmlcharrefreplace")
    if not raw.endswith(b"\n"):
        raw += b"\n"
    if max(map(len, raw.split(b"\n"))) > LINE_OCTETS_MAX:
        return _quoted("html", html)
    return _part_head("html", "7bit") + raw.replace(b"\n", b"\r\n")


def _quoted(kind: str, text: str) -> bytes:
    if not text.endswith("\n"):
        text += "\n"
    raw = binascii.b2a_qp(text.encode("utf-8", "replace"), istext=True)
    return _part_head(kind, "quoted-printable") + raw.replace(b"\n", b"\r\n")


def _part_head(kind: str, encoding: str) -> bytes:
    return (
        f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    ).encode()
