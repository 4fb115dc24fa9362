"""Read a mailbox of returned mail: what is unseen, a few at a time, seen only once it is kept."""

import asyncio
import imaplib
import ipaddress
import re
import ssl
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import unquote, urlsplit

import structlog

from chappe.ids import derived
from chappe_ingest import metrics
from chappe_ingest.application.inlet import LogAway
from chappe_ingest.application.returned import KEPT_BYTES, Returned

POLL_SECONDS: Final = 60.0
FAILED_SECONDS: Final = 120.0
ANSWER_SECONDS: Final = 30.0
MAILS_MAX: Final = 100
"""In one round; the next follows at once while there are more."""

IMAPS_PORT, IMAP_PORT = 993, 143
IMAP_VIA: Final = "imap"
_UIDVALIDITY = re.compile(rb"\d+")

logger = structlog.get_logger(__name__)


class MailboxError(ValueError):
    """The URL of the mailbox cannot be used; the message says why, without the password."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where to log in, and what to read."""

    host: str
    port: int
    tls: bool
    user: str
    password: str = field(repr=False)
    folder: str = "INBOX"


def mailbox_of(url: str) -> Mailbox:
    """``imaps://user:password@host[:port]/FOLDER``; ``imap://`` begins with STARTTLS, except on
    this machine. Raises ``MailboxError``.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise MailboxError("CHAPPE_BOUNCE_IMAP_URL is no URL") from None
    if parts.scheme not in {"imap", "imaps"} or not parts.hostname:
        raise MailboxError("CHAPPE_BOUNCE_IMAP_URL must be imaps://user:password@host/FOLDER")
    if not parts.username or parts.password is None:
        raise MailboxError("CHAPPE_BOUNCE_IMAP_URL names no user or no password")
    tls = parts.scheme == "imaps"
    folder = unquote(parts.path.strip("/")) or "INBOX"
    if re.search(r'[\x00-\x1f"\\]', folder):
        raise MailboxError("the folder in CHAPPE_BOUNCE_IMAP_URL has a character IMAP forbids")
    return Mailbox(
        host=parts.hostname,
        port=port or (IMAPS_PORT if tls else IMAP_PORT),
        tls=tls,
        user=unquote(parts.username),
        password=unquote(parts.password),
        folder=folder,
    )


@dataclass(frozen=True, slots=True)
class _Mail:
    uid: bytes
    id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ImapBox:
    """One mailbox, which should be for returned mail alone: what is not is marked as seen too."""

    mailbox: Mailbox
    returned: Returned

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                found = await self.take()
                wait = 0.0 if found >= MAILS_MAX else POLL_SECONDS
            except (OSError, imaplib.IMAP4.error, LogAway) as error:
                logger.warning("The mailbox was not read", host=self.mailbox.host, error=str(error))
                wait = FAILED_SECONDS
            await asyncio.sleep(wait)

    async def take(self) -> int:
        """One round; how many mails were looked at. Raises ``LogAway``, ``OSError``,
        ``imaplib.IMAP4.error``.
        """
        mails = await asyncio.to_thread(self._unseen)
        seen: list[bytes] = []
        try:
            for mail in mails:
                await self._keep(mail)
                seen.append(mail.uid)
        finally:
            if seen:
                await asyncio.to_thread(self._mark, seen)
        return len(mails)

    async def _keep(self, mail: _Mail) -> None:
        recipient = self.returned.recipient_in(mail.content)
        if recipient is None:
            metrics.RETURNED_MAILS.labels(IMAP_VIA, "unknown_recipient").inc()
            return
        await self.returned.keep(recipient, mail.content, via=IMAP_VIA, id_=mail.id)

    # -- in a thread ----------------------------------------------------------------------------

    def _unseen(self) -> list[_Mail]:
        with self._open(readonly=True) as (imap, validity):
            _, found = imap.uid("SEARCH", "UNSEEN")
            uids: list[bytes] = (found[0] or b"").split()[:MAILS_MAX]
            return [mail for uid in uids if (mail := self._fetch(imap, validity, uid)) is not None]

    def _fetch(self, imap: imaplib.IMAP4, validity: bytes, uid: bytes) -> _Mail | None:
        part = f"(BODY.PEEK[]<0.{KEPT_BYTES}>)"
        _, told = imap.uid("FETCH", uid.decode("ascii"), part)
        answers = cast("list[object]", told)
        pairs = [cast("tuple[bytes, bytes]", each) for each in answers if isinstance(each, tuple)]
        if not pairs:
            return None
        content = pairs[0][1]
        box = self.mailbox
        where = (box.host, box.user, box.folder, validity.decode("ascii"), uid.decode("ascii"))
        return _Mail(uid, derived("raw_", IMAP_VIA, *where), content)

    def _mark(self, uids: list[bytes]) -> None:
        with self._open(readonly=False) as (imap, _):
            imap.uid("STORE", b",".join(uids).decode("ascii"), "+FLAGS", r"(\Seen)")

    @contextmanager
    def _open(self, *, readonly: bool) -> Generator[tuple[imaplib.IMAP4, bytes]]:
        box = self.mailbox
        context = ssl.create_default_context()
        if box.tls:
            imap: imaplib.IMAP4 = imaplib.IMAP4_SSL(
                box.host, box.port, ssl_context=context, timeout=ANSWER_SECONDS
            )
        else:
            imap = imaplib.IMAP4(box.host, box.port, timeout=ANSWER_SECONDS)
        try:
            if not box.tls and not _is_here(box.host):
                imap.starttls(context)
            imap.login(box.user, box.password)
            imap.select(f'"{box.folder}"', readonly=readonly)
            _, told = imap.response("UIDVALIDITY")
            match = _UIDVALIDITY.search((told[0] or b"") if told else b"")
            yield imap, match[0] if match else b"0"
        finally:
            with suppress(OSError, imaplib.IMAP4.error):
                imap.logout()


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
