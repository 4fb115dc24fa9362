"""Standard Webhooks 1.0.0: who signed, when, and which message (standardwebhooks.com).

``id.timestamp.body`` is signed with HMAC-SHA256 (``v1``, secret ``whsec_…``) or ed25519 (``v1a``,
public key ``whpk_…``). Svix writes the same under its own header names.
"""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from chappe_ingest.domain.sources.generic_signatures import from_base64, hmac_matches
from chappe_ingest.domain.verify import (
    CANDIDATES_MAX,
    VERIFIED,
    Headers,
    Verdict,
    values,
)

FAMILIES: Final = ("webhook", "svix")
ID_HEADERS: Final = tuple(f"{family}-id" for family in FAMILIES)
TIME_HEADERS: Final = tuple(f"{family}-timestamp" for family in FAMILIES)
TOLERANCE: Final = dt.timedelta(minutes=5)
ID_MAX_CHARS: Final = 256

_SECRET = "whsec_"  # noqa: S105 - the mark of a secret
_PUBLIC_KEY = "whpk_"
_SECONDS = re.compile(r"[0-9]{1,12}")


def is_signed(headers: Headers) -> bool:
    """Whether the delivery claims to be signed this way."""
    return bool(values(headers, *ID_HEADERS))


def verify(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
    """Any of ``secrets`` may have signed, at most ``TOLERANCE`` away from ``now``."""
    keys = [key for secret in secrets for key in secret_keys(secret)]
    public = [secret for secret in secrets if secret.startswith(_PUBLIC_KEY)]
    return verify_with(body, headers, keys, now, public_keys=public)


def verify_with(
    body: bytes,
    headers: Headers,
    keys: Sequence[bytes],
    now: dt.datetime,
    *,
    public_keys: Sequence[str] = (),
) -> Verdict:
    """As ``verify``, for senders whose secret is not written as ``whsec_…``: its raw bytes."""
    family = next((f for f in FAMILIES if values(headers, f"{f}-id")), FAMILIES[0])
    message_ids, times, signatures = (
        values(headers, f"{family}-{part}") for part in ("id", "timestamp", "signature")
    )
    for part, given in (("id", message_ids), ("timestamp", times), ("signature", signatures)):
        if not given:
            return Verdict(False, f"the header {family}-{part} is missing")
    if len(set(message_ids)) > 1 or len(set(times)) > 1:
        return Verdict(False, f"{family}-id or {family}-timestamp was sent twice")
    message_id, time = message_ids[0], times[0]
    if not 0 < len(message_id) <= ID_MAX_CHARS or "." in message_id:
        return Verdict(False, f"{family}-id is empty, too long or has a dot in it")
    if not keys and not public_keys:
        return Verdict(False, "the source has no secret yet")
    signed = f"{message_id}.{time}.".encode("utf-8", "surrogatepass") + body
    if not _matches(signed, signatures, keys, public_keys):
        return Verdict(
            False, "the signature does not match: check the secret pasted into the source"
        )
    if not _is_near(time, now):
        return Verdict(
            False,
            f"{family}-timestamp is more than {TOLERANCE.seconds // 60} minutes away from now",
        )
    return VERIFIED


def secret_keys(secret: str) -> tuple[bytes, ...]:
    """The bytes behind ``whsec_…``. Without that mark it may be base64 or the text itself."""
    if secret.startswith(_PUBLIC_KEY):
        return ()
    if secret.startswith(_SECRET):
        return _some(from_base64(secret.removeprefix(_SECRET)))
    return _some(from_base64(secret), secret.encode("utf-8", "surrogatepass"))


def _some(*keys: bytes) -> tuple[bytes, ...]:
    return tuple(key for key in keys if key)


def _matches(
    signed: bytes, signatures: Sequence[str], keys: Sequence[bytes], public_keys: Sequence[str]
) -> bool:
    parts = [part.partition(",") for value in signatures for part in value.split(" ", 20)]
    candidates = parts[:CANDIDATES_MAX]
    shared = [from_base64(text) for version, _, text in candidates if version == "v1"]
    own = [from_base64(text) for version, _, text in candidates if version == "v1a"]
    matched = hmac_matches(signed, shared, keys)
    for public_key in public_keys:
        for signature in own:
            matched |= _ed25519_matches(signed, signature, public_key)
    return matched


def _ed25519_matches(signed: bytes, signature: bytes, public_key: str) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(from_base64(public_key.removeprefix(_PUBLIC_KEY)))
        key.verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _is_near(time: str, now: dt.datetime) -> bool:
    if not _SECONDS.fullmatch(time):
        return False
    return abs(int(time) - now.timestamp()) <= TOLERANCE.total_seconds()
