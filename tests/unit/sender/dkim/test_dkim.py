"""A signed mail verifies, and a changed one does not."""

import base64
import datetime as dt

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from chappe_sender.domain import dkim
from chappe_sender.domain.addresses import parse_address, parse_mailbox
from chappe_sender.domain.mime import Mail, Marketing, build
from tests.unit.sender.dkim.verifier import verified

SHOP = parse_mailbox("Shop <hello@shop.example>")
ZOE = parse_address("zoe@example.com")
assert SHOP is not None
assert ZOE is not None

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = (
    dkim.Key("shop.example", "c1", RSA_KEY),
    dkim.Key("shop.example", "e1", ed25519.Ed25519PrivateKey.generate()),
)
RECORDS = {key.record_name: key.record for key in KEYS}

MAIL = Mail(
    message="m_1",
    workspace="default",
    journey="abandoned-cart",
    sender=SHOP,
    reply_to=None,
    to=ZOE,
    subject="Zoé, your cart is waiting: " + "a long subject that folds " * 4,
    date=dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC),
    html="<p>Hello  you</p>\n\n\n",
    text="Hello \t you \n\n\n",
    plain_style=True,
    marketing=Marketing(unsubscribe_url="https://t.example/u/" + "x" * 60, topic="offers"),
)

RFC_8463 = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
"""RFC 8463, appendix A.3."""

RFC_8463_SECRET = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
RFC_8463_RECORDS = {
    "brisbane._domainkey.football.example.com": (
        "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    ),
    "test._domainkey.football.example.com": (
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qh"
        "dR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZ"
        "yVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
    ),
}


def signed(keys: tuple[dkim.Key, ...] = KEYS) -> bytes:
    return build(MAIL, sign=dkim.signer(keys))


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_the_verifier_here_accepts_the_rfcs_own_message() -> None:
    assert verified(RFC_8463, RFC_8463_RECORDS) == [True, True]


def test_the_rfcs_body_hash_and_key_come_out_of_our_signer_too() -> None:
    secret = ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(RFC_8463_SECRET))
    key = dkim.Key("football.example.com", "brisbane", secret)
    assert key.record == RFC_8463_RECORDS[key.record_name]
    start = RFC_8463.index(b"From:")
    head, _, body = RFC_8463[start:].partition(b"\r\n\r\n")
    line = dkim.signer([key])(head + b"\r\n", body)
    assert b"bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=" in line
    assert verified(line + RFC_8463[start:], RFC_8463_RECORDS) == [True]


def test_both_signatures_verify() -> None:
    raw = signed()
    assert verified(raw, RECORDS) == [True, True]
    assert raw.index(b"a=rsa-sha256") < raw.index(b"a=ed25519-sha256")
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_the_same_mail_is_signed_with_the_same_bytes() -> None:
    assert signed() == signed()


def test_leaving_is_covered_and_a_second_from_breaks_the_signature() -> None:
    raw = signed()
    names = raw.split(b"\th=")[1].split(b";")[0]
    for name in (b"list-unsubscribe:", b"list-unsubscribe-post", b"feedback-id", b"message-id"):
        assert name in names
    assert names.count(b"from") == 2
    head, _, body = raw.partition(b"\r\n\r\n")
    forged = head + b"\r\nFrom: Boss <boss@bank.example>\r\n\r\n" + body
    assert verified(forged, RECORDS) == [False, False]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Precedence: bulk", b"Precedence: list"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click", b"List-Unsubscribe-Post: No"),
        (b"<p>Hello  you</p>", b"<p>Hello  Joe</p>"),
        (b"To: zoe@example.com", b"To: joe@example.com"),
    ],
)
def test_a_changed_mail_does_not_verify(old: bytes, new: bytes) -> None:
    raw = signed()
    assert old in raw
    assert verified(raw.replace(old, new), RECORDS) == [False, False]


def test_blanks_that_relays_change_do_not_break_it() -> None:
    raw = signed()
    changed = raw.replace(b"Precedence: bulk", b"Precedence:   bulk  ") + b"\r\n\r\n"
    assert verified(changed, RECORDS) == [True, True]


@given(
    st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"word", b"  ", b".", b"\r\n\r\n"])).map(
        b"".join
    )
)
def test_any_body_is_canonical_as_the_rfc_says(body: bytes) -> None:
    head = b"From: a@shop.example\r\n"
    line = dkim.signer(KEYS[1:])(head, body)
    assert verified(line + head + b"\r\n" + body, RECORDS) == [True]


def test_an_empty_body_has_the_hash_of_nothing() -> None:
    assert dkim.relaxed_body(b"") == b""
    assert dkim.relaxed_body(b"\r\n\r\n") == b""
    assert dkim.relaxed_body(b" \t\r\n") == b""
    assert dkim.relaxed_body(b"a") == b"a\r\n"


def test_a_key_is_read_from_pem_and_tells_its_record() -> None:
    key = dkim.load("Shop.Example", "c1", pem(RSA_KEY))
    assert (key.domain, key.algorithm) == ("shop.example", "rsa-sha256")
    assert key.record_name == "c1._domainkey.shop.example"
    assert key.record == KEYS[0].record


def test_a_key_that_cannot_sign_is_refused() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    curve = ec.generate_private_key(ec.SECP256R1())
    for bad in (pem(short), pem(curve), b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"):
        with pytest.raises(dkim.KeyProblem):
            dkim.load("shop.example", "c1", bad)
    with pytest.raises(dkim.KeyProblem):
        dkim.load("shop.example; i=@bank.example", "c1", pem(RSA_KEY))


def test_a_message_without_from_is_not_signed() -> None:
    with pytest.raises(ValueError, match="From"):
        dkim.signer(KEYS)(b"To: a@b.example\r\n", b"x\r\n")
