"""The little of HTTP that the hot addresses need, straight on ASGI.

Strangers send here. Every read has a bound and a deadline, and nothing raises into the server.
"""

import math
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from chappe.deadlines import Deadlines
from chappe_ingest.domain.verify import Headers

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

READ_SECONDS_MAX: Final = 10.0
"""From the head to the last byte of the body."""

DRAIN_MAX_BYTES: Final = 8 * 1024 * 1024
"""Read and thrown away, so that a sender of too much hears the answer."""

HEADER_MAX_CHARS: Final = 1_024
HEADERS_MAX_CHARS: Final = 16_384
"""All of them, names and values."""

QUERY_MAX_CHARS: Final = 2_048

IN_FLIGHT_MAX: Final = 2_000
IN_FLIGHT_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of bodies: two thousand requests of the largest size would be eight gigabytes."""


@dataclass(slots=True)
class Reply:
    """An answer. ``close`` ends the connection after it; ``start`` is its first message."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False
    start: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        headers = [*self.headers, (b"content-length", str(len(self.body)).encode())]
        if self.close:
            headers.append((b"connection", b"close"))
        self.start = {"type": "http.response.start", "status": self.status, "headers": headers}


class Refuse(Exception):
    """Stop here and answer this."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass(slots=True)
class Crowd:
    """Requests at the hot addresses that are being answered: a bound on what they hold in memory.

    When the log is slow they pile up; from ``most`` of them, or ``most_bytes`` of their bodies, a
    sender is asked to come again.
    """

    most: int = IN_FLIGHT_MAX
    most_bytes: int = IN_FLIGHT_BYTES_MAX
    inside: int = 0
    held_bytes: int = 0


@dataclass(slots=True)
class Request:
    """One request whose body has not been read yet. ``patience``: from head to last byte.

    ``held_bytes`` of its body count in ``crowd`` until whoever made the request gives them back.
    """

    method: str
    path: str
    headers: Headers
    client: str | None
    receive: Receive = field(repr=False)
    query: str = ""
    patience: Deadlines = field(default_factory=lambda: Deadlines(READ_SECONDS_MAX), repr=False)
    crowd: Crowd = field(default_factory=Crowd, repr=False)
    held_bytes: int = 0
    _first: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._first = dict(reversed(self.headers))

    def header(self, name: str) -> str:
        """The first value under ``name`` (in lower case), bounded; "" when absent."""
        return self._first.get(name, "")[:HEADER_MAX_CHARS]

    async def body(self, max_bytes: int) -> bytes:
        """The whole body.

        Refuses: more than ``max_bytes`` (413), too slow (408), a length that is told twice
        (400, RFC 9112 6.1), a client that went away.
        """
        told = self.header("content-length")
        if told and self.header("transfer-encoding"):
            detail = "both Content-Length and Transfer-Encoding were sent"
            raise Refuse(problem(400, detail, close=True))
        try:
            with self.patience.limit():
                if told.isdigit() and int(told[:20]) > max_bytes:
                    await self._drain()
                    raise Refuse(too_large(max_bytes))
                return await self._read(max_bytes)
        except TimeoutError:
            detail = f"the request was not complete within {READ_SECONDS_MAX:.0f} s"
            raise Refuse(problem(408, detail, close=True)) from None

    async def _read(self, max_bytes: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            chunk, more = await self._next()
            size += len(chunk)
            if size > max_bytes:
                if more:
                    await self._drain()
                raise Refuse(too_large(max_bytes))
            self._hold(len(chunk))
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _hold(self, size: int) -> None:
        self.held_bytes += size
        self.crowd.held_bytes += size
        if self.crowd.held_bytes > self.crowd.most_bytes:
            raise Refuse(try_again(close=True))

    async def _drain(self) -> None:
        left, more = DRAIN_MAX_BYTES, True
        while more and left > 0:
            chunk, more = await self._next()
            left -= len(chunk)

    async def _next(self) -> tuple[bytes, bool]:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise Refuse(Reply(499, close=True))
        return message.get("body", b""), message.get("more_body", False)


def request_of(scope: Scope, receive: Receive, patience: Deadlines, crowd: Crowd) -> Request:
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=scope["path"],
        headers=[(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]],
        client=client[0] if client else None,
        receive=receive,
        query=scope.get("query_string", b"").decode("latin-1")[:QUERY_MAX_CHARS],
        patience=patience,
        crowd=crowd,
    )


async def answer(send: Send, reply: Reply, *, head: bool = False) -> None:
    """Send ``reply``; to a HEAD without its body."""
    await send(reply.start)
    await send({"type": "http.response.body", "body": b"" if head else reply.body})


def problem(
    status: int,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    close: bool = False,
    more: Mapping[str, str] | None = None,
) -> Reply:
    """problem+json (RFC 9457). ``more``: members that some clients look for."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    if errors:
        document["errors"] = errors
    if more:
        document |= more
    kind = (b"content-type", b"application/problem+json")
    return Reply(status, msgspec.json.encode(document), (kind, *headers), close)


TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


def too_large(max_bytes: int) -> Reply:
    return problem(413, f"at most {max_bytes} bytes are taken here", close=True)


def try_again(*, close: bool = False) -> Reply:
    """The log is away: nothing was kept, so the sender should come again."""
    retry = ((b"retry-after", b"5"),)
    return problem(503, "the event could not be stored; try again", headers=retry, close=close)


def slow_down(seconds: float) -> Reply:
    """Over the rate of a documented limit: nothing was kept."""
    wait = str(max(1, math.ceil(seconds))).encode()
    headers = ((b"retry-after", wait), (b"x-ratelimit-reset", wait))
    return problem(429, "too many at once; come again when Retry-After says", headers=headers)


def method_not_allowed(*allowed: str) -> Reply:
    return problem(
        405, f"use {' or '.join(allowed)}", headers=((b"allow", ", ".join(allowed).encode()),)
    )


def media_type(request: Request) -> str:
    return request.header("content-type").partition(";")[0].strip().lower()


def inflated(body: bytes, max_bytes: int) -> bytes:
    """Undo gzip, to at most ``max_bytes``: a small bomb stays small. Refuses with 400 or 413."""
    machine = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = machine.decompress(body, max_bytes)
    except zlib.error:
        raise Refuse(problem(400, "Content-Encoding says gzip, the body is not")) from None
    if machine.unconsumed_tail:
        raise Refuse(too_large(max_bytes))
    if not machine.eof:
        raise Refuse(problem(400, "the gzip body ends too early"))
    return plain
