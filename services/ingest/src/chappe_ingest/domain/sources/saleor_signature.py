"""Saleor's two signatures: a detached JWS, or an HMAC for webhooks that still have a secret.

The JWS is compact with an empty payload, RS256, and ``b64: false`` (RFC 7797): what is signed is
its header, a dot and the raw body. The keys are the shop's own, from
``https://HOST/.well-known/jwks.json``, and are the source's secret: pasted, or fetched from the
address that an operator gave. The key's address in a delivery's headers is never followed.
"""

import datetime as dt
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from cryptography.hazmat.primitives.asymmetric import rsa

from chappe_ingest.domain.key_sets import document_of
from chappe_ingest.domain.reading import Json
from chappe_ingest.domain.sources import generic_signatures as signatures
from chappe_ingest.domain.verify import CANDIDATES_MAX, Headers, Verdict, values

TOKENS_MAX: Final = 4
"""Each costs an RSA verification for each key."""

Keys: TypeAlias = tuple[tuple[str | None, rsa.RSAPublicKey], ...]


def verify(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
    """``Saleor-Signature`` by a key of a JWKS (or PEM) among ``secrets``, or by a shared secret.

    No time is signed: a repeat is known by its ``issuedAt`` and body, not refused.
    """
    del now
    found = dict.fromkeys(values(headers, "saleor-signature", "x-saleor-signature"))
    given = list(found)[:CANDIDATES_MAX]
    keys = tuple(key for secret in secrets for key in public_keys(secret))
    shared = [s.encode("utf-8", "surrogatepass") for s in secrets if s and not public_keys(s)]
    matched = signatures.hmac_matches(body, map(signatures.from_hex, given), shared)
    tokens = [each for each in given if ".." in each][:TOKENS_MAX]
    for token in tokens:
        matched |= _jws_matches(token, body, keys)
    said = signatures.verdict(
        matched=matched, header="Saleor-Signature", given=given, secrets=secrets
    )
    if not said.verified and tokens and any(secrets):
        return Verdict(False, _why(tokens, keys))
    return said


@lru_cache(maxsize=64)
def public_keys(secret: str) -> Keys:
    """The RSA keys of a JWKS, of one JWK or of PEM text, each with its ``kid`` if it has one."""
    text = document_of(secret)
    if text.startswith("-----BEGIN"):
        return tuple((None, key) for key in signatures.rsa_keys(text))
    if not text.startswith("{"):
        return ()
    document = _object(text)
    listed = document.get("keys")
    rows = cast("list[Any]", listed) if isinstance(listed, list) else [document]
    found = [_key(cast("Json", row)) for row in rows if isinstance(row, dict)]
    return tuple(each for each in found if each is not None)[: signatures.KEYS_MAX]


def _jws_matches(token: str, body: bytes, keys: Keys) -> bool:
    head, _, signature = token.strip().partition("..")
    header = _header(head)
    if header is None:
        return False
    signed = head.encode() + b"." + body
    matched = False
    for _, key in _candidates(header, keys):
        matched |= signatures.rsa_matches(signed, signatures.from_base64url(signature), key)
    return matched


def _header(head: str) -> Json | None:
    """The JWS header, if it says the one thing we take; the algorithm is never its choice."""
    try:
        text = signatures.from_base64url(head).decode("utf-8")
    except UnicodeDecodeError:
        return None
    header = _object(text)
    wanted = {"alg": "RS256", "b64": False, "crit": ["b64"]}
    if any(header.get(name) != value for name, value in wanted.items()):
        return None
    return header


def _candidates(header: Json, keys: Keys) -> Keys:
    """The keys of that name; those without a name may always be meant."""
    kid = header.get("kid")
    if not isinstance(kid, str):
        return keys
    return tuple((name, key) for name, key in keys if name in (None, kid))


def _why(tokens: Sequence[str], keys: Keys) -> str:
    if not keys:
        return "the delivery is signed with a key: set the shop's JWKS document as the secret"
    headers = [_header(token.partition("..")[0]) for token in tokens]
    readable = [header for header in headers if header is not None]
    if not readable:
        return "Saleor-Signature is no detached RS256 signature"
    if not any(_candidates(header, keys) for header in readable):
        return "signed with a key that is not in the source's JWKS: set the shop's newest JWKS"
    return "the signature does not match: check the JWKS document set as the secret"


def _key(row: Json) -> tuple[str | None, rsa.RSAPublicKey] | None:
    if row.get("kty") != "RSA" or row.get("alg", "RS256") != "RS256":
        return None
    numbers = [
        int.from_bytes(signatures.from_base64url(value) if isinstance(value, str) else b"", "big")
        for value in (row.get("e"), row.get("n"))
    ]
    if numbers[1].bit_length() not in signatures.RSA_BITS:
        return None
    try:
        key = rsa.RSAPublicNumbers(*numbers).public_key()
    except ValueError:
        return None
    kid = row.get("kid")
    return (kid if isinstance(kid, str) else None), key


def _object(text: str) -> Json:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("Json", value) if isinstance(value, dict) else {}
