"""SpamAssassin's daemon, asked about a mail as a receiver would see it. Rules only, no network."""

import asyncio
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.peers.programs import PATH, program

START_SECONDS: Final = 60.0
SECONDS: Final = 60.0
_RULE: Final = re.compile(r"^ *(-?\d+(?:\.\d)?) ([A-Z][A-Z0-9_]+)", re.MULTILINE)

TRACE: Final = """\
Return-Path: <{back}>\r
Received: from sender.shop.example (sender.shop.example [{address}])\r
\tby mx.example.com (Postfix) with ESMTPS id 4XyZab12Cd\r
\tfor <{to}>; {date}\r
"""
"""What the receiver's own server puts on top."""
OUTSIDE: Final = "198.51.100.7"


@dataclass(frozen=True, slots=True)
class Daemon:
    port: int

    async def rules(self, raw: bytes) -> dict[str, float]:
        """The rules that hit, with their points."""
        process = await asyncio.create_subprocess_exec(
            program("spamc"), "-d", "127.0.0.1", "-p", str(self.port), "-R", "--no-safe-fallback",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(SECONDS):
            said, _ = await process.communicate(raw)
        assert b"Content analysis details" in said, said
        return {name: float(points) for points, name in _RULE.findall(said.decode())}


@contextmanager
def daemon(port: int) -> Generator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="chappe-spamd-") as root:
        Path(root).chmod(0o755)
        log = Path(root) / "log"
        running = subprocess.Popen(
            [
                program("spamd"), "--local", "--listen", f"127.0.0.1:{port}", "--nouser-config",
                "--username", "nobody", "--helper-home-dir", "/nonexistent",
                "--max-children", "2", "--syslog", str(log), "--pidfile", f"{root}/pid",
            ],
            env={"PATH": PATH, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(port, running, log)
            yield Daemon(port)
        finally:
            running.terminate()
            running.wait()


def _wait(port: int, running: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and running.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    said = log.read_text() if log.exists() else ""
    raise AssertionError(f"spamd did not start: {said}")
