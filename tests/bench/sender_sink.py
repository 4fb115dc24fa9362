"""A server of SMTP that takes everything, some milliseconds away: ``sender_sink.py PORT RTT_MS``.

Every answer leaves a round trip after what it answers came; those of a group overlap, as they do
on a real link.
"""

import asyncio
import sys

import uvloop
from typing_extensions import override

_EHLO = b"250-sink\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
_END = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._content = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._answer(b"220 sink ESMTP\r\n")

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answers = bytearray()
        while (answer := self._next()) is not None:
            answers += answer
        if answers:
            self._answer(bytes(answers))

    def _next(self) -> bytes | None:
        """The answer to what is complete in the buffer; None: nothing is."""
        end = _END if self._content else b"\r\n"
        at = self._buffer.find(end)
        if at < 0:
            return None
        verb = bytes(self._buffer[:4]).upper()
        del self._buffer[: at + len(end)]
        if self._content:
            self._content = False
            return b"250 2.0.0 Ok: queued\r\n"
        if verb == b"EHLO":
            return _EHLO
        if verb == b"DATA":
            self._content = True
            return b"354 Go on\r\n"
        return b"221 2.0.0 Bye\r\n" if verb == b"QUIT" else b"250 2.1.0 Ok\r\n"

    def _answer(self, data: bytes) -> None:
        if self._delay:
            self._loop.call_later(self._delay, self._write, data)
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(data)


async def main() -> None:
    """Until somebody ends it."""
    port, delay = int(sys.argv[1]), float(sys.argv[2]) / 1_000
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(delay), "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
