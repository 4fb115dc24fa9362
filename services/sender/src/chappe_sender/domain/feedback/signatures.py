"""Is a webhook from whom it claims to be: signatures, shared secrets, and how old is too old."""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Headers: TypeAlias = Sequence[tuple[str, str]]
"""As they came: names in lower case, repeats kept."""

WINDOW: Final = dt.timedelta(minutes=5)
"""How far a signed time may be from ours, for providers that sign each attempt afresh."""

CANDIDATES_MAX: Final = 20
VALUE_LETTERS_MAX: Final = 4_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` says why not, in words an operator can act on."""

    verified: bool
    reason: str | None = None


VERIFIED: Final = Verdict(verified=True)
NO_SECRET: Final = Verdict(False, "no secret is known for this endpoint, so nothing was checked")


def values(headers: Headers, *names: str) -> list[str]:
    """Every value sent under any of ``names``, at most ``CANDIDATES_MAX``."""
    found = [v.strip() for name, v in headers if name.lower() in names]
    return [v for v in found if len(v) <= VALUE_LETTERS_MAX][:CANDIDATES_MAX]


def first(headers: Headers, *names: str) -> str:
    return next(iter(values(headers, *names)), "")


def same(given: str, expected: str) -> bool:
    """Constant-time; an empty secret is never the same."""
    return bool(expected) and hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )


def shared(headers: Headers, secret: str | None) -> Verdict:
    """For providers that sign nothing: ``user:password`` or a token, chosen by us.

    It may come as Basic credentials (the whole, or the password alone), as Bearer, or as the
    value of a header of one's own (``X-…``).
    """
    if not secret:
        return NO_SECRET
    given = list(_credentials(headers))
    if not given:
        return Verdict(False, "the request carries neither Authorization nor a token of ours")
    matched = False
    for candidate in given:
        matched |= same(candidate, secret)
    return VERIFIED if matched else Verdict(False, "the credentials do not match the secret")


def _credentials(headers: Headers) -> Iterable[str]:
    for value in values(headers, "authorization"):
        scheme, _, rest = value.partition(" ")
        if scheme.lower() == "basic":
            pair = unbase64(rest).decode("utf-8", "replace")
            yield pair
            yield pair.partition(":")[2]
            yield pair.removesuffix(":")
        else:
            yield rest.strip()
            yield value
    own = [v for n, v in headers if n.lower().startswith("x-") or n.lower() in {"token", "api-key"}]
    yield from (v.strip() for v in own[: 2 * CANDIDATES_MAX] if len(v) <= VALUE_LETTERS_MAX)


def unbase64(text: str) -> bytes:
    """The octets, or none when it is not base64 (either alphabet, padding optional)."""
    plain = text.strip().replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        return b""


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def ecdsa(message: bytes, signature: str, public_key: str) -> bool:
    """ECDSA with SHA-256, DER signature in base64; the key as PEM or as base64 DER."""
    try:
        if "BEGIN" in public_key:
            key = serialization.load_pem_public_key(public_key.strip().encode())
        else:
            key = serialization.load_der_public_key(unbase64("".join(public_key.split())))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(unbase64(signature), message, ec.ECDSA(hashes.SHA256()))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def fresh(stamp: str, now: dt.datetime | None, window: dt.timedelta = WINDOW) -> Verdict:
    """Whether a signed time (seconds since 1970) is near ``now``; None: age does not matter."""
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < CANDIDATES_MAX):
        return Verdict(False, "the signed time is no number")
    if now is None:
        return VERIFIED
    age = abs(now.timestamp() - int(stamp))
    if age > window.total_seconds():
        return Verdict(False, f"signed {int(age)} s away from now: a replay, or a wrong clock")
    return VERIFIED
