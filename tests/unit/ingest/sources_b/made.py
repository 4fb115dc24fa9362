"""Keys, signatures and deliveries of made-up shops."""

import base64
import datetime as dt
import hashlib
import hmac
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chappe.events import Event
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised, Normaliser
from tests.unit.ingest.shop import NOW, raw

NAMESPACE = "atelier"


def understood(
    normalise: Normaliser,
    body: Any,
    *,
    headers: dict[str, str] | None = None,
    domains: tuple[str, ...] = ("shop.example",),
    **fields: Any,
) -> Normalised:
    delivery = raw("any", body, headers=headers or {}, **({"namespace": NAMESPACE} | fields))
    return normalise(delivery, Links(frozenset(domains)))


def events(normalise: Normaliser, body: Any, **more: Any) -> list[Event]:
    return [fact.event for fact in understood(normalise, body, **more).facts]


def named(normalise: Normaliser, body: Any, **more: Any) -> dict[str, Event]:
    """The events by their names, of which none comes twice."""
    found = events(normalise, body, **more)
    assert len({event.name for event in found}) == len(found)
    return {event.name: event for event in found}


def hex_hmac(body: bytes, secret: str, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), body, algorithm).hexdigest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """One key for each name; making one is slow."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(name: str) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return rsa_key(name).public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def rsa_signature(message: bytes, name: str) -> bytes:
    return rsa_key(name).sign(message, padding.PKCS1v15(), hashes.SHA256())


def jwk(name: str, kid: str | None = None) -> dict[str, str]:
    numbers = rsa_key(name).public_key().public_numbers()
    key = {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "n": b64url(numbers.n.to_bytes(256, "big")),
        "e": b64url(numbers.e.to_bytes(3, "big")),
    }
    return key | ({"kid": kid} if kid else {})


def jwks(*keys: dict[str, str]) -> str:
    return json.dumps({"keys": keys})


def detached_jws(body: bytes, name: str, **header: Any) -> str:
    """As Saleor signs: RFC 7797, the payload left out."""
    full = {"alg": "RS256", "b64": False, "crit": ["b64"], "kid": name, "typ": "JWT"} | header
    head = b64url(json.dumps(full).encode())
    return f"{head}..{b64url(rsa_signature(head.encode() + b'.' + body, name))}"


@cache
def ed25519_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def standard_webhook(
    body: bytes, key: bytes, *, message_id: str = "msg_1", at: dt.datetime = NOW
) -> list[tuple[str, str]]:
    """The three headers of Standard Webhooks."""
    seconds = str(int(at.timestamp()))
    signed = f"{message_id}.{seconds}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", seconds),
        ("webhook-signature", f"v1,{b64(digest)}"),
    ]
