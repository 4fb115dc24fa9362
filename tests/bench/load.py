"""Send prepared HTTP/1.1 requests over kept-alive connections, as fast as they are answered."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import uvloop
from typing_extensions import override

SECONDS_MAX = 120


@dataclass(slots=True)
class Outcome:
    """Seconds from the first byte to the last answer, how often each status came, latencies."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter[int])
    latencies: list[float] = field(default_factory=list[float])

    @property
    def per_second(self) -> float:
        return sum(self.statuses.values()) / self.seconds


class _Connection(asyncio.Protocol):
    """One request at a time, taken from what all connections share."""

    def __init__(self, waiting: deque[bytes], outcome: Outcome, left: asyncio.Future[None]) -> None:
        self._waiting = waiting
        self._outcome = outcome
        self._left = left
        self._transport: asyncio.Transport | None = None
        self._read = b""
        self._sent_at = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    @override
    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._read = b""
        self._outcome.statuses[int(head[9:12])] += 1
        self._outcome.latencies.append(time.monotonic() - self._sent_at)
        self._next()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self._left.done():
            self._left.set_result(None)

    def _next(self) -> None:
        assert self._transport is not None
        if not self._waiting:
            self._transport.close()
            return
        self._sent_at = time.monotonic()
        self._transport.write(self._waiting.popleft())


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at < 0:
        return 0
    return int(lower[at + 15 :].partition(b"\r\n")[0])


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _send(port: int, requests: Iterable[bytes], connections: int) -> Outcome:
    loop = asyncio.get_running_loop()
    waiting, outcome = deque(requests), Outcome()
    left = [loop.create_future() for _ in range(connections)]
    started = time.monotonic()
    for future in left:
        await loop.create_connection(
            lambda future=future: _Connection(waiting, outcome, future), "127.0.0.1", port
        )
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*left)
    outcome.seconds = time.monotonic() - started
    return outcome


def send(port: int, requests: Iterable[bytes], connections: int) -> Outcome:
    """Send all of ``requests``; each connection waits for its answer before its next."""
    return uvloop.run(_send(port, requests, connections))
