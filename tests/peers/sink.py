"""``smtp-sink`` of Postfix: a server that drops or refuses where it is told to."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.peers.programs import PATH, free_port, program

START_SECONDS: Final = 10.0
BACKLOG: Final = "100"


@dataclass(frozen=True, slots=True)
class Sink:
    port: int
    root: Path

    def dumped(self) -> list[bytes]:
        """The mails it took, as it wrote them down."""
        return [path.read_bytes() for path in sorted(self.root.glob("mail.*"))]

    def dumped_with(self, mark: bytes, seconds: float = 20.0) -> bytes:
        """The one that holds ``mark``; waits for it."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = next((raw for raw in self.dumped() if mark in raw), None)
            if found is not None and found.endswith(b"\n\n"):
                return found
            time.sleep(0.02)
        raise AssertionError(f"no mail with {mark!r} among {len(self.dumped())}")


@contextmanager
def sink(port: int | None = None, *options: str, dump: bool = False) -> Generator[Sink]:
    """As the user ``nobody``. ``dump``: write every mail to a file of its own."""
    root = Path(tempfile.mkdtemp(prefix="chappe-sink-"))
    shutil.chown(root, "nobody")
    chosen = port or free_port()
    kept = ["-d", f"{root}/mail."] if dump else []
    command = [program("smtp-sink"), "-u", "nobody", *kept, *options]
    server = subprocess.Popen(
        [*command, f"127.0.0.1:{chosen}", BACKLOG],
        env={"PATH": PATH},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _wait(chosen, server)
        yield Sink(chosen, root)
    finally:
        server.terminate()
        server.communicate()
        shutil.rmtree(root, ignore_errors=True)


def _wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    server.kill()
    raise AssertionError(f"smtp-sink did not start: {server.communicate()[1]!r}")
