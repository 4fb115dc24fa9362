"""Sign a message so that receivers know it is ours: DKIM (RFC 6376, RFC 8463).

relaxed/relaxed. The body that ``mime`` builds is nearly always canonical as it stands, which is
seen at C speed; only other bodies are rewritten.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from chappe_sender.domain.mime import Signer

RSA_BITS_MIN: Final = 2048
VALUE_COLUMNS: Final = 72

SIGNED: Final = frozenset(
    {
        b"from", b"to", b"subject", b"date", b"message-id", b"reply-to", b"mime-version",
        b"content-type", b"list-unsubscribe", b"list-unsubscribe-post", b"list-id",
        b"feedback-id", b"auto-submitted", b"precedence", b"chappe-message",
    }
)  # fmt: skip
"""RFC 8058 and Gmail want the List- and Feedback- headers covered; ``From`` is always required."""

OVERSIGNED: Final = (b"from", b"subject")
"""Named once more than they occur, so that a second one cannot be slipped in."""

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_BLANKS = re.compile(rb"[ \t]+")
_FOLD = re.compile(rb"\r\n(?=[ \t])")


class KeyProblem(ValueError):
    """A key that cannot sign: not a private key, too short, or a name that DNS does not take."""


@dataclass(frozen=True, slots=True)
class Key:
    """A private key and where its public half is found: ``selector._domainkey.domain``."""

    domain: str
    selector: str
    private: PrivateKey

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519-sha256"

    @property
    def record_name(self) -> str:
        """The name to publish at."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The TXT record to publish."""
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            der = public.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
        return f"v=DKIM1; k=ed25519; p={base64.b64encode(public.public_bytes_raw()).decode()}"


def load(domain: str, selector: str, pem: bytes) -> Key:
    """A key from its unencrypted PEM (PKCS#8 or PKCS#1). Raises ``KeyProblem``."""
    if not (_NAME.fullmatch(domain) and _NAME.fullmatch(selector)):
        raise KeyProblem("domain and selector must be names that DNS takes")
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise KeyProblem("this is no unencrypted private key in PEM") from error
    if isinstance(private, rsa.RSAPrivateKey):
        if private.key_size < RSA_BITS_MIN:
            raise KeyProblem(f"an RSA key needs {RSA_BITS_MIN} bits, this has {private.key_size}")
        return Key(domain.lower(), selector.lower(), private)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return Key(domain.lower(), selector.lower(), private)
    raise KeyProblem("only RSA and Ed25519 keys sign DKIM")


def signer(
    keys: Sequence[Key], *, signed_at: int | None = None, without: AbstractSet[bytes] = frozenset()
) -> Signer:
    """What ``mime.build`` takes as ``sign``: header lines to put on top, one for each key.

    ``without`` names headers (in lower case) that are rewritten on the way, so are not covered.
    RSA first, by custom. The same message gives the same signatures (both algorithms are
    deterministic) as long as ``signed_at``, seconds since 1970, is the same or left out.
    """
    every = tuple(keys)
    stamp = f" t={signed_at};" if signed_at is not None else ""

    def sign(head: bytes, body: bytes) -> bytes:
        fields = [field for field in _fields(head) if field[0] not in without]
        if not any(name == b"from" for name, _ in fields):
            raise ValueError("a message without From cannot be signed")
        digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
        return b"".join(_signature(key, fields, digest, stamp) for key in every)

    return sign


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4: blanks reduced to one, none at line ends, no empty lines at the end."""
    if (
        b"  " not in body
        and b"\t" not in body
        and b" \r\n" not in body
        and body.endswith(b"\r\n")
        and not body.endswith(b"\r\n\r\n")
        and body != b"\r\n"
    ):
        return body
    flat = body.replace(b"\t", b" ")
    while b"  " in flat:  # as often as the longest run halves; a pattern costs a hundred times more
        flat = flat.replace(b"  ", b" ")
    flat = flat.replace(b" \r\n", b"\r\n").removesuffix(b" ")
    end = len(flat)
    while flat.endswith(b"\r\n", 0, end):
        end -= 2
    return flat[:end] + b"\r\n" if end else b""


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """RFC 6376 3.4.2: name in lower case, value unfolded, blanks reduced to one; without CRLF."""
    flat = value.strip(b" \t\r\n")
    if b"  " in flat or b"\t" in flat or b"\n" in flat:
        flat = _BLANKS.sub(b" ", _FOLD.sub(b"", flat))
    return name.lower().rstrip(b" \t") + b":" + flat


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Name in lower case and raw value of every header, in order."""
    found: list[tuple[bytes, bytes]] = []
    for line in _FOLD.sub(b"", head).split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.strip().lower(), value))
    return found


def _signature(key: Key, fields: list[tuple[bytes, bytes]], digest: str, stamp: str) -> bytes:
    # Verifiers take the last of several headers of one name first, so the order is the reverse.
    covered = [(name, value) for name, value in reversed(fields) if name in SIGNED]
    names = [name.decode() for name, _ in covered] + [name.decode() for name in OVERSIGNED]
    start = (
        f" v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain}; s={key.selector};{stamp}\r\n"
        f"\th={_folded_names(names)};\r\n\tbh={digest};\r\n\tb="
    ).encode()
    lines = [relaxed_field(name, value) + b"\r\n" for name, value in covered]
    signed = b"".join((*lines, relaxed_field(b"dkim-signature", start)))
    proof = base64.b64encode(_sign(key.private, signed)).decode()
    folded = "\r\n\t ".join(
        proof[at : at + VALUE_COLUMNS] for at in range(0, len(proof), VALUE_COLUMNS)
    )
    return b"DKIM-Signature:" + start + folded.encode() + b"\r\n"


def _sign(private: PrivateKey, signed: bytes) -> bytes:
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return private.sign(hashlib.sha256(signed).digest())


def _folded_names(names: list[str]) -> str:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > VALUE_COLUMNS:
            lines.append("")
        lines[-1] += f"{name}:"
    return "\r\n\t ".join(lines).removesuffix(":")
