"""What strangers hold of us: sealed tokens in links, and secrets at rest.

A token is authenticated and encrypted (AES-SIV, RFC 5297), so nobody can forge, read or alter
one, and deterministic, so the same message always carries the same links.
"""

import base64
import binascii
import hashlib
import hmac
import re

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TOKEN_LETTERS_MIN = 22
TOKEN_LETTERS_MAX = 4096
SECRET_LETTERS_MIN = 16
RETURN_OCTETS_MAX = 27
"""What fits a local part of 64 letters (RFC 5321 4.5.3.1.1) beside kind and seal."""

_SEAL_OCTETS = 10
_DERIVED_ID = re.compile(r"m_[a-z2-7]{26}")
_RETURN = re.compile(r"([a-z])[-+=]([a-z2-7]{20,62})")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[str | int | None]).decode


FINGERPRINT_BYTES = 32


def _key(secret: bytes, purpose: str) -> AESSIV:
    return AESSIV(_derived(secret, purpose))


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 64, salt=b"chappe", info=purpose.encode()).derive(secret)


class Tokens:
    """Seals the payload of ``/o /c /u /p``. ``kind`` is bound in: a click is no unsubscribe."""

    def __init__(self, secret_key: bytes) -> None:
        self._cipher = _key(secret_key, "tokens.v1")
        self._returns = _derived(secret_key, "returns.v1")

    def seal(self, kind: str, payload: list[str | int | None]) -> str:
        sealed = self._cipher.encrypt(_pack(payload), [kind.encode()])
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, kind: str, token: str) -> list[str | int | None] | None:
        """The payload, or None for anything we did not seal for this ``kind``. Never raises."""
        if not TOKEN_LETTERS_MIN <= len(token) <= TOKEN_LETTERS_MAX or not token.isascii():
            return None
        try:
            sealed = base64.b64decode(
                token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
            return _unpack(self._cipher.decrypt(sealed, [kind.encode()]))
        except (binascii.Error, ValueError, InvalidTag, msgspec.MsgspecError):
            return None

    def sign_return(self, kind: str, message: str) -> str | None:
        """The local part of an address of ours that mail about ``message`` comes back to.

        ``kind`` is one letter: ``b`` for bounces, ``u`` for a wish to leave. In lower case and
        compared so, because some servers fold it. None when the id is too long to fit.
        """
        packed = _packed(message)
        if len(packed) > RETURN_OCTETS_MAX:
            return None
        return f"{kind}-{_base32(packed + self._mac(kind, packed))}"

    def open_return(self, local: str) -> tuple[str, str] | None:
        """Kind and message of a local part that ``sign_return`` made, else None. Never raises."""
        match = _RETURN.fullmatch(local.lower())
        if match is None:
            return None
        try:
            raw = base64.b32decode(match[2].upper() + "=" * (-len(match[2]) % 8))
        except (binascii.Error, ValueError):
            return None
        packed, given = raw[:-_SEAL_OCTETS], raw[-_SEAL_OCTETS:]
        if not packed or not hmac.compare_digest(given, self._mac(match[1], packed)):
            return None
        message = _unpacked(packed)
        return (match[1], message) if message is not None else None

    def _mac(self, kind: str, packed: bytes) -> bytes:
        return hmac.digest(self._returns, kind.encode() + packed, hashlib.sha256)[:_SEAL_OCTETS]


def _packed(message: str) -> bytes:
    """A derived id as its sixteen octets, behind a zero; any other as it is, behind a one."""
    if _DERIVED_ID.fullmatch(message):
        return b"\0" + base64.b32decode(message[2:].upper() + "======")
    return b"\1" + message.encode("utf-8", "surrogatepass")


def _unpacked(packed: bytes) -> str | None:
    if packed[:1] == b"\0":
        return f"m_{_base32(packed[1:])}"
    try:
        return packed[1:].decode()
    except UnicodeDecodeError:
        return None


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


class Vault:
    """Encrypts secrets at rest. ``where`` (table and row) is bound in: rows cannot be swapped."""

    def __init__(self, secret_key: bytes) -> None:
        self._cipher = _key(secret_key, "vault.v1")
        fingerprints = HKDF(SHA256(), FINGERPRINT_BYTES, salt=b"chappe", info=b"fingerprints.v1")
        self._fingerprints = fingerprints.derive(secret_key)

    def encrypt(self, where: str, secret: str) -> bytes:
        return self._cipher.encrypt(secret.encode(), [where.encode()])

    def fingerprint(self, where: str, value: str) -> str:
        """What to know a forgotten value by: a keyed hash (HMAC-SHA256) nobody can turn back."""
        said = f"{where}\x00{value}".encode("utf-8", "surrogatepass")
        return hmac.new(self._fingerprints, said, hashlib.sha256).hexdigest()

    def decrypt(self, where: str, sealed: bytes) -> str:
        """Raises ``ValueError`` when the key is not the one that sealed it."""
        try:
            return self._cipher.decrypt(sealed, [where.encode()]).decode()
        except InvalidTag:
            raise ValueError(
                f"{where} was encrypted with another CHAPPE_SECRET_KEY: restore that key"
            ) from None


def secret_key_of(text: str) -> bytes:
    """The bytes of CHAPPE_SECRET_KEY; at least 16 characters, whatever they are."""
    if len(text) < SECRET_LETTERS_MIN:
        raise ValueError("CHAPPE_SECRET_KEY is too short: use at least 32 random characters")
    return text.encode()
