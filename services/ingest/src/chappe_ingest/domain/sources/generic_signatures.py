"""Compare signatures that strangers wrote: in constant time, with bounds, without raising."""

import base64
import hmac
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from chappe_ingest.domain.verify import CANDIDATES_MAX, VERIFIED, Verdict

SIGNATURE_MAX_CHARS: Final = 4_096
KEYS_MAX: Final = 10
RSA_BITS: Final = range(2_048, 8_193)

_PEM = re.compile(r"-----BEGIN ([A-Z ]{1,40})-----.{1,20000}?-----END \1-----", re.DOTALL)


def from_hex(text: str) -> bytes:
    """b"" for what is no hexadecimal."""
    if len(text) > SIGNATURE_MAX_CHARS:
        return b""
    try:
        return bytes.fromhex(text.strip())
    except ValueError:
        return b""


def from_base64(text: str) -> bytes:
    """b"" for what is no padded base64 of the standard alphabet."""
    if len(text) > SIGNATURE_MAX_CHARS:
        return b""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except ValueError:
        return b""


def from_base64url(text: str) -> bytes:
    """RFC 7515's base64url, which leaves its padding away; b"" for anything else."""
    if len(text) > SIGNATURE_MAX_CHARS or not text.isascii():
        return b""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


def hmac_matches(
    message: bytes, given: Iterable[bytes], keys: Iterable[bytes], algorithm: str = "sha256"
) -> bool:
    """Whether any of ``keys`` made any of ``given``; all are compared. An empty key made none."""
    digests = [hmac.digest(key, message, algorithm) for key in keys if key]
    matched = False
    for candidate in list(given)[:CANDIDATES_MAX]:
        for digest in digests:
            matched |= hmac.compare_digest(candidate, digest)
    return matched


def rsa_matches(message: bytes, signature: bytes, key: rsa.RSAPublicKey) -> bool:
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017), the "RS256" of RFC 7518."""
    try:
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=64)
def rsa_keys(text: str) -> tuple[rsa.RSAPublicKey, ...]:
    """The RSA public keys of the PEM blocks in ``text``; other blocks are passed over."""
    found: list[rsa.RSAPublicKey] = []
    for block in _PEM.finditer(text):
        try:
            key = serialization.load_pem_public_key(block.group().encode())
        except (ValueError, UnsupportedAlgorithm):
            continue
        if isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_BITS:
            found.append(key)
    return tuple(found[:KEYS_MAX])


def verdict(
    *, matched: bool, header: str, given: Sequence[object], secrets: Sequence[str]
) -> Verdict:
    """In words for ``sources status``."""
    if not given:
        return Verdict(False, f"the signature header {header} is missing")
    if not any(secrets):
        return Verdict(False, "the source has no secret yet")
    if matched:
        return VERIFIED
    return Verdict(False, "the signature does not match: check the secret pasted into the source")
