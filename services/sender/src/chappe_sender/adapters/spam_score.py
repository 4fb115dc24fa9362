"""What SpamAssassin says of a mail, where it is installed."""

import asyncio
import re
import shutil

SECONDS_MAX = 30.0
_SCORE = re.compile(rb"^(-?[0-9.]+)/[0-9.]+", re.MULTILINE)
_HEADER_SCORE = re.compile(rb"score=(-?[0-9.]+)")


async def spam_score(raw: bytes) -> float | None:
    """Points; 5 is spam by SpamAssassin's own measure. None: it is not here, or says nothing."""
    for command, pattern in (
        (("spamc", "-c"), _SCORE),
        (("spamassassin", "--local", "--test-mode"), _HEADER_SCORE),
    ):
        if shutil.which(command[0]) is None:
            continue
        said = await _asked(command, raw)
        found = pattern.search(said)
        # spamc says 0/0 where its daemon does not answer.
        if found is not None and not said.startswith(b"0/0"):
            return float(found[1])
    return None


async def _asked(command: tuple[str, ...], raw: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            said, _ = await process.communicate(raw)
    except TimeoutError:
        process.kill()
        await process.wait()
        return b""
    return said
