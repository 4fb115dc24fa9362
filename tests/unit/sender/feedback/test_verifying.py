"""A webhook is believed only when its signature, or our secret, is in it."""

import base64
import datetime as dt
import hashlib
import hmac
import json
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe_sender.domain.feedback import KINDS, PROVIDERS, Verdict, answer, ses, try_provider

NOW = dt.datetime(2026, 11, 20, 9, 5, tzinfo=dt.UTC)
STAMP = str(int(NOW.timestamp()))
LATE = NOW + dt.timedelta(days=1)

SNS_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    made = made.public_key(SNS_KEY.public_key()).serial_number(1)
    made = made.not_valid_before(NOW).not_valid_after(LATE)
    return made.sign(SNS_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


CERTIFICATE = certificate()


def sns(version: str = "2", **changes: Any) -> bytes:
    envelope = {
        "Type": "Notification",
        "MessageId": "165545c9-2a5c-472c-8df2",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mail",
        "Subject": "Amazon SES",
        "Message": json.dumps({"eventType": "Send", "mail": {"messageId": "1"}}),
        "Timestamp": NOW.isoformat().replace("+00:00", ".000Z"),
        "SignatureVersion": version,
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    }
    names = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    text = "".join(f"{name}\n{envelope[name]}\n" for name in names).encode()
    digest = hashes.SHA256() if version == "2" else hashes.SHA1()
    proof = SNS_KEY.sign(text, padding.PKCS1v15(), digest)
    return json.dumps(envelope | {"Signature": base64.b64encode(proof).decode()} | changes).encode()


def verdict(
    kind: str, body: bytes, headers: list[tuple[str, str]], secret: str | None, now: Any = NOW
) -> Verdict:
    return PROVIDERS[kind].verify(body, headers, secret, now)


@pytest.mark.parametrize("version", ["1", "2"])
def test_sns_signs_with_amazons_certificate(version: str) -> None:
    assert verdict("ses", sns(version), [], CERTIFICATE).verified
    assert verdict(
        "ses", sns(version), [("x-amz-sns-message-type", "Notification")], CERTIFICATE
    ).verified


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": "{}"},
        {"TopicArn": "arn:aws:sns:eu-west-1:999999999999:mail"},
        {"Signature": "AAAA"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem"},
        {"SigningCertURL": "http://sns.eu-west-1.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://x@sns.eu-west-1.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/a.txt"},
    ],
)
def test_a_forged_notification_is_refused(changes: dict[str, Any]) -> None:
    assert not verdict("ses", sns(**changes), [], CERTIFICATE).verified


def test_a_confirmation_does_not_pass_for_a_notification() -> None:
    headers = [("x-amz-sns-message-type", "SubscriptionConfirmation")]
    assert not verdict("ses", sns(), headers, CERTIFICATE).verified


def test_only_amazon_is_asked_to_confirm() -> None:
    good = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    body = {"Type": "SubscriptionConfirmation", "SubscribeURL": good, "TopicArn": "arn:x"}
    assert ses.subscribe_url(json.dumps(body).encode()) == good
    assert ses.topic(json.dumps(body).encode()) == "arn:x"
    body["SubscribeURL"] = "https://internal.example/"
    assert ses.subscribe_url(json.dumps(body).encode()) is None
    assert ses.subscribe_url(sns()) is None


def test_sendgrid_signs_time_and_body() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    secret = base64.b64encode(public).decode()
    body = b'[{"event":"delivered","email":"a@b.example"}]\r\n'
    proof = key.sign(STAMP.encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = [
        ("x-twilio-email-event-webhook-signature", base64.b64encode(proof).decode()),
        ("x-twilio-email-event-webhook-timestamp", STAMP),
    ]
    assert verdict("sendgrid", body, headers, secret).verified
    assert not verdict("sendgrid", body + b" ", headers, secret).verified
    assert not verdict("sendgrid", body, headers, secret, LATE).verified
    assert not verdict("sendgrid", body, [], secret).verified
    assert not verdict("sendgrid", body, headers, "MFkw").verified


def mailgun(key: str) -> bytes:
    proof = hmac.new(key.encode(), f"{STAMP}token".encode(), hashlib.sha256).hexdigest()
    signature = {"timestamp": STAMP, "token": "token", "signature": proof}
    return json.dumps({"signature": signature, "event-data": {"event": "delivered"}}).encode()


def test_mailgun_signs_time_and_token() -> None:
    assert verdict("mailgun", mailgun("key-1"), [], "key-1").verified
    assert not verdict("mailgun", mailgun("key-1"), [], "key-2").verified
    assert not verdict("mailgun", mailgun("key-1"), [], "key-1", LATE).verified
    assert not verdict("mailgun", b"{}", [], "key-1").verified


def svix(secret: bytes, body: bytes, ident: str = "msg_1") -> list[tuple[str, str]]:
    proof = hmac.new(secret, f"{ident}.{STAMP}.".encode() + body, hashlib.sha256).digest()
    return [
        ("svix-id", ident),
        ("svix-timestamp", STAMP),
        ("svix-signature", f"v1,AAAA v1,{base64.b64encode(proof).decode()}"),
    ]


def test_resend_signs_as_svix_does() -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    body = b'{"type":"email.sent"}'
    headers = svix(b"k" * 24, body)
    assert verdict("resend", body, headers, secret).verified
    assert not verdict("resend", body + b" ", headers, secret).verified
    assert not verdict("resend", body, headers, secret, LATE).verified
    assert not verdict("resend", body, headers[1:], secret).verified
    other = [("svix-id", "msg_2"), *headers[1:]]
    assert not verdict("resend", body, other, secret).verified


def test_resends_documented_example_holds() -> None:
    """The example of the Svix manual, "Verifying webhooks manually"."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = [
        ("svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("svix-timestamp", "1614265330"),
        ("svix-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]
    assert verdict("resend", b'{"test": 2432232314}', headers, secret, None).verified


@pytest.mark.parametrize("kind", ["postmark", "mailjet", "brevo", "sparkpost"])
def test_who_signs_nothing_brings_our_secret(kind: str) -> None:
    basic = base64.b64encode(b"chappe:s3cret").decode()
    for headers in (
        [("authorization", f"Basic {basic}")],
        [("authorization", "Bearer chappe:s3cret")],
        [("x-webhook-token", "chappe:s3cret")],
    ):
        assert verdict(kind, b"{}", headers, "chappe:s3cret").verified
    assert verdict(kind, b"{}", [("authorization", f"Basic {basic}")], "s3cret").verified
    for headers in ([], [("authorization", "Basic !!")], [("authorization", "Bearer no")]):
        assert not verdict(kind, b"{}", headers, "chappe:s3cret").verified


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_secret_verifies_nothing(kind: str) -> None:
    headers = [("authorization", "Basic Og=="), ("authorization", ""), ("x-token", "")]
    for secret in (None, ""):
        assert not verdict(kind, b"{}", headers, secret).verified


def test_a_try_says_whether_it_holds_and_prints_the_events_either_way() -> None:
    good = try_provider("mailgun", mailgun("key-1"), {}, "key-1")
    assert (good["verified"], good["answer"], len(good["events"])) == (True, 200, 1)
    bad = try_provider("mailgun", mailgun("key-1"), {}, "key-2")
    assert (bad["verified"], bad["answer"], len(bad["events"])) == (False, 401, 1)
    assert try_provider("mailgun", b"%", {}, None)["warnings"]


def test_an_overloaded_answer_is_one_that_the_provider_retries() -> None:
    good = Verdict(True)
    assert {answer(each, good) for each in PROVIDERS.values()} == {200}
    assert answer(PROVIDERS["brevo"], good, stored=False) == 429
    assert answer(PROVIDERS["ses"], good, stored=False) == 503
    assert answer(PROVIDERS["mailgun"], Verdict(False), stored=False) == 401


NAMES = st.sampled_from(
    [
        "Type", "Message", "eventType", "mail", "bounce", "bouncedRecipients", "delivery", "event",
        "email", "timestamp", "reason", "event-data", "signature", "recipient", "delivery-status",
        "message", "headers", "message-id", "RecordType", "Details", "Metadata", "Payload", "time",
        "type", "data", "to", "tags", "msys", "message_event", "rcpt_meta", "bounce_class",
        "recipients", "destination", "detail", "events", "subscription", "newTopicPreferences",
    ]
) | st.text(max_size=8)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)
WORDS = st.sampled_from(
    ["Bounce", "bounce", "failed", "Click", "email.bounced", "email.opened", "SpamComplaint",
     "hard_bounce", "Subscription", "Delivery", "DeliveryDelay", "Complaint", "Open"]
)  # fmt: skip


@given(st.sampled_from(KINDS), JSON, WORDS)
@settings(max_examples=300, deadline=None)
def test_no_payload_breaks_a_reader(kind: str, value: Any, word: str) -> None:
    named = {"event": word, "eventType": word, "type": word, "RecordType": word}
    shaped = cast("dict[str, Any]", value) if isinstance(value, dict) else {"data": value}
    payloads: list[Any] = [value, named | shaped, shaped | named]
    for payload in (*payloads, [{"msys": {"x": shaped | named}}]):
        body = json.dumps(payload).encode()
        for secret in (None, "s", CERTIFICATE, "whsec_AAAA"):
            PROVIDERS[kind].verify(body, [("svix-id", "\udcff")], secret, NOW)
        try_provider(kind, body, {"Authorization": "Basic ="}, "é")


@given(st.sampled_from(KINDS), st.binary(max_size=60), st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_no_bytes_break_a_reader(kind: str, body: bytes, value: str, secret: str) -> None:
    names = (
        "authorization", "svix-id", "svix-timestamp", "svix-signature", "x-amz-sns-message-type",
        "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp",
    )  # fmt: skip
    try_provider(kind, body, dict.fromkeys(names, value), secret)


def test_json_nested_past_all_measure_is_no_event() -> None:
    for kind in KINDS:
        assert try_provider(kind, b"[" * 100_000, {}, "s")["events"] == []
