"""A mail server that remembers every message, and hangs up at any stage when the dice say so."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

LINE_OCTETS_MAX = 1024 * 1024
_ID = re.compile(rb"^Chappe-Message: (\S+)\r$", re.MULTILINE)
_HEADER_ID = re.compile(rb"^Message-ID: (<\S+>)\r$", re.MULTILINE | re.IGNORECASE)


class Drop(StrEnum):
    """When the server hangs up."""

    BANNER = "before the banner"
    EHLO = "instead of the answer to EHLO"
    MAIL = "instead of the answer to MAIL"
    RCPT = "instead of the answer to RCPT"
    DATA = "instead of the answer to DATA"
    CONTENT = "in the middle of the content"
    DOT_LOST = "after the final dot, without having kept the message"
    DOT_KEPT = "after the final dot, with the message kept"
    ANSWERED = "after its answer"


IN_DOUBT = frozenset({Drop.DOT_LOST, Drop.DOT_KEPT})
"""What no client can tell apart."""
NEVER: dict[Drop, float] = {}
_VERBS = {b"EHLO": Drop.EHLO, b"MAIL": Drop.MAIL, b"RCPT": Drop.RCPT, b"DATA": Drop.DATA}


@dataclass(frozen=True, slots=True)
class Kept:
    """One message as it came: ``id`` is our own, ``header_id`` its Message-ID."""

    id: str
    header_id: str
    content: bytes


@dataclass
class DroppingSink:
    """``odds``: how likely each stage is to be the last one of a connection."""

    dice: random.Random
    odds: dict[Drop, float] = field(default_factory=dict)
    port: int = 0
    kept: dict[str, list[Kept]] = field(default_factory=dict)
    dropped: Counter[Drop] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    """Final dots without an answer, by message."""
    open: int = 0
    most_open: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def copies(self) -> int:
        return sum(len(each) for each in self.kept.values())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if not self._drops(Drop.BANNER):
                writer.write(b"220 sink\r\n")
                while await self._command(reader, writer):
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender was killed
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.transport.abort()

    async def _command(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One command and its answer; whether the connection goes on."""
        verb = (await reader.readuntil(b"\r\n"))[:4].upper()
        drop = _VERBS.get(verb)
        if drop is not None and self._drops(drop):
            return False
        match verb:
            case b"EHLO":
                writer.write(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            case b"DATA":
                writer.write(b"354 go on\r\n")
                await writer.drain()
                return await self._content(reader, writer)
            case b"QUIT":
                writer.write(b"221 bye\r\n")
                await writer.drain()
                return False
            case _:
                writer.write(b"250 2.0.0 ok\r\n")
        return True

    async def _content(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self._drops(Drop.CONTENT):
            await reader.read(200)
            return False
        content = await reader.readuntil(b"\r\n.\r\n")
        mail = _read(content)
        if self._drops(Drop.DOT_LOST):
            self.unanswered[mail.id] += 1
            return False
        self.kept.setdefault(mail.id, []).append(mail)
        if self._drops(Drop.DOT_KEPT):
            self.unanswered[mail.id] += 1
            return False
        writer.write(b"250 2.0.0 kept\r\n")
        if not self._drops(Drop.ANSWERED):
            return True
        await writer.drain()
        writer.write_eof()  # a reset could overtake the answer
        await reader.read(-1)
        return False

    def _drops(self, drop: Drop) -> bool:
        if self.dice.random() >= self.odds.get(drop, 0.0):
            return False
        self.dropped[drop] += 1
        return True

    def hang_up(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()


def _read(content: bytes) -> Kept:
    head = content.partition(b"\r\n\r\n")[0] + b"\r\n"
    own, header = _ID.search(head), _HEADER_ID.search(head)
    assert own is not None, head
    assert header is not None, head
    return Kept(own[1].decode(), header[1].decode(), content)


@asynccontextmanager
async def sinking(dice: random.Random, odds: dict[Drop, float]) -> AsyncGenerator[DroppingSink]:
    """A sink on a free loopback port."""
    sink = DroppingSink(dice, odds)
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, limit=LINE_OCTETS_MAX)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        sink.hang_up()
        await server.wait_closed()
