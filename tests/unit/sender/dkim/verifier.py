"""A second opinion: DKIM verified by regular expressions, sharing nothing with our signer."""

import base64
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa


def verified(raw: bytes, records: dict[str, str]) -> list[bool]:
    """For each DKIM-Signature, from the top: does it hold? ``records`` are TXT by name."""
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = re.split(rb"\r\n(?![ \t])", head)
    signatures = [h for h in headers if h.lower().startswith(b"dkim-signature:")]
    return [_holds(h, headers, body, records) for h in signatures]


def tags(text: str) -> dict[str, str]:
    pairs = (part.split("=", 1) for part in text.split(";") if "=" in part)
    return {name.strip(): re.sub(r"\s+", "", value) for name, value in pairs}


def _holds(signature: bytes, headers: list[bytes], body: bytes, records: dict[str, str]) -> bool:
    tag = tags(signature.split(b":", 1)[1].decode())
    assert tag["c"] == "relaxed/relaxed"
    lines = [re.sub(rb"[ \t]+$", b"", re.sub(rb"[ \t]+", b" ", x)) for x in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    canonical = b"".join(line + b"\r\n" for line in lines)
    if base64.b64encode(hashlib.sha256(canonical).digest()).decode() != tag["bh"]:
        return False
    rest = list(headers)
    signed = b""
    for name in tag["h"].lower().split(":"):
        at = [i for i, h in enumerate(rest) if h.split(b":")[0].strip().lower() == name.encode()]
        if at:
            signed += _relaxed(rest.pop(at[-1])) + b"\r\n"
    signed += _relaxed(re.sub(rb"([;:\s]b=)[^;]*", rb"\1", signature))
    record = tags(records[f"{tag['s']}._domainkey.{tag['d']}"])
    public, proof = base64.b64decode(record["p"]), base64.b64decode(tag["b"])
    try:
        if tag["a"] == "rsa-sha256":
            key = serialization.load_der_public_key(public)
            assert isinstance(key, rsa.RSAPublicKey)
            key.verify(proof, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            edwards = ed25519.Ed25519PublicKey.from_public_bytes(public)
            edwards.verify(proof, hashlib.sha256(signed).digest())
    except InvalidSignature:
        return False
    return True


def _relaxed(header: bytes) -> bytes:
    name, value = header.split(b":", 1)
    flat = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b""))
    return name.strip().lower() + b":" + flat.strip()
