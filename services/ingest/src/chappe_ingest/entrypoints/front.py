"""The edge's front: the hot addresses straight on ASGI, everything else by the API behind it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog

from chappe.deadlines import Deadlines
from chappe_ingest.entrypoints.asgi import (
    READ_SECONDS_MAX,
    App,
    Crowd,
    Receive,
    Refuse,
    Reply,
    Request,
    Scope,
    Send,
    answer,
    problem,
    request_of,
    try_again,
)

Handler: TypeAlias = Callable[[Request, str], Awaitable[Reply]]

PATTERNS: Final = (
    "/in/*",
    "/v1/*",
    "/providers/*",
    "/o/*",
    "/c/*",
    "/u/*",
    "/api/v1/sources",
    "/api/v1/sources/*",
    "/api/v1/identities/*",
    "/api/v1/imports",
    "/api/v1/imports/*",
    "/api/v1/events",
    "/api/v1/dead-letters/ingest",
    "/api/v1/dead-letters/ingest/*",
)
"""The addresses that this process owns."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Front:
    """An ASGI app. ``hot`` maps a first path segment to its handler, which gets the rest."""

    hot: dict[str, Handler]
    api: App
    crowd: Crowd = field(default_factory=Crowd)
    patience: Deadlines = field(default_factory=lambda: Deadlines(READ_SECONDS_MAX))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        path: str = scope["path"]
        first, _, rest = path[1:].partition("/")
        handler = self.hot.get(first)
        if handler is None:
            await self.api(scope, receive, send)
            return
        if self.crowd.inside >= self.crowd.most:
            reply = try_again()
        else:
            request = request_of(scope, receive, self.patience, self.crowd)
            self.crowd.inside += 1
            try:
                reply = await _handled(handler, request, rest)
            finally:
                self.crowd.inside -= 1
                self.crowd.held_bytes -= request.held_bytes
        await answer(send, reply, head=scope["method"] == "HEAD")


async def _handled(handler: Handler, request: Request, rest: str) -> Reply:
    try:
        return await handler(request, rest)
    except Refuse as refused:
        return refused.reply
    except Exception:
        # The door stays open for everybody else; the sender is told to come again.
        logger.exception("A handler failed", path=request.path.partition("/")[2].partition("/")[0])
        return problem(500, "something failed here; it was logged")
