import base64
import datetime as dt

import pytest

from chappe_ingest.domain.sources import standard_webhooks
from tests.unit.ingest.shop import NOW
from tests.unit.ingest.sources_b.made import b64, ed25519_key, standard_webhook

BODY = b'{"type":"order.placed"}'
KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def verified(headers: list[tuple[str, str]], *secrets: str, body: bytes = BODY) -> bool:
    return standard_webhooks.verify(body, headers, secrets or [SECRET], NOW).verified


def test_the_official_vector_verifies() -> None:
    # standardwebhooks.com, the example of the specification
    headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]
    at = dt.datetime.fromtimestamp(1614265330, dt.UTC)
    secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    assert standard_webhooks.verify(b'{"test": 2432232314}', headers, secrets, at).verified
    later = at + dt.timedelta(minutes=6)
    assert not standard_webhooks.verify(b'{"test": 2432232314}', headers, secrets, later).verified


@pytest.mark.parametrize("secrets", [(SECRET,), ("whsec_b2xk", SECRET), (SECRET, "whsec_b2xk")])
def test_either_of_two_live_secrets_may_have_signed(secrets: tuple[str, ...]) -> None:
    assert verified(standard_webhook(BODY, KEY), *secrets)


def test_one_good_signature_in_the_list_is_enough() -> None:
    *rest, (name, value) = standard_webhook(BODY, KEY)
    assert verified([*rest, (name, f"v1,AAAA v2,x {value}")])
    assert not verified([*rest, (name, " ".join(["v1,AAAA"] * 20 + [value]))])


def test_svix_names_the_same_headers_otherwise() -> None:
    headers = [(n.replace("webhook", "svix"), v) for n, v in standard_webhook(BODY, KEY)]
    assert verified(headers)


def test_an_ed25519_signature_verifies_with_its_public_key() -> None:
    *rest, _ = standard_webhook(BODY, KEY)
    seconds = dict(rest)["webhook-timestamp"]
    signature = ed25519_key().sign(f"msg_1.{seconds}.".encode() + BODY)
    public = "whpk_" + b64(ed25519_key().public_key().public_bytes_raw())
    headers = [*rest, ("webhook-signature", f"v1a,{b64(signature)}")]
    assert verified(headers, public)
    assert not verified(headers, public, body=BODY + b" ")
    assert not verified(headers, "whpk_AAAA", "whpk_é")


@pytest.mark.parametrize("minutes", [-6, 6, 60 * 24 * 365])
def test_a_delivery_from_another_time_is_refused(minutes: int) -> None:
    headers = standard_webhook(BODY, KEY, at=NOW + dt.timedelta(minutes=minutes))
    said = standard_webhooks.verify(BODY, headers, [SECRET], NOW)
    assert not said.verified
    assert "5 minutes" in (said.reason or "")


@pytest.mark.parametrize(
    "value",
    ["", "v1", "v1,", "v1,é", "v1,=", "v1,a,b", "garbage", "v1,AAA", "v1 ,x", "A" * 100_000, " "],
)
def test_a_hostile_signature_is_refused_and_never_raises(value: str) -> None:
    *rest, (name, _) = standard_webhook(BODY, KEY)
    assert not verified([*rest, (name, value)])


@pytest.mark.parametrize("value", ["", "x", "1e9", "-1", "9" * 400, "¹", "1614265330.5", "²³"])
def test_a_hostile_timestamp_is_refused_and_never_raises(value: str) -> None:
    first, _, last = standard_webhook(BODY, KEY)
    assert not verified([first, ("webhook-timestamp", value), last])


@pytest.mark.parametrize("message_id", ["", "a.b", "x" * 300])
def test_a_message_id_that_blurs_what_is_signed_is_refused(message_id: str) -> None:
    assert not verified(standard_webhook(BODY, KEY, message_id=message_id))


def test_two_different_ids_are_refused() -> None:
    assert not verified([*standard_webhook(BODY, KEY), ("webhook-id", "msg_2")])


@pytest.mark.parametrize("missing", range(3))
def test_a_missing_header_is_named(missing: int) -> None:
    headers = standard_webhook(BODY, KEY)
    name = headers.pop(missing)[0]
    said = standard_webhooks.verify(BODY, headers, [SECRET], NOW)
    assert said.reason is not None
    assert name in said.reason or "missing" in said.reason


def test_an_empty_secret_never_matches() -> None:
    assert not verified(standard_webhook(BODY, b""), "")
    assert not verified(standard_webhook(BODY, b""), "whsec_")


def test_a_secret_without_its_mark_may_be_base64_or_text() -> None:
    assert verified(standard_webhook(BODY, KEY), b64(KEY))
    assert verified(standard_webhook(BODY, b"plain_secret"), "plain_secret")
