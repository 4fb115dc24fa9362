"""What strangers hold of us: sealed tokens in links, and secrets at rest.

A token is authenticated and encrypted (AES-SIV, RFC 5297), so nobody can forge, read or alter
one, and deterministic, so the same message always carries the same links.
"""

import base64
import binascii

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TOKEN_LETTERS_MIN = 22
TOKEN_LETTERS_MAX = 4096
SECRET_LETTERS_MIN = 16

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[str | int | None]).decode


def _key(secret: bytes, purpose: str) -> AESSIV:
    derived = HKDF(SHA256(), 64, salt=b"chappe", info=purpose.encode()).derive(secret)
    return AESSIV(derived)


class Tokens:
    """Seals the payload of ``/o /c /u /p``. ``kind`` is bound in: a click is no unsubscribe."""

    def __init__(self, secret_key: bytes) -> None:
        self._cipher = _key(secret_key, "tokens.v1")

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


class Vault:
    """Encrypts secrets at rest. ``where`` (table and row) is bound in: rows cannot be swapped."""

    def __init__(self, secret_key: bytes) -> None:
        self._cipher = _key(secret_key, "vault.v1")

    def encrypt(self, where: str, secret: str) -> bytes:
        return self._cipher.encrypt(secret.encode(), [where.encode()])

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
