"""swaks: the Swiss army knife of SMTP clients, as a stranger at a door of ours."""

import asyncio
from typing import Final

from tests.peers.programs import program

SECONDS: Final = 30.0
TAKEN, NOT_RECIPIENT, NOT_DATA, NO_TLS = 0, 24, 26, 29
"""It says by its exit code what failed."""


async def swaks(port: int, to: str, *options: str) -> tuple[int, str]:
    """From nobody. Its exit code and all that was said."""
    process = await asyncio.create_subprocess_exec(
        program("swaks"), "--server", "127.0.0.1", "--port", str(port), "--timeout", "20s",
        "--from", "<>", "--to", to, *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def smtp_source(port: int, to: str, *, mails: int, sessions: int) -> None:
    """Postfix's load generator."""
    process = await asyncio.create_subprocess_exec(
        program("smtp-source"), "-m", str(mails), "-s", str(sessions), "-l", "4000", "-f", "",
        "-t", to, f"inet:127.0.0.1:{port}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        said, _ = await process.communicate()
    assert process.returncode == 0, said
