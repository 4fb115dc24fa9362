"""``/api/v1/dead-letters/ingest``: deliveries that the log never takes, on this process's disk."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path

from chappe.broker import Broker, BrokerError, RecordTooLarge
from chappe.events import RawRecord
from chappe.http import Page, Problem
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe.shards import unwrap
from chappe_ingest.application.set_aside import SetAside, Shelf, replay
from chappe_ingest.entrypoints.dead_letters_api import (
    BODY_MAX_BYTES,
    RETRY,
    DoneReplay,
    OpenedDeadLetter,
    ShownDeadLetter,
    opened,
)
from chappe_ingest.entrypoints.workspace import Authorise

Letter = Annotated[str, Path(max_length=100)]

_decode = msgspec.json.Decoder(RawRecord).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAsideDesk:
    """``shelf`` None: there is no data directory, and so nothing is ever set aside."""

    shelf: Shelf | None
    broker: Broker

    async def list(self, workspace: WorkspaceId) -> Sequence[SetAside]:
        if self.shelf is None:
            return ()
        found = await asyncio.to_thread(self.shelf.all)
        return [each for each in found if _is_of(each, workspace)]

    async def one(self, workspace: WorkspaceId, id_: str) -> SetAside:
        found = await asyncio.to_thread(self.shelf.one, id_) if self.shelf is not None else None
        if found is None or not _is_of(found, workspace):
            raise Problem(404, "there is no such dead letter")
        return found

    async def replay(self, workspace: WorkspaceId, id_: str) -> None:
        found = await self.one(workspace, id_)
        try:
            await replay(self.broker, found)
        except RecordTooLarge as error:
            detail = f"the log still does not take it: {error}; raise its limit, or discard it"
            raise Problem(409, detail) from None
        except (BrokerError, TimeoutError):
            raise Problem(503, "the log is away; call again later", headers=RETRY) from None
        await self.discard(workspace, id_)

    async def discard(self, workspace: WorkspaceId, id_: str) -> None:
        found = await self.one(workspace, id_)
        if self.shelf is not None:
            await asyncio.to_thread(self.shelf.discard, found.id)


def routes(desk: SetAsideDesk, authorise: Authorise) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/dead-letters/ingest", tags=["dead letters"], max_body_size=BODY_MAX_BYTES
    )
    workspace: Any = Depends(authorise)

    @router.get("")
    async def list_(
        limit: Limit = LIMIT_DEFAULT, workspace: WorkspaceId = workspace
    ) -> Page[ShownDeadLetter]:
        """The newest of this process; at most 500."""
        found = await desk.list(workspace)
        return Page(items=[ShownDeadLetter(**_row(each)) for each in found[:limit]], next=None)

    @router.get("/{letter}")
    async def show(letter: Letter, workspace: WorkspaceId = workspace) -> OpenedDeadLetter:
        """One of them, masked."""
        found = await desk.one(workspace, letter)
        return opened(_row(found) | {"value": _body(found)})

    @router.post("/{letter}/replay")
    async def replay_(letter: Letter, workspace: WorkspaceId = workspace) -> DoneReplay:
        """Into the log once more, now that it takes more; then it is no dead letter any longer."""
        await desk.replay(workspace, letter)
        return DoneReplay(replayed=1, unusable=0, more=False)

    @router.delete("/{letter}", status_code=204)
    async def discard(letter: Letter, workspace: WorkspaceId = workspace) -> None:
        """Throw it away."""
        await desk.discard(workspace, letter)

    _ = (list_, show, replay_, discard)
    return router


def _row(found: SetAside) -> dict[str, Any]:
    raw = _raw(found)
    return {
        "id": found.id,
        "stream": found.record.stream,
        "shard": found.record.record.partition,
        "offset": 0,
        "source": raw.source if raw is not None else None,
        "reason": found.why,
        "bytes": len(found.record.record.value),
        "at": found.at,
        "replayed_at": None,
    }


def _body(found: SetAside) -> bytes:
    try:
        return unwrap(found.record.record.value)[1]
    except msgspec.MsgspecError:
        return b""


def _raw(found: SetAside) -> RawRecord | None:
    try:
        return _decode(_body(found))
    except (msgspec.MsgspecError, ValueError):
        return None


def _is_of(found: SetAside, workspace: WorkspaceId) -> bool:
    """A record that cannot be read, or came while nobody could say whose it is, is everybody's."""
    raw = _raw(found)
    return raw is None or raw.workspace in {workspace, ""}
