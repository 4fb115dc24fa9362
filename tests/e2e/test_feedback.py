"""What a provider tells reaches the message, the address and the timeline of a running box."""

import base64
import datetime as dt
import json
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.box import Box, until

EMAIL = "bounces@example.com"


def test_a_signed_webhook_makes_a_message_bounced_and_its_address_suppressed(box: Box) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    added = box.command(
        "providers", "endpoint", "add", "sendgrid", "--secret",
        base64.b64encode(public).decode(), "--json",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    url = json.loads(added.stdout)["url"]

    box.press("sign_up", EMAIL)
    message = until(lambda: accepted(box))
    body = told(message["id"])
    forger = ec.generate_private_key(ec.SECP256R1())
    assert post(url, body, forger) == 200
    assert post(url, body, key) == 200
    assert post(url, body, key) == 200
    until(lambda: state(box, message["id"]) == "bounced")
    assert post(url, told(message["id"], event="delivered", reason=None), key) == 200
    until(lambda: endpoint(box)["accepted"] == 3)
    assert state(box, message["id"]) == "bounced"
    assert endpoint(box)["refused"] == 1

    listed = json.loads(box.command("suppressions", "list", "--json").stdout)["items"]
    assert {"address": EMAIL, "reason": "bounced"}.items() <= found(listed, EMAIL).items()
    until(lambda: timeline(box).count("email.bounced") == 1)
    assert "email.delivered" not in timeline(box)

    undone = box.command("suppressions", "undo", "--since", "1d", "--mx", "example.com", "--json")
    assert EMAIL in json.loads(undone.stdout)["addresses"]


def test_a_stranger_finds_no_endpoint(box: Box) -> None:
    assert httpx.post(f"{box.url}/providers/sendgrid/fe_guessed", content=b"[]").status_code == 404


def told(message: str, **changes: Any) -> bytes:
    event = {
        "event": "bounce",
        "type": "bounce",
        "email": EMAIL,
        "timestamp": int(dt.datetime.now(dt.UTC).timestamp()),
        "reason": "550 5.1.1 The email account that you tried to reach does not exist",
        "status": "5.1.1",
        "sg_message_id": "abc.filter-1",
        "chappe-message": message,
    }
    return json.dumps([event | changes]).encode()


def post(url: str, body: bytes, key: ec.EllipticCurvePrivateKey) -> int:
    stamp = str(int(dt.datetime.now(dt.UTC).timestamp()))
    proof = base64.b64encode(key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": proof,
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        "Content-Type": "application/json",
    }
    return httpx.post(url, content=body, headers=headers).status_code


def accepted(box: Box) -> dict[str, Any] | None:
    items = box.api("GET", f"/api/v1/messages?contact=email:{EMAIL}").json()["items"]
    return next((each for each in items if each["state"] == "accepted"), None)


def state(box: Box, message: str) -> str:
    return box.api("GET", f"/api/v1/messages/{message}").json()["state"]


def endpoint(box: Box) -> dict[str, Any]:
    return box.api("GET", "/api/v1/providers/endpoints").json()["items"][0]


def found(listed: list[dict[str, Any]], address: str) -> dict[str, Any]:
    return next(each for each in listed if each["address"] == address)


def timeline(box: Box) -> list[str]:
    items = box.api("GET", f"/api/v1/contacts/email:{EMAIL}/timeline").json()["items"]
    return [each["name"] for each in items]
