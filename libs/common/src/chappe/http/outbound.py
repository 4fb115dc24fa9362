"""Ask a stranger's HTTP server without being made to ask our own.

Everything that calls an address a person or a shop configured goes through here: hydrators,
pollers, key sets, e-mail providers. A name is resolved once, every address it has must be public,
and the connection goes to the very address that was checked, with the certificate checked against
the name; so a name that changes its mind between the look and the call gains nothing (OWASP, SSRF
prevention). Redirects are not followed, proxies of the environment not used, cookies not kept.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import httpcore
import httpx
from typing_extensions import override

from chappe.http.outbound_addresses import Address, is_loopback, is_public, parsed

HTTPS_PORT = 443
ANSWER_BYTES = 4 * 1024 * 1024
HEAD_BYTES = 64 * 1024
URL_CHARACTERS = 8_192
ADDRESSES_TRIED = 4
KEPT_OPEN_SECONDS = 15.0
OURS = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class OutboundError(Exception):
    """Why there is no answer; the message is a sentence without secrets.

    OutboundError
    ├── OutboundRefused      we will not ask that: a mistake in a setting, or an attack
    └── OutboundUnreachable  nobody answered, or not in time; may be asked again
    """


class OutboundRefused(OutboundError):
    """Asking it would leave the public Internet, or break a rule of this client."""


class OutboundUnreachable(OutboundError):
    """No whole answer. ``sent`` is False only when no byte of the request can have left."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """What came back. ``headers`` have lower-case names; of repeated ones the first counts.

    ``truncated`` says that the body was longer than the limit: ``body`` is then its beginning.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool = False


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says, asked in a thread."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Outbound:
    """A client for addresses that come from outside. One per process and purpose; close it.

    ``allow_loopback`` is for tests and demos on one machine: ``http`` and any port are then
    allowed, to loopback addresses only. ``ports`` are those allowed on the public Internet.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        timeout_seconds: float = 10.0,
        max_connections: int = 64,
        ports: Iterable[int] = (HTTPS_PORT,),
        resolve: Resolve = system_addresses,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._timeout = timeout_seconds
        allowed = frozenset(ports)

        def pool(scheme: Literal["http", "https"]) -> httpcore.AsyncConnectionPool:
            return httpcore.AsyncConnectionPool(
                ssl_context=(tls or httpx.create_ssl_context()) if scheme == "https" else None,
                max_connections=max_connections,
                keepalive_expiry=KEPT_OPEN_SECONDS,
                network_backend=_CheckedNetwork(
                    resolve=resolve,
                    public_ports=allowed if scheme == "https" else frozenset(),
                    allow_loopback=allow_loopback,
                ),
            )

        self._https = pool("https")
        self._http = pool("http")

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        limit_bytes: int = ANSWER_BYTES,
        timeout_seconds: float | None = None,
    ) -> OutboundAnswer:
        """One request, one answer of any status, all within the deadline.

        Raises ``OutboundRefused`` or ``OutboundUnreachable``.
        """
        target = self._checked(url)
        seen = _Sent()
        request = _request(method, target, headers or {}, content, seen)
        seconds = self._timeout if timeout_seconds is None else timeout_seconds
        pool = self._https if target.scheme == "https" else self._http
        host = target.host
        try:
            async with asyncio.timeout(seconds):
                return await _ask(pool, request, limit_bytes)
        except TimeoutError as error:
            message = f"{host} did not answer within {seconds:g} s"
            raise OutboundUnreachable(message, sent=seen.sent) from error
        except httpcore.LocalProtocolError as error:
            raise OutboundRefused(f"the request is not valid HTTP: {error}") from error
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            reason = str(error) or type(error).__name__
            raise OutboundUnreachable(f"{host}: {reason}", sent=seen.sent) from error
        except (httpcore.ProtocolError, ssl.SSLError, OSError) as error:
            message = f"{host} does not speak HTTP as it should: {error}"
            raise OutboundUnreachable(message, sent=seen.sent) from error

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        await self._https.aclose()
        await self._http.aclose()

    def _checked(self, text: str) -> httpx.URL:
        if len(text) > URL_CHARACTERS:
            raise OutboundRefused(f"the address is longer than {URL_CHARACTERS} characters")
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise OutboundRefused(f"not an address: {error}") from error
        if url.scheme != "https" and not (url.scheme == "http" and self._allow_loopback):
            raise OutboundRefused(f"only https addresses are asked, not {url.scheme or 'that'}")
        if not url.host:
            raise OutboundRefused("the address names no host")
        if url.userinfo or "@" in text.split("://", 1)[-1].split("/", 1)[0]:
            raise OutboundRefused("the address carries a user or a password")
        return url


@dataclass(slots=True)
class _Sent:
    """Whether the first byte of a request may have left; told by httpcore's trace."""

    sent: bool = False

    async def __call__(self, event: str, _: Mapping[str, object]) -> None:
        if event.endswith("send_request_headers.started"):
            self.sent = True


def _request(
    method: str,
    url: httpx.URL,
    headers: Mapping[str, str],
    content: bytes | None,
    seen: _Sent,
) -> httpcore.Request:
    ours = sorted(name for name in headers if name.lower() in OURS)
    if ours:
        raise OutboundRefused(f"the client sets {', '.join(ours)} itself")
    # What is compressed cannot be bounded before it is inflated, so it is not asked for.
    pairs = [("Host", url.netloc.decode("ascii")), ("Accept-Encoding", "identity")]
    pairs += headers.items()
    if content is not None:
        pairs.append(("Content-Length", str(len(content))))
    try:
        encoded = [(name.encode("ascii"), value.encode("utf-8")) for name, value in pairs]
        verb = method.encode("ascii")
    except UnicodeEncodeError as error:
        raise OutboundRefused("a method or a header's name is not ASCII") from error
    return httpcore.Request(
        verb,
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=encoded,
        content=content,
        extensions={"trace": seen},
    )


async def _ask(
    pool: httpcore.AsyncConnectionPool, request: httpcore.Request, limit_bytes: int
) -> OutboundAnswer:
    response = await pool.handle_async_request(request)
    try:
        headers = _headers(response.headers)
        encoding = headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise httpcore.RemoteProtocolError(f"a body in {encoding} was not asked for")
        body = bytearray()
        truncated = False
        async for chunk in response.aiter_stream():
            room = limit_bytes - len(body)
            body += chunk[:room]
            if len(chunk) > room:
                truncated = True
                break
        return OutboundAnswer(response.status, headers, bytes(body), truncated)
    finally:
        await response.aclose()


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    if sum(len(name) + len(value) for name, value in raw) > HEAD_BYTES:
        raise httpcore.RemoteProtocolError(f"more than {HEAD_BYTES} bytes of headers")
    headers: dict[str, str] = {}
    for name, value in raw:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolve, check, and connect to what was checked; TLS above it still knows the name."""

    def __init__(
        self, *, resolve: Resolve, public_ports: frozenset[int], allow_loopback: bool
    ) -> None:
        self._resolve = resolve
        self._public_ports = public_ports
        self._allow_loopback = allow_loopback
        # httpcore hides its class from type checkers where anyio might be missing.
        self._sockets = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._addresses(host, port)
        problem: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in addresses[:ADDRESSES_TRIED]:
            try:
                return await self._sockets.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                problem = error
        raise problem or httpcore.ConnectError("the name has no address")

    @override
    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise OutboundRefused("a socket of this machine is not asked")

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        literal = parsed(host.strip("[]"))
        if literal is not None:
            found = [literal]
        else:
            try:
                texts = await self._resolve(host, port)
            except (OSError, UnicodeError) as error:
                raise httpcore.ConnectError("the name does not resolve") from error
            found = [address for text in texts if (address := parsed(text)) is not None]
        for address in found:
            self._check(host, address, port)
        return found

    def _check(self, host: str, address: Address, port: int) -> None:
        if self._allow_loopback and is_loopback(address):
            return
        if not is_public(address):
            raise OutboundRefused(f"{host} is {address}, which is not a public address")
        if not self._public_ports:
            raise OutboundRefused(f"{host} is asked with https only")
        if port not in self._public_ports:
            allowed = ", ".join(str(each) for each in sorted(self._public_ports))
            raise OutboundRefused(f"port {port} of {host} is not asked, only {allowed}")
