"""Where mail goes out, as ``CHAPPE_SMTP_URL`` says it."""

import hashlib
import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

MECHANISMS = ("plain", "login", "cram-md5", "xoauth2")
OPTIONS = ("auth", "connections", "starttls")
CONNECTIONS = 16
CONNECTIONS_MAX = 100


class Security(StrEnum):
    """How the connection is protected."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    """TLS without checking the certificate, where the server offers it."""
    ENCRYPT = "encrypt"
    """TLS with any certificate, or one that is pinned, or no mail."""
    REQUIRE = "require"
    """TLS with a valid certificate, or no mail."""
    IMPLICIT = "implicit"
    """TLS from the first byte (``smtps://``), with a valid certificate."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait at each stage; RFC 5321, 4.5.3.2, names the minimum for all but connect."""

    connect: float = 30
    greeting: float = 300
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    block: float = 180
    verdict: float = 600
    quit: float = 2


@dataclass(frozen=True, slots=True)
class Pin:
    """A certificate that DNS vouches for (DANE-EE, RFC 7672): usage 3 of a TLSA record."""

    selector: int
    matching: int
    data: bytes

    def fits(self, certificate: bytes) -> bool:
        """``certificate`` in DER."""
        held = certificate
        if self.selector == 1:
            public = load_der_x509_certificate(certificate).public_key()
            held = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        digest = {0: bytes, 1: _sha256, 2: _sha512}.get(self.matching)
        return digest is not None and digest(held) == self.data


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


@dataclass(frozen=True)
class Route:
    """One server to hand mail to. ``repr`` never shows the password."""

    host: str
    port: int
    security: Security = Security.OPPORTUNISTIC
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ehlo_name: str = "localhost"
    timeouts: Timeouts = Timeouts()
    auth: str | None = None
    """The only mechanism to use; None: the best that both sides know."""
    source: str | None = None
    """The address to send from."""
    pins: tuple[Pin, ...] = ()
    connect_to: str | None = None
    """The address of ``host`` to use; None: whatever the system finds."""
    connections: int = CONNECTIONS
    """The most that are open at a time."""

    @cached_property
    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.security in {Security.OPPORTUNISTIC, Security.ENCRYPT}:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class RouteError(ValueError):
    """``CHAPPE_SMTP_URL`` cannot be used; the message says what is wrong."""


_PORTS = {"smtp": 25, "smtps": 465}


def route_of(url: str, *, ehlo_name: str = "localhost") -> Route:
    """``smtp://user:pass@host:port?starttls=require&connections=16`` or ``smtps://…``. Raises
    ``RouteError``.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RouteError(f"CHAPPE_SMTP_URL: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise RouteError("CHAPPE_SMTP_URL must be smtp://host:port or smtps://host:port")
    if parts.path not in {"", "/"}:
        raise RouteError("CHAPPE_SMTP_URL has a path: only host and port are used")
    asked = dict(parse_qsl(parts.query))
    if unknown := asked.keys() - set(OPTIONS):
        known = ", ".join(OPTIONS)
        raise RouteError(f"CHAPPE_SMTP_URL: unknown option {min(unknown)!r} (known: {known})")
    auth = asked.get("auth", "").lower() or None
    if auth is not None and auth not in MECHANISMS:
        raise RouteError(f"CHAPPE_SMTP_URL: auth is one of {', '.join(MECHANISMS)}")
    choices = {"opportunistic": Security.OPPORTUNISTIC, "require": Security.REQUIRE}
    choices |= {"never": Security.NONE, "encrypt": Security.ENCRYPT}
    starttls = asked.get("starttls", "opportunistic")
    if starttls not in choices:
        raise RouteError(f"CHAPPE_SMTP_URL: starttls is one of {', '.join(choices)}")
    security = Security.IMPLICIT if parts.scheme == "smtps" else choices[starttls]
    return Route(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        security=security,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        ehlo_name=ehlo_name,
        auth=auth,
        connections=_connections(asked.get("connections", str(CONNECTIONS))),
    )


def _connections(said: str) -> int:
    count = int(said) if said.isascii() and said.isdigit() else 0
    if not 1 <= count <= CONNECTIONS_MAX:
        raise RouteError(f"CHAPPE_SMTP_URL: connections is a number from 1 to {CONNECTIONS_MAX}")
    return count
