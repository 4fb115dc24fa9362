"""Listen for mail: sockets, time limits and back-pressure around ``Session``."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from typing_extensions import override

from chappe_onebox.inbox.limits import Limits
from chappe_onebox.inbox.session import Incoming, Mode, Room, Session

HOST_NAME: Final = "inbox.chappe.local"
#: Read ahead of a mail that is being stored no further than this.
BUFFERED_BYTES_MAX: Final = 65_536
BACKLOG: Final = 128

#: Keep the mail, then call back with the reply for its sender.
Keep: TypeAlias = Callable[[Incoming, Callable[[str], None]], None]


class SmtpServer:
    """Accepts mail and answers for it once ``keep`` has."""

    def __init__(self, *, limits: Limits, keep: Keep, on_change: Callable[[], None]) -> None:
        self.limits = limits
        self.keep = keep
        self.on_change = on_change
        self.room = Room(limits.receiving_bytes)
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Open the port, 0 for a free one; gives its number."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), host, port, backlog=BACKLOG
        )
        return self._server.sockets[0].getsockname()[1]

    @property
    def receiving(self) -> bool:
        """Whether the content of some mail is under way."""
        return any(connection.receiving for connection in self.connections)

    def close(self) -> None:
        """Hear no more; a mail that is not whole is forgotten, and its sender knows."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.hang_up("421 4.3.2 Shutting down")


class _Connection(asyncio.Protocol):
    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._session = Session(limits=server.limits, host=HOST_NAME, room=server.room)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()
        self._content_since: float | None = None
        self._ended = False
        self._choked = False
        self._farewell: str | None = None

    @property
    def receiving(self) -> bool:
        return self._session.mode in {Mode.CONTENT, Mode.STORING}

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._server.connections) >= self._server.limits.connections:
            self._session.take_replies()
            self.hang_up("421 4.7.0 Too many connections, try again later")
            return
        self._server.connections.add(self)
        self._write()
        self._watch()

    @override
    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._go_on(self._session.feed(data))

    @override
    def eof_received(self) -> bool:
        self._ended = True
        # The answer to a mail handed over whole is still owed.
        return self._session.mode is Mode.STORING

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._session.close()
        self._server.connections.discard(self)
        self._server.on_change()

    @override
    def pause_writing(self) -> None:
        self._choked = True
        self._throttle()

    @override
    def resume_writing(self) -> None:
        self._choked = False
        self._throttle()

    def hang_up(self, reply: str) -> None:
        """Say why and close; a mail already handed over whole gets its answer first."""
        if self._session.mode is Mode.STORING:
            self._farewell = reply
            return
        self._session.close(reply)
        self._write()

    def _go_on(self, mail: Incoming | None) -> None:
        was_receiving = self._content_since is not None
        self._content_since = (
            (self._content_since or self._loop.time())
            if self._session.mode is Mode.CONTENT
            else None
        )
        self._write()
        if mail is not None:
            self._server.keep(mail, self._answer)
        self._throttle()
        if was_receiving and not self.receiving:
            self._server.on_change()

    def _answer(self, reply: str) -> None:
        self._heard_at = self._loop.time()
        self._go_on(self._session.answer(reply))
        if self._farewell is not None:
            self.hang_up(self._farewell)

    def _write(self) -> None:
        if self._transport is None:
            return
        replies = self._session.take_replies()
        if replies:
            self._transport.write(replies)
        over = self._ended and self._session.mode is not Mode.STORING
        if over or self._session.mode is Mode.CLOSED:
            self._transport.close()

    def _throttle(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        storing = self._session.mode is Mode.STORING
        if self._choked or (storing and self._session.buffered > BUFFERED_BYTES_MAX):
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _watch(self) -> None:
        """Set one timer for the next limit; what was heard meanwhile only moves it on."""
        limits, now = self._server.limits, self._loop.time()
        due = self._heard_at + limits.command_timeout.total_seconds()
        if self._content_since is not None:
            due = min(
                self._heard_at + limits.content_timeout.total_seconds(),
                self._content_since + limits.mail_timeout.total_seconds(),
            )
        if self._session.mode is Mode.STORING:
            due = now + limits.content_timeout.total_seconds()
        if due <= now:
            self.hang_up("421 4.4.2 Waited too long")
            return
        # Content may begin meanwhile, and its limit is the shorter one.
        look_again = now + limits.content_timeout.total_seconds()
        self._timer = self._loop.call_at(min(due, look_again), self._watch)


def reply_for(number: int | None) -> str:
    """The answer to a mail: its id once it is durable."""
    if number is None:
        return "451 4.3.0 Not stored, try again later"
    return f"250 2.0.0 Stored as {number}"
