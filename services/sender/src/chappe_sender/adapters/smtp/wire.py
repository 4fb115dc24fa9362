"""Lines over a socket: bounded in length and number, with back-pressure, upgradable to TLS."""

import asyncio
import ssl
from collections import deque
from typing import cast

from typing_extensions import override

LINE_OCTETS_MAX = 4_096
LINES_WAITING_MAX = 1_000


class WireError(Exception):
    """The connection is gone, or what comes over it is no SMTP."""


class TlsError(WireError):
    """Both sides meant to speak TLS and could not agree."""


class Wire(asyncio.Protocol):
    """One connection. One reader and one writer at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._tail = bytearray()
        self._lines: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._paused = False
        self._gone: WireError | None = None

    @property
    def alive(self) -> bool:
        return self._gone is None and self._transport is not None

    @property
    def has_lines(self) -> bool:
        return bool(self._lines)

    @property
    def has_unread(self) -> bool:
        """Anything received and not yet read; there must be none before TLS starts."""
        return bool(self._lines or self._tail)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._tail += data
        *lines, rest = self._tail.split(b"\n")
        self._tail = rest
        self._lines.extend(bytes(line.rstrip(b"\r")) for line in lines)
        if len(rest) > LINE_OCTETS_MAX or len(self._lines) > LINES_WAITING_MAX:
            self._lost(WireError("the server talks too much"))
            self.abort()
        self._wake()

    @override
    def eof_received(self) -> bool:
        self._lost(WireError("the server closed the connection"))
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(WireError(str(exc) if exc else "the connection was closed"))

    @override
    def pause_writing(self) -> None:
        self._paused = True

    @override
    def resume_writing(self) -> None:
        self._paused = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _lost(self, why: WireError) -> None:
        self._gone = self._gone or why
        self._wake()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def line(self, seconds: float) -> bytes:
        """The next line, without its end. Raises ``WireError`` when none comes."""
        while not self._lines:
            if self._gone is not None:
                raise self._gone
            self._reader = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self._reader
            except TimeoutError:
                raise WireError(f"no answer within {seconds:g} s") from None
            finally:
                self._reader = None
        return self._lines.popleft()

    def write(self, data: bytes) -> None:
        if self._gone is not None:
            raise self._gone
        assert self._transport is not None
        self._transport.write(data)

    async def drain(self, seconds: float) -> None:
        """Wait until most of what was written has left. Raises ``WireError``."""
        if self._paused and self._gone is None:
            self._room = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self._room
            except TimeoutError:
                raise WireError(f"the server took nothing for {seconds:g} s") from None
            finally:
                self._room = None
        if self._gone is not None:
            raise self._gone

    async def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Raises ``TlsError``, or ``WireError`` when plain text was waiting (RFC 3207, 4.2)."""
        if self.has_unread:
            raise WireError("text before TLS: somebody may be tampering")
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        try:
            upgraded = await loop.start_tls(
                self._transport,
                self,
                context,
                server_hostname=host,
                ssl_handshake_timeout=seconds,
            )
        except (OSError, TimeoutError) as error:
            raise TlsError(f"TLS failed: {error}") from error
        if upgraded is None:
            raise TlsError("TLS failed: the connection was closed")
        self._transport = upgraded

    @property
    def certificate(self) -> bytes | None:
        """The server's, in DER; None without TLS."""
        assert self._transport is not None
        secured = self._transport.get_extra_info("ssl_object")
        return secured.getpeercert(binary_form=True) if secured is not None else None

    def abort(self) -> None:
        """Close at once, unsent bytes and all."""
        if self._transport is not None:
            self._transport.abort()
        self._lost(WireError("closed by us"))


async def connect(
    host: str,
    port: int,
    seconds: float,
    tls: ssl.SSLContext | None = None,
    source: str | None = None,
) -> Wire:
    """Raises ``WireError``."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, wire = await loop.create_connection(
                Wire,
                host,
                port,
                ssl=tls,
                server_hostname=host if tls is not None else None,
                local_addr=(source, 0) if source is not None else None,
            )
    except TimeoutError:
        raise WireError(f"no connection to {host}:{port} within {seconds:g} s") from None
    except (OSError, UnicodeError) as error:
        raise WireError(f"no connection to {host}:{port}: {error}") from error
    return wire
