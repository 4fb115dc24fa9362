"""HTTP servers that share the process's loop, its sockets bound by us and its signals ours."""

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Generator

import uvicorn
from typing_extensions import override

from chappe_onebox.box.failures import CannotStart

BACKLOG = 1024
GRACE_SECONDS = 3
"""What is still being answered at a stop has this long; then its connection is cut."""
HEAD_SECONDS = 1.0
"""How often the Date header is renewed."""


class WebServer(uvicorn.Server):
    """uvicorn without its signal handlers, and without its ten looks a second."""

    def __init__(self, app: Callable[..., Awaitable[None]], name: str) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                loop="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self.name = name
        self._leaving = asyncio.Event()

    async def run_on(self, listening: socket.socket) -> None:
        """Serve until ``leave``."""
        await self.serve([listening])

    def leave(self) -> None:
        """Accept nothing more, finish what is being answered, return from ``run_on``."""
        self.should_exit = True
        self._leaving.set()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    @override
    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 10) % 864_000  # a multiple of ten renews the Date header
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEAD_SECONDS):
                    await self._leaving.wait()


def listen(host: str, port: int, option: str) -> socket.socket:
    """Bind a port, 0 for a free one. Raises ``CannotStart`` naming the option to change."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # The protocol is named, or the loop does not set TCP_NODELAY on what it accepts.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise port_failure(error, host, port, option) from error
    return listening


def port_failure(error: OSError, host: str, port: int, option: str) -> CannotStart:
    """What an error at a port means for somebody who wants to start."""
    if error.errno == errno.EADDRINUSE:
        return CannotStart(
            f"port {port} is taken: stop what listens there, or choose another "
            f"with {option} (0 takes a free one)"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return CannotStart(
            f"port {port} is not for us ({error.strerror}): choose another: {option}"
        )
    return CannotStart(f"cannot listen on {host}:{port} ({error.strerror or error}): see --host")


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def url_of(host: str, port: int) -> str:
    """Where a person on this machine finds what listens on ``host``; no trailing slash."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://127.0.0.1:{port}"
    name = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
    return f"http://{name}:{port}"
