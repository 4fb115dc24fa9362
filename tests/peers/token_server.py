"""A server that takes XOAUTH2, on aiosmtpd: a challenge that says why, then the refusal."""

import asyncio
import json
import ssl
from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

GOOD: Final = "ya29.good-token"
EXPIRED: Final = "ya29.expired-token"
USER: Final = "tom@shop.example"
REFUSED: Final = "535 5.7.8 Username and Password not accepted"


@dataclass
class TokenServer:
    """What it heard: the tokens, whether each refusal was answered, the mails."""

    port: int = 0
    heard: list[str] = field(default_factory=list[str])
    answered: list[bytes] = field(default_factory=list[bytes])
    mails: list[bytes] = field(default_factory=list[bytes])

    async def auth_XOAUTH2(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, args: list[str]
    ) -> AuthResult:
        """As Google and Microsoft document it."""
        _, asked = args
        said = b64decode(asked, validate=True)
        user, bearer, *rest = said.decode().split("\x01")
        assert rest == ["", ""]
        self.heard.append(bearer.removeprefix("auth=Bearer "))
        if user == f"user={USER}" and self.heard[-1] == GOOD:
            return AuthResult(success=True, auth_data=USER)
        status = "401" if self.heard[-1] == EXPIRED else "400"
        why = json.dumps({"status": status, "schemes": "Bearer", "scope": "https://mail.example/"})
        answer = await server.challenge_auth(why)
        self.answered.append(answer if isinstance(answer, bytes) else b"")
        await server.push(REFUSED)
        return AuthResult(success=False, handled=True)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del server
        assert session.authenticated
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        return "250 2.0.0 kept"


@asynccontextmanager
async def token_server(
    tls: ssl.SSLContext | None, *, in_clear: bool = False
) -> AsyncGenerator[TokenServer]:
    """``in_clear``: AUTH is offered without TLS."""
    heard = TokenServer()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: SMTP(
            heard,
            tls_context=tls,
            auth_require_tls=not in_clear,
            auth_required=not in_clear,
            auth_exclude_mechanism=["LOGIN", "PLAIN"],
            loop=loop,
        ),
        "127.0.0.1",
        0,
    )
    heard.port = listening.sockets[0].getsockname()[1]
    try:
        yield heard
    finally:
        listening.close()
        await listening.wait_closed()
