"""Listen for returned mail. An address that we did not sign gets 550 within the transaction."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from typing_extensions import override

from chappe_ingest import metrics
from chappe_ingest.application.inlet import LogAway
from chappe_ingest.application.returned import Returned

CONNECTIONS_MAX: Final = 50
MAIL_BYTES_MAX: Final = 2 * 1024 * 1024
LINE_OCTETS_MAX: Final = 100_000
"""Of content. RFC 5321 stops at 1,000; what is refused here is lost: nobody bounces a bounce."""
RECIPIENTS_MAX: Final = 10
SECONDS_MAX: Final = 60.0
STRANGERS_MAX: Final = 10
"""Unknown recipients in one session; then it is ended."""
COMMANDS_MAX: Final = {"*": 20, **dict.fromkeys(("MAIL", "RCPT", "DATA", "RSET"), 10_000)}
"""Of each kind in one session, so that nobody keeps a place by saying NOOP."""

SMTP_VIA: Final = "smtp"

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Room:
    """How many are being heard."""

    inside: int = 0


class _Connection(SMTP):
    """aiosmtpd's, with a bound on how many there are."""

    line_length_limit = LINE_OCTETS_MAX

    def __init__(self, room: _Room, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._room = room
        self._counted = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._room.inside >= CONNECTIONS_MAX:
            # uvloop's transports are of no class of asyncio's.
            writing = cast("asyncio.WriteTransport", transport)
            writing.write(b"421 4.7.0 too many connections, try again later\r\n")
            writing.close()
            return
        self._room.inside += 1
        self._counted = True
        super().connection_made(transport)

    @override
    def connection_lost(self, error: Exception | None) -> None:
        if self._counted:
            self._room.inside -= 1
            self._counted = False
            super().connection_lost(error)


@dataclass(slots=True)
class _Handler:
    returned: Returned

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del options
        if self.returned.recipient(address) is None:
            metrics.RETURNED_MAILS.labels(SMTP_VIA, "unknown_recipient").inc()
            strangers = getattr(session, "strangers", 0) + 1
            session.strangers = strangers  # pyright: ignore[reportAttributeAccessIssue]
            if strangers >= STRANGERS_MAX and server.transport is not None:
                server.transport.close()
            return "550 5.1.1 no such address here"
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del server, session
        content = envelope.content
        mail = content if isinstance(content, bytes) else (content or "").encode()
        for address in envelope.rcpt_tos:
            recipient = self.returned.recipient(address)
            if recipient is None:
                continue
            try:
                await self.returned.keep(recipient, mail, via=SMTP_VIA)
            except LogAway:
                metrics.RETURNED_MAILS.labels(SMTP_VIA, "log_away").inc()
                return "451 4.3.0 it could not be stored, try again later"
        return "250 2.0.0 kept"


class Listener:
    """An SMTP server for returned mail and nothing else: it relays nothing."""

    def __init__(self, returned: Returned, host_name: str) -> None:
        self._handler = _Handler(returned)
        self._host_name = host_name
        self._room = _Room()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Open the port, 0 for a free one; gives its number."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(
                self._room,
                self._handler,
                data_size_limit=MAIL_BYTES_MAX,
                enable_SMTPUTF8=True,
                hostname=self._host_name,
                ident="Chappe",
                command_call_limit=COMMANDS_MAX,
                timeout=SECONDS_MAX,
                loop=loop,
            ),
            host,
            port,
        )
        found = self._server.sockets[0].getsockname()[1]
        logger.info("Listening for returned mail", host=host, port=found)
        return found

    async def close(self) -> None:
        """Hear no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
