"""Stand before the app and add what every answer carries."""

from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Door:
    """An ASGI app with safe headers; the named origins may read it from a browser (GET alone)."""

    def __init__(self, app: ASGIApp, *, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = set(origins)

    def allow_origin(self, origin: str) -> None:
        """Let pages of ``http://host:port`` read the inbox, once that port is known."""
        self._origins.add(origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin", "")
        extra: dict[str, Any] = dict(ALWAYS)
        if origin in self._origins:
            extra |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(extra)
            await send(message)

        await self._app(scope, receive, send_with_headers)
