"""Others verify what we sign, as Postfix delivered it: OpenDKIM and dkimpy."""

from pathlib import Path
from typing import Any

import dkim as dkimpy
import pytest

from tests.peers.mails import RECORDS, route, sample, send
from tests.peers.opendkim import OpenDkim
from tests.peers.postfix import Postfix
from tests.peers.recipe_mails import Kind, kinds, written
from tests.unit.sender.smtp_desk import Letter

pytestmark = pytest.mark.peers

BOTH = {"rsa-sha256": "pass", "ed25519-sha256": "pass"}
NEITHER = {"rsa-sha256": "fail", "ed25519-sha256": "fail"}
MUST_BE_COVERED = {
    "from", "to", "subject", "date", "message-id", "reply-to", "mime-version", "content-type",
    "list-unsubscribe", "list-unsubscribe-post", "feedback-id",
}  # fmt: skip

SHAPES: dict[str, dict[str, Any]] = {
    "marketing": {},
    "transactional": {"marketing": None, "reply_to": None},
    "quoted-printable": {"html": "<style>a{content:'é'}</style><p>é</p>", "plain_style": False},
    "blanks": {"html": "<p>a  b\t c </p> \n\n\n", "text": " \t a  b \n\n\n"},
    "empty": {"html": "<p></p>", "text": ""},
    "long subject": {"subject": "a very long subject that must be folded somewhere " * 7},
    "dots": {"text": ".\n..\n.a\n", "html": "<p>x</p>\n.\n.\n"},
    "international": {"recipient": "zoé@bücher.example"},
}


@pytest.fixture
def opendkim(tmp_path: Path) -> OpenDkim:
    return OpenDkim(tmp_path)


def dkimpys(raw: bytes) -> str:
    """The same of dkimpy, of the RSA signature; it wants a further library for the other."""

    def txt(name: bytes, **_: Any) -> bytes | None:
        record = RECORDS.get(name.decode().rstrip("."))
        return record.encode() if record is not None else None

    try:
        held = dkimpy.DKIM(raw).verify(dnsfunc=txt)  # pyright: ignore[reportUnknownMemberType]
    except dkimpy.ValidationError:
        return "fail"
    return "pass" if held else "fail"


@pytest.mark.parametrize("shape", SHAPES)
async def test_both_verify_the_signatures_of_a_delivered_mail(
    mx: Postfix, opendkim: OpenDkim, shape: str
) -> None:
    mail = sample(**SHAPES[shape])
    await send(route(mx.ports["strict"]), mail)
    delivered = mx.delivered(mail.name)
    assert opendkim.judge(delivered) == BOTH
    assert dkimpys(delivered) == "pass"


@pytest.mark.parametrize("kind", kinds(), ids=str)
async def test_both_verify_every_mail_of_the_recipes(
    mx: Postfix, opendkim: OpenDkim, kind: Kind
) -> None:
    letter = written(kind)
    name = letter.claimed.message.id
    await send(route(mx.ports["strict"]), Letter(name, letter.envelope))
    delivered = mx.delivered(name)
    assert delivered == letter.envelope.content
    assert opendkim.judge(delivered) == BOTH
    assert dkimpys(delivered) == "pass"


def test_the_ways_to_leave_are_covered_and_a_second_from_is_foreseen() -> None:
    head = sample().envelope.content.partition(b"\r\nFrom:")[0].decode()
    for signature in head.split("DKIM-Signature:")[1:]:
        tags = dict(pair.strip().split("=", 1) for pair in signature.split(";") if "=" in pair)
        names = "".join(tags["h"].split()).split(":")
        assert set(names) >= MUST_BE_COVERED
        assert names.count("from") == 2
        assert "l" not in tags


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"List-Unsubscribe: <https://t.shop", b"List-Unsubscribe: <https://evil"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
        (b"From: ", b"From: other@shop.example\r\nFrom: "),
        (b"Subject: ", b"Subject: something else\r\nSubject: "),
        (b"Reply-To: ", b"Reply-To: other@evil.example\r\nX-Reply-To: "),
        (b"last.", b"first."),
        (b"it is 5 &#8364;", b"it is 9 &#8364;"),
    ],
)
def test_neither_verifies_a_changed_mail(opendkim: OpenDkim, old: bytes, new: bytes) -> None:
    raw = sample().envelope.content
    assert old in raw
    changed = raw.replace(old, new, 1)
    assert opendkim.judge(changed) == NEITHER
    assert dkimpys(changed) == "fail"


def test_a_trace_on_top_and_refolding_do_not_break_it(opendkim: OpenDkim) -> None:
    raw = sample().envelope.content
    relayed = b"Received: from a by b; today\r\n" + raw.replace(b">,\r\n <mailto", b">, <mailto")
    assert opendkim.judge(relayed) == BOTH
    assert dkimpys(relayed) == "pass"
