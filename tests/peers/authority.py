"""A certificate authority of the tests' own, and certificates for this machine."""

import datetime as dt
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "localhost"
_START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_END = _START + dt.timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class Authority:
    """In PEM. ``server`` and ``stranger`` are key and certificate for ``HOST``; only the first is
    signed by ``certificate``.
    """

    certificate: bytes
    server: bytes
    stranger: bytes


def authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Peers' own authority")])
    own = (
        _started(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    other = ec.generate_private_key(ec.SECP256R1())
    stranger = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Somebody else")])
    return Authority(
        own.public_bytes(serialization.Encoding.PEM),
        _certified(name, key),
        _certified(stranger, other),
    )


def _certified(issuer: x509.Name, by: ec.EllipticCurvePrivateKey) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    made = (
        _started(subject, issuer, key.public_key())
        .add_extension(names, critical=False)
        .sign(by, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + made.public_bytes(serialization.Encoding.PEM)


def _started(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_START)
        .not_valid_after(_END)
    )
