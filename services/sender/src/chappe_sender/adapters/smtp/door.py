"""Knock at a mail host's door and go away: nothing is sent."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from chappe_sender.domain.domain_check import NoAnswer

PORT: Final = 25
SECONDS_MAX: Final = 8.0
"""For one whole visit."""
LINE_OCTETS_MAX: Final = 4_096
LINES_MAX: Final = 100
_BEFORE_RCPT: Final = 2
"""EHLO and MAIL: a no to one of them is a no to everything."""


@dataclass(frozen=True, slots=True)
class Door:
    """``port`` and ``seconds`` are others in tests alone."""

    ehlo_name: str
    port: int = PORT
    seconds: float = SECONDS_MAX

    async def greeting(self, host: str, source: str | None = None) -> str:
        """What a host says first, from the address ``source`` if one is named. Raises
        ``NoAnswer``.
        """
        return (await self._visit(host, (), source))[0]

    async def ask(self, host: str, recipients: Sequence[str]) -> tuple[str, ...]:
        """What RCPT is answered with for each, as ``550 5.1.1 …``. Raises ``NoAnswer``."""
        commands = [f"EHLO {self.ehlo_name}", "MAIL FROM:<>"]
        commands += [f"RCPT TO:<{each}>" for each in recipients]
        return (await self._visit(host, commands, None))[3:]

    async def _visit(
        self, host: str, commands: Sequence[str], source: str | None
    ) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(self.seconds):
                return await self._talk(host, commands, source)
        except TimeoutError:
            raise NoAnswer(f"{host}:{self.port} says nothing within {self.seconds:g} s") from None
        except (OSError, ValueError) as error:
            raise NoAnswer(f"{host}:{self.port}: {error}") from None

    async def _talk(
        self, host: str, commands: Sequence[str], source: str | None
    ) -> tuple[str, ...]:
        reader, writer = await asyncio.open_connection(
            host,
            self.port,
            limit=LINE_OCTETS_MAX,
            local_addr=(source, 0) if source is not None else None,
        )
        try:
            said = [await _reply(reader)]
            for number, command in enumerate(commands):
                if number <= _BEFORE_RCPT and not said[-1].startswith("2"):
                    raise NoAnswer(f"{host}:{self.port} says {said[-1]}")
                writer.write(f"{command}\r\n".encode("ascii"))
                await writer.drain()
                said.append(await _reply(reader))
            writer.write(b"QUIT\r\n")
            with suppress(OSError):
                await writer.drain()
            return tuple(said)
        finally:
            writer.close()


async def _reply(reader: asyncio.StreamReader) -> str:
    """The last line of one reply."""
    for _ in range(LINES_MAX):
        raw = await reader.readline()  # a ValueError where a line is too long
        if not raw.endswith(b"\n"):
            raise ValueError("it hung up")
        line = raw.decode("ascii", "replace").rstrip()
        if not line[:3].isdecimal():
            raise ValueError(f"{line[:80]!r} is no SMTP")
        if line[3:4] != "-":
            return line[:300]
    raise ValueError("it talks too much")
