"""Where mail goes out, as ``CHAPPE_SMTP_URL`` says it."""

import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from urllib.parse import parse_qsl, unquote, urlsplit


class Security(StrEnum):
    """How the connection is protected."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    """TLS without checking the certificate, where the server offers it."""
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

    @cached_property
    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.security is Security.OPPORTUNISTIC:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class RouteError(ValueError):
    """``CHAPPE_SMTP_URL`` cannot be used; the message says what is wrong."""


_PORTS = {"smtp": 25, "smtps": 465}


def route_of(url: str, *, ehlo_name: str = "localhost") -> Route:
    """``smtp://user:pass@host:port?starttls=require`` or ``smtps://…``. Raises ``RouteError``."""
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
    if unknown := asked.keys() - {"starttls"}:
        raise RouteError(f"CHAPPE_SMTP_URL: unknown option {min(unknown)!r} (known: starttls)")
    choices = {"opportunistic": Security.OPPORTUNISTIC, "require": Security.REQUIRE}
    choices["never"] = Security.NONE
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
    )
