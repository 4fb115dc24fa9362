"""A mailbox of returned mail: read a few at a time, marked as seen once it is kept."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest

from chappe.broker import BrokerUnavailable
from chappe.events import RAW_DELIVERY, RawDelivery
from chappe.shards import unwrap
from chappe_ingest.adapters.intake import ImapBox, mailbox_of
from chappe_ingest.application.inlet import LogAway
from chappe_ingest.application.returned import Returned
from tests.unit.ingest.door import PARTITIONS, Door


@dataclass
class Imap:
    """As much of an IMAP4rev1 server as a reader of returned mail meets."""

    mails: dict[int, bytes] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        while line := (await reader.readline()).decode().strip():
            tag, _, rest = line.partition(" ")
            for answer in self._answers(rest):
                writer.write(answer)
            writer.write(f"{tag} OK done\r\n".encode())
            await writer.drain()
            if rest.upper().startswith("LOGOUT"):
                break
        writer.close()

    def _answers(self, command: str) -> list[bytes]:
        match command.upper().split()[:2]:
            case ["CAPABILITY", *_]:
                return [b"* CAPABILITY IMAP4rev1\r\n"]
            case ["SELECT" | "EXAMINE", _]:
                count = len(self.mails)
                return [f"* {count} EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n".encode()]
            case ["UID", "SEARCH"]:
                new = " ".join(str(uid) for uid in sorted(set(self.mails) - self.seen))
                return [f"* SEARCH {new}\r\n".encode()]
            case ["UID", "FETCH"]:
                uid = int(command.split()[2])
                mail = self.mails[uid]
                head = f"* {uid} FETCH (UID {uid} BODY[]<0> {{{len(mail)}}}\r\n".encode()
                return [head, mail, b")\r\n"]
            case ["UID", "STORE"]:
                self.seen |= {int(uid) for uid in re.findall(r"\d+", command.split()[2])}
                return []
            case _:
                return []


@pytest.fixture
async def imap() -> AsyncIterator[Imap]:
    made = Imap()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


def box_of(door: Door, imap: Imap) -> ImapBox:
    returned = Returned(
        tokens=door.tokens,
        inlet=door.inlet,
        business=door.business,
        wall=door.wall,
        new_id=lambda prefix: f"{prefix}1",
    )
    return ImapBox(mailbox_of(f"imap://user:pass@127.0.0.1:{imap.port}/INBOX"), returned)


def mail_to(door: Door, message: str) -> bytes:
    local = door.tokens.sign_return("b", message)
    return f"Delivered-To: {local}@bounce.shop.example\r\nSubject: x\r\n\r\nbody\r\n".encode()


def kept(door: Door) -> list[RawDelivery]:
    return [
        msgspec.json.decode(unwrap(record.value)[1], type=RawDelivery)
        for partition in range(PARTITIONS)
        for record in door.broker.log(RAW_DELIVERY, partition).slice(0, 100)
    ]


async def test_what_is_new_is_kept_once_and_marked(imap: Imap) -> None:
    door = Door()
    imap.mails = {1: mail_to(door, "m_1"), 2: b"Subject: a letter\r\n\r\nhello\r\n"}
    box = box_of(door, imap)
    assert await box.take() == 2
    assert imap.seen == {1, 2}
    assert await box.take() == 0
    (raw,) = kept(door)
    assert raw.headers == {"return-kind": "b", "return-message": "m_1", "via": "imap"}
    assert raw.body == imap.mails[1]


async def test_while_nothing_can_be_stored_mail_stays_unseen_and_keeps_its_id(
    imap: Imap, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door()
    imap.mails = {1: mail_to(door, "m_1")}
    box = box_of(door, imap)
    with monkeypatch.context() as patched:

        async def away(*_: object) -> None:
            raise BrokerUnavailable("away")

        patched.setattr(door.broker, "append", away)
        with pytest.raises(LogAway):
            await box.take()
    assert imap.seen == set()
    assert await box.take() == 1
    imap.seen.clear()
    assert await box.take() == 1
    assert len({raw.id for raw in kept(door)}) == 1
