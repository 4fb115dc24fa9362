"""``GET /api/v1/live``: server-sent events, as things happen.

Each ``data:`` is one line of a timeline with its contact and, when known, its e-mail; a watcher
that was too slow gets ``event: lagged`` with how many lines it lost. In a cluster a process shows
what it applied itself: its own shards.

``?raw=events`` shows canonical events instead, of every shard, read from where they are kept, so
nothing is lost; ``&from=earliest`` begins with the last 14 days.
"""

from collections.abc import AsyncGenerator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from chappe.clock import monotonic
from chappe.http import Problem
from chappe.ids import WorkspaceId
from chappe_analytics.application.live import Live, TooManyWatchers, Watcher
from chappe_analytics.application.ports import EventLog, KeptEvent
from chappe_analytics.application.tailing import Tail
from chappe_analytics.entrypoints.workspace import Check

HEARTBEAT_SECONDS = 15.0
TAIL_POLL_SECONDS = 1.0
"""How soon a tail sees what another process applied; what this one applies wakes it at once."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
HELLO = b": chappe\n\n"
HEARTBEAT = b": still here\n\n"


def live_routes(live: Live, log: EventLog, check: Check) -> APIRouter:
    router = APIRouter(tags=["live"])

    @router.get("/api/v1/live")
    async def stream(
        workspace: Annotated[WorkspaceId, Depends(check)],
        raw: Annotated[Literal["events"] | None, Query()] = None,
        start: Annotated[Literal["earliest", "now"], Query(alias="from")] = "now",
    ) -> StreamingResponse:
        """Watch. The token may stand in ``?token=``."""
        if live.full:
            raise Problem(503, "too many are watching already", headers={"Retry-After": "10"})
        body = (
            _lines(live, workspace)
            if raw is None
            else _events(live, workspace, Tail(log, workspace), earliest=start == "earliest")
        )
        return StreamingResponse(body, media_type="text/event-stream", headers=HEADERS)

    _ = stream
    return router


async def _lines(live: Live, workspace: WorkspaceId) -> AsyncGenerator[bytes]:
    try:
        with live.watch(workspace) as watcher:
            yield HELLO
            while not live.closed:
                await watcher.wait(HEARTBEAT_SECONDS)
                yield _taken(watcher) or HEARTBEAT
    except TooManyWatchers:
        return


def _taken(watcher: Watcher) -> bytes:
    lines, dropped = watcher.take()
    shown = b"".join(b"data: %b\n\n" % line for line in lines)
    if dropped:
        shown += b'event: lagged\ndata: {"dropped":%d}\n\n' % dropped
    return shown


async def _events(
    live: Live, workspace: WorkspaceId, tail: Tail, *, earliest: bool
) -> AsyncGenerator[bytes]:
    try:
        with live.watch(workspace) as watcher:
            await tail.begin()
            yield HELLO
            if earliest:
                async for page in tail.kept():
                    yield _shown(page)
            heard = monotonic()
            while not live.closed:
                if page := await tail.new():
                    yield _shown(page)
                    heard = monotonic()
                    continue
                if monotonic() - heard >= HEARTBEAT_SECONDS:
                    yield HEARTBEAT
                    heard = monotonic()
                await watcher.wait(TAIL_POLL_SECONDS)
                watcher.take()
    except TooManyWatchers:
        return


def _shown(events: list[KeptEvent]) -> bytes:
    return b"".join(b"data: %b\n\n" % event.body for event in events)
