"""Our verdict on a signature is that of the vendors' libraries; where they raise we say no."""

import base64
import datetime as dt
import hashlib
import hmac
import json
from typing import Any

import pytest
import stripe
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from chappe.clock import UTC, WallClock
from chappe_ingest.domain.sources import standard_webhooks
from chappe_ingest.domain.sources import stripe as ours

WALL = WallClock()
"""The libraries ask the machine, so we do."""

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
STRIPE_SECRET = "whsec_f2Zq0kDnXJm7vP3sW8yTbA1cE5gH9iL4"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)
BODIES = st.dictionaries(st.text(max_size=10), JSON, max_size=5).map(
    lambda document: json.dumps(document).encode()
)
HEADERS = st.text(st.characters(max_codepoint=255), max_size=60)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def stamp_now() -> int:
    return int(WALL.now().timestamp())


def standard(body: bytes, id_: str, stamp: str, signature: str) -> tuple[bool, bool]:
    """Ours, and the library's: one that raises says no."""
    given = {"webhook-id": id_, "webhook-timestamp": stamp, "webhook-signature": signature}
    verdict = standard_webhooks.verify(body, list(given.items()), [SECRET], WALL.now())
    try:
        Webhook(SECRET).verify(body, given)
    except Exception:  # noqa: BLE001 - whatever it raises is a no
        return verdict.verified, False
    return verdict.verified, True


def signed(body: bytes, id_: str, stamp: int, key: bytes = KEY) -> str:
    content = f"{id_}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


@QUICK
@given(body=BODIES, late=st.integers(-240, 240), right=st.booleans())
def test_standard_webhooks_agrees_on_what_is_well_formed(
    body: bytes, late: int, *, right: bool
) -> None:
    key = KEY if right else b"another key, of thirty-two bytes"
    stamp = stamp_now() - late
    found = standard(body, "msg_1", str(stamp), signed(body, "msg_1", stamp, key))
    assert found == (right, right)


@QUICK
@given(id_=HEADERS, stamp=HEADERS, signature=HEADERS)
@example(id_="msg_1", stamp="9" * 400, signature="v1,AAAA")
@example(id_="msg_1", stamp="1614265330", signature="garbage")
@example(id_="msg_1", stamp="1614265330", signature="v1,a,b")
@example(id_="msg_1", stamp="1614265330", signature="v1,%%%")
@example(id_="msg_1", stamp="nan", signature="v1,\xff")
def test_standard_webhooks_hostile_headers_are_a_no(id_: str, stamp: str, signature: str) -> None:
    assert standard(b"{}", id_, stamp, signature) == (False, False)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"a":\r\n1}', b""])
def test_a_body_that_is_no_text_has_a_signature_all_the_same(body: bytes) -> None:
    """The library decodes it first, and raises; the bytes are what was signed."""
    stamp = stamp_now()
    given = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", str(stamp)),
        ("webhook-signature", signed(body, "msg_1", stamp)),
    ]
    assert standard_webhooks.verify(body, given, [SECRET], WALL.now()).verified


def stripes(body: bytes, header: str) -> tuple[bool, bool]:
    verdict = ours.verify(body, [("stripe-signature", header)], [STRIPE_SECRET], WALL.now())
    try:
        signature: Any = stripe.WebhookSignature
        signature.verify_header(body.decode(), header, STRIPE_SECRET, tolerance=300)
    except Exception:  # noqa: BLE001 - whatever it raises is a no
        return verdict.verified, False
    return verdict.verified, True


def stripe_signed(body: bytes, stamp: int, secret: str = STRIPE_SECRET) -> str:
    content = f"{stamp}.".encode() + body
    digest = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest},v0=00"


@QUICK
@given(body=BODIES, late=st.integers(0, 240), right=st.booleans())
def test_stripe_agrees_on_what_is_well_formed(body: bytes, late: int, *, right: bool) -> None:
    secret = STRIPE_SECRET if right else "whsec_another"
    assert stripes(body, stripe_signed(body, stamp_now() - late, secret)) == (right, right)


@QUICK
@given(header=HEADERS)
@example(header="t=1,v1=\xe9")
@example(header=f"t={'9' * 400},v1=00")
@example(header="t=,v1=")
@example(header="v1=00")
@example(header="t=abc,v1=00,t=1")
def test_stripe_hostile_headers_are_a_no(header: str) -> None:
    assert stripes(b"{}", header) == (False, False)


def test_stripe_old_signatures_are_a_no_and_a_rolled_secret_is_one_of_two() -> None:
    body = b'{"id":"evt_1"}'
    stamp = stamp_now()
    assert stripes(body, stripe_signed(body, stamp - 400)) == (False, False)
    both = stripe_signed(body, stamp, "whsec_old") + stripe_signed(body, stamp).replace("t=", ",x=")
    assert stripes(body, both) == (True, True)


def test_where_the_library_is_too_trusting_we_are_not() -> None:
    """It looks at the past alone."""
    body = b"{}"
    later = int((WALL.now() + dt.timedelta(hours=1)).astimezone(UTC).timestamp())
    assert stripes(body, stripe_signed(body, later)) == (False, True)
