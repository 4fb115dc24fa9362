"""Say whether a delivery is from whom it claims to be.

Everything here is fed by strangers, and answers; nothing here raises.
"""

import base64
import functools
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, str]]
"""As they came: names in lower case, values as latin-1 text, repeats kept."""

CANDIDATES_MAX: Final = 20
KEY_MAX_CHARS: Final = 256
REMEMBERED_MAX: Final = 1_024
"""Headers of callers whose key need not be decoded again; each is a header's size at most."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` says why not, in words for ``sources status``."""

    verified: bool
    reason: str | None = None


VERIFIED: Final = Verdict(verified=True)


def shopify(body: bytes, headers: Headers, secrets: Sequence[str]) -> Verdict:
    """Base64 HMAC-SHA256 of the raw body in ``X-Shopify-Hmac-Sha256``, with or without ``X-``.

    Any of ``secrets`` may have signed: after a rotation Shopify uses the old one for an hour
    (shopify.dev, "Verify webhooks"). An empty secret never matches.
    """
    given = values(headers, "x-shopify-hmac-sha256", "shopify-hmac-sha256")
    if not given:
        return Verdict(False, "the signature header X-Shopify-Hmac-Sha256 is missing")
    digests = [hmac.digest(s.encode(), body, hashlib.sha256) for s in secrets if s]
    if not digests:
        return Verdict(False, "the source has no secret yet")
    matched = False
    for candidate in map(_decoded, given[:CANDIDATES_MAX]):
        for digest in digests:
            matched |= hmac.compare_digest(candidate, digest)
    if matched:
        return VERIFIED
    return Verdict(False, "the signature does not match: check the secret pasted into the source")


def write_keys(headers: Headers, in_body: str | None = None) -> tuple[str, ...]:
    """The write keys a Segment-style call offers: Basic user, Bearer, or ``writeKey`` in the body.

    SDKs disagree about the colon after the key, and some send the key without base64.
    """
    found: list[str] = []
    for value in values(headers, "authorization")[:CANDIDATES_MAX]:
        found += _keys_in(value)
    if in_body:
        found.append(in_body)
    return tuple(key for key in dict.fromkeys(found) if 0 < len(key) <= KEY_MAX_CHARS)


@functools.lru_cache(maxsize=REMEMBERED_MAX)
def _keys_in(authorization: str) -> tuple[str, ...]:
    scheme, _, rest = authorization.strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "basic":
        return _decoded(rest).decode("latin-1").partition(":")[0], rest.removesuffix(":")
    return (rest,) if scheme.lower() == "bearer" else ()


def same(given: str, secret: str) -> bool:
    """Compared in constant time; an empty secret matches nothing."""
    ours = secret.encode("utf-8", "surrogatepass")
    return bool(ours) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), ours)


def fingerprint(secret: str) -> str:
    """Finds a write key without keeping it in the clear."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def values(headers: Headers, *names: str) -> list[str]:
    """Every value sent under any of ``names``."""
    return [value for name, value in headers if name in names]


def first(headers: Headers | Iterable[tuple[str, str]], *names: str) -> str | None:
    return next((value for name, value in headers if name in names), None)


def _decoded(text: str) -> bytes:
    if len(text) > KEY_MAX_CHARS * 2:
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
