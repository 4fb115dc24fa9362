"""A small SMTP server that does as it is told, at every stage, and remembers what it accepted."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CUT = "cut"
"""As an answer: close the connection instead."""
GATED = "gated"
"""As an answer: wait until the script's gate opens, then answer as usual."""
SILENT = "silent"
"""As an answer: say nothing and keep the connection open."""


@dataclass
class Script:
    """What to answer, by command; ``dot`` is the verdict, ``dot_first`` acts before it is read.

    A value may be a list: one answer each time, the last one for ever.
    """

    features: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 1000000", "SMTPUTF8")
    banner: str = "220 here"
    answers: dict[str, str | list[str]] = field(default_factory=dict)
    cut_in_content_after: int | None = None
    answer_in_content: str | None = None
    tls: ssl.SSLContext | None = None
    features_in_tls: tuple[str, ...] = ("PIPELINING",)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    keep_silently: bool = False
    """Accept what gets a silent verdict."""


@dataclass
class ScriptedServer:
    script: Script
    port: int = 0
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    accepted: list[bytes] = field(default_factory=list)
    closed: int = 0
    unanswered: int = 0
    """Final dots that got no verdict."""
    chunks: list[bytes] = field(default_factory=list)
    """What arrived in one read: commands that were sent together."""
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def answer(self, command: str, usual: str) -> str:
        said = self.script.answers.get(command, usual)
        if isinstance(said, list):
            return said.pop(0) if len(said) > 1 else said[0]
        return said

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        lines = _Lines(reader, self.chunks)
        try:
            await self._say(writer, self.answer("banner", self.script.banner))
            while (line := await lines.next()) is not None:
                if not await self._command(line.decode("utf-8"), lines, writer):
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass  # the test is over
        finally:
            self.closed += 1
            writer.close()

    async def _command(self, line: str, lines: "_Lines", writer: asyncio.StreamWriter) -> bool:
        self.commands.append(line)
        verb = line.split(" ", 1)[0].upper().partition(":")[0]
        match verb:
            case "EHLO":
                offered = ["here", *self.script.features]
                usual = "\r\n".join(
                    f"250{'-' if n < len(offered) - 1 else ' '}{each}"
                    for n, each in enumerate(offered)
                )
                return await self._say(writer, self.answer("EHLO", usual))
            case "DATA":
                usual = "354 go on" if lines.recipients else "554 5.5.1 no valid recipients"
                said = self.answer("DATA", usual)
                if said == GATED:
                    await self.script.gate.wait()
                    said = usual
                return await self._say(writer, said) and (
                    not said.startswith("354") or await self._content(lines, writer)
                )
            case "QUIT":
                await self._say(writer, "221 bye")
                return False
            case _:
                command = line if line in self.script.answers else verb
                usual = "220 go" if verb == "STARTTLS" else "250 2.0.0 ok"
                said = self.answer(command, usual)
                if verb == "STARTTLS" and self.script.tls is not None:
                    await self._say(writer, said)
                    await writer.start_tls(self.script.tls)
                    self.script.features = self.script.features_in_tls
                    return True
                if verb in {"RCPT", "MAIL", "RSET"}:
                    lines.recipients = verb == "RCPT" and said.startswith("250")
                return await self._say(writer, said)

    async def _content(self, lines: "_Lines", writer: asyncio.StreamWriter) -> bool:
        content: list[bytes] = []
        while (line := await lines.next()) is not None:
            if line == b".":
                said = self.answer("dot", "250 2.0.0 queued")
                if said == GATED:
                    self.unanswered += 1
                    await self.script.gate.wait()
                    said = "250 2.0.0 queued at last"
                if said == SILENT:
                    self.unanswered += 1
                kept = said == SILENT and self.script.keep_silently
                if kept or said.startswith(("250", "take")):
                    self.accepted.append(b"".join(content))
                return await self._say(writer, said.removeprefix("take-and-"))
            content.append(line.removeprefix(b".") + b"\r\n")
            if self.script.answer_in_content is not None and len(content) == 1:
                return await self._say(writer, self.script.answer_in_content)
            if self.script.cut_in_content_after == len(content):
                writer.transport.abort()
                return False
        return False

    async def _say(self, writer: asyncio.StreamWriter, said: str) -> bool:
        if said == CUT:
            writer.transport.abort()
            return False
        if said != SILENT:
            writer.write(said.encode() + b"\r\n")
            await writer.drain()
        return True

    def close_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


class _Lines:
    def __init__(self, reader: asyncio.StreamReader, chunks: list[bytes]) -> None:
        self._reader = reader
        self._chunks = chunks
        self._tail = b""
        self.recipients = False

    async def next(self) -> bytes | None:
        while b"\r\n" not in self._tail:
            chunk = await self._reader.read(65_536)
            if not chunk:
                return None
            self._chunks.append(chunk)
            self._tail += chunk
        line, _, self._tail = self._tail.partition(b"\r\n")
        return line


@asynccontextmanager
async def scripted(
    script: Script | None = None, *, implicit_tls: ssl.SSLContext | None = None, **answers: str
) -> AsyncGenerator[ScriptedServer]:
    """A server on a free loopback port."""
    script = script or Script()
    script.answers.update(answers)
    server = ScriptedServer(script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=implicit_tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        server.close_all()
        await listening.wait_closed()
