"""``/api/v1/dead-letters/resolver``: the deliveries nobody could use, and why."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Protocol

import msgspec
from fastapi import APIRouter, Body, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from chappe.broker import BrokerError
from chappe.events import RawRecord
from chappe.http import FieldError, Page, Problem, cursor_of, position_of
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe_ingest.application.replay import Replay, Selection
from chappe_ingest.domain import marks
from chappe_ingest.domain.masking import masked
from chappe_ingest.entrypoints.workspace import Authorise

BODY_MAX_BYTES: Final = 65_536
IDS_MAX: Final = 1_000
RETRY: Final = {"Retry-After": "5"}

_SECRET = re.compile(r"auth|cookie|sign|hmac|token|secret|key|forwarded|-ip$")

_decode = msgspec.json.Decoder(RawRecord).decode


class DeadLetters(Protocol):
    async def page(
        self, workspace: WorkspaceId, after: tuple[dt.datetime, str] | None, limit: int
    ) -> Sequence[dict[str, Any]]:
        """The newest first, those behind ``after``."""
        ...

    async def one(self, workspace: WorkspaceId, letter: str) -> dict[str, Any] | None:
        """With its ``value``."""
        ...


class ShownDeadLetter(BaseModel):
    """One delivery that was set aside. Its content is kept, and not shown here."""

    id: str
    stream: str
    shard: int
    offset: int
    source: str | None
    reason: str
    bytes: int
    at: dt.datetime
    replayed_at: dt.datetime | None


class OpenedDeadLetter(ShownDeadLetter):
    """With its content, masked: ids, times and states as they are, no word of a person."""

    kind: str | None
    received_at: dt.datetime | None
    verified: bool | None
    headers: dict[str, str]
    body: Any


class WantedReplay(BaseModel):
    """Which letters to send through again: by ``ids``, by filters, or ``all``.

    ``effects`` false: their events count in profile and history and start nothing.
    """

    model_config = ConfigDict(extra="forbid")

    ids: list[str] | None = Field(None, min_length=1, max_length=IDS_MAX)
    source: str | None = Field(None, min_length=1, max_length=100)
    reason: str | None = Field(None, min_length=1, max_length=200)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    all: bool = False
    effects: bool = True


class HowToReplay(BaseModel):
    """Of one letter."""

    model_config = ConfigDict(extra="forbid")

    effects: bool = True


class DoneReplay(BaseModel):
    """``more``: call again for the rest. ``unusable``: no deliveries, left where they are."""

    replayed: int
    unusable: int
    more: bool


def routes(letters: DeadLetters, replay: Replay, authorise: Authorise) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/dead-letters", tags=["dead letters"], max_body_size=BODY_MAX_BYTES
    )
    workspace: Any = Depends(authorise)

    @router.get("/resolver")
    async def list_(
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
        workspace: WorkspaceId = workspace,
    ) -> Page[ShownDeadLetter]:
        """Newest first."""
        rows = await letters.page(workspace, _after(cursor), limit + 1)
        items = [ShownDeadLetter.model_validate(row) for row in rows[:limit]]
        more = len(rows) > limit
        last = items[-1] if items else None
        next_ = cursor_of(last.at.isoformat(), last.id) if more and last else None
        return Page(items=items, next=next_)

    @router.get("/resolver/{letter}")
    async def show(letter: str, workspace: WorkspaceId = workspace) -> OpenedDeadLetter:
        """One letter, masked."""
        row = await letters.one(workspace, letter)
        if row is None:
            raise Problem(404, "there is no such dead letter")
        return opened(row)

    @router.post("/resolver/replay")
    async def replay_some(wanted: WantedReplay, workspace: WorkspaceId = workspace) -> DoneReplay:
        """Send letters through the resolver again, in the order in which they came."""
        chosen = wanted.model_dump(exclude={"all", "effects"})
        if wanted.all == any(value is not None for value in chosen.values()):
            wrong = FieldError("body", "either `all`, or `ids` or filters")
            raise Problem(422, "say which dead letters", errors=[wrong])
        return await _replayed(replay, workspace, Selection(**chosen), effects=wanted.effects)

    @router.post("/resolver/{letter}/replay")
    async def replay_one(
        letter: str,
        how: Annotated[HowToReplay, Body(default_factory=HowToReplay)],
        workspace: WorkspaceId = workspace,
    ) -> DoneReplay:
        """Send this one through again."""
        if await letters.one(workspace, letter) is None:
            raise Problem(404, "there is no such dead letter")
        selection = Selection(ids=[letter])
        return await _replayed(replay, workspace, selection, effects=how.effects)

    _ = (list_, show, replay_some, replay_one)
    return router


async def _replayed(
    replay: Replay, workspace: WorkspaceId, selection: Selection, *, effects: bool
) -> DoneReplay:
    try:
        done = await replay.run(workspace, selection, effects=effects)
    except BrokerError:
        raise Problem(503, "the log is away; call again later", headers=RETRY) from None
    return DoneReplay(replayed=done.replayed, unusable=done.unusable, more=done.more)


def opened(row: dict[str, Any]) -> OpenedDeadLetter:
    """A row with its ``value``, as it may be shown."""
    try:
        raw = _decode(row["value"])
    except (msgspec.MsgspecError, ValueError):
        nothing: dict[str, Any] = {"kind": None, "received_at": None, "verified": None}
        return OpenedDeadLetter.model_validate(row | nothing | {"headers": {}, "body": None})
    shown = {
        "kind": raw.kind,
        "received_at": raw.received_at,
        "verified": raw.verified,
        "headers": {
            name: "(hidden)" if _SECRET.search(name) or name == marks.DOCUMENT else value
            for name, value in raw.headers.items()
        },
        "body": masked(raw.body),
    }
    return OpenedDeadLetter.model_validate(row | shown)


def _after(cursor: str | None) -> tuple[dt.datetime, str] | None:
    position = position_of(cursor, 2)
    if position is None:
        return None
    try:
        return dt.datetime.fromisoformat(str(position[0])), str(position[1])
    except ValueError:
        wrong = FieldError("cursor", "use `next` as given")
        raise Problem(400, "the cursor is not one of ours", errors=[wrong]) from None
