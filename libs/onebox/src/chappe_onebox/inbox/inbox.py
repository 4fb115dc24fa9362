"""Open the inbox: SMTP in on a port, HTTP out through an app, one file in a directory."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from chappe.clock import Clock
from chappe_onebox.inbox.changes import Changes
from chappe_onebox.inbox.door import Door
from chappe_onebox.inbox.headers import bare_message_id
from chappe_onebox.inbox.http import create_app
from chappe_onebox.inbox.limits import Limits
from chappe_onebox.inbox.listing import read_mail
from chappe_onebox.inbox.session import Incoming
from chappe_onebox.inbox.smtp import SmtpServer, reply_for
from chappe_onebox.inbox.store import Store

LIMITS: Final = Limits()


class Inbox:
    """Where the one box sends its mails: kept before they are acknowledged, shown to people."""

    def __init__(self, *, directory: Path, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._changes = Changes()
        self._waiting: list[asyncio.Future[None]] = []
        self._store = Store(directory, mails_kept=limits.mails_kept, on_change=self._on_stored)
        self._smtp = SmtpServer(limits=limits, keep=self._keep, on_change=self._on_moved)
        self.app: Door = create_app(self._store, self._changes)
        """The HTTP side, for the caller to serve."""
        self.smtp_port = 0

    async def listen(self, host: str, port: int) -> None:
        """Open the SMTP port. Raises ``OSError`` when it is taken."""
        self.smtp_port = await self._smtp.listen(host, port)

    async def has(self, message_id: str) -> bool:
        """Whether this mail (with or without angle brackets) is kept.

        It is asked behind every mail handed over before, so a yes or no is final for those.
        """
        wanted = bare_message_id(message_id)
        return await self._store.write(lambda writer: writer.has(wanted))

    def count(self) -> int:
        """How many mails are kept."""
        return self._store.counts.total

    def busy(self) -> bool:
        """Whether a mail is being received or stored now."""
        return self._store.pending > 0 or self._smtp.receiving

    async def wait_quiet(self) -> None:
        """Return once no mail is under way."""
        while self.busy():
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    def end_streams(self) -> None:
        """Let the pages that follow finish; call it before the HTTP server is asked to stop."""
        self._changes.end()

    async def close(self) -> None:
        """Answer for what was handed over whole, then close."""
        self.end_streams()
        self._smtp.close()
        await self._store.close()

    def _keep(self, mail: Incoming, answer: Callable[[str], None]) -> None:
        new = read_mail(
            mail.content,
            sender=mail.sender,
            recipients=mail.recipients,
            received_at=self._clock.now(),
        )
        self._store.add(new, lambda number: answer(reply_for(number)))

    def _on_stored(self) -> None:
        self._changes.notify()
        self._on_moved()

    def _on_moved(self) -> None:
        if self._waiting and not self.busy():
            for future in self._waiting:
                if not future.done():
                    future.set_result(None)
            self._waiting.clear()


@asynccontextmanager
async def open_inbox(
    *,
    directory: Path,
    clock: Clock,
    host: str = "127.0.0.1",
    smtp_port: int = 0,
    limits: Limits = LIMITS,
) -> AsyncGenerator[Inbox, None]:
    """Keep an inbox in ``directory``, made if need be; ``clock`` says when a mail was received.

    Raises:
        OSError: the port is taken or the directory cannot be used.
        InboxTooNewError: a newer version wrote the file.
        sqlite3.Error: the file is damaged or the disk is full.
    """
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 -- once, before anything runs
    inbox = Inbox(directory=directory, clock=clock, limits=limits)
    try:
        await inbox.listen(host, smtp_port)
        yield inbox
    finally:
        await inbox.close()
