"""``/api/v1/sources/{ref}/backfill`` and ``…/divergences``: what a shop held before us, and what
it cannot be told.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from chappe.clock import UTC, Clock
from chappe.http import FieldError, Page, Problem, cursor_of, position_of
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import NewId, SourceId, WorkspaceId
from chappe_ingest.application.pulling_ports import Backfill, BackfillState
from chappe_ingest.domain.pulls import PULLED_KINDS, backfill_until, no_host, shop_host
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.entrypoints.workspace import Authorise

BODY_MAX_BYTES: Final = 4_096
SINCE_MAX: Final = dt.timedelta(days=366 * 20)


class NewBackfill(BaseModel):
    """From when on; times are compared with the last change of an order or customer."""

    model_config = ConfigDict(extra="forbid")

    since: dt.datetime = Field(examples=["2024-11-22T00:00:00Z"])


class ShownBackfill(BaseModel):
    """A job and how far it is. ``total`` is about right; null: the shop does not say.

    ``at``: everything that changed before it has been read, of the kind in ``subject``.
    """

    id: str
    source: str
    state: str
    since: dt.datetime
    until: dt.datetime
    subject: str | None
    at: dt.datetime | None
    done: int
    total: int | None
    note: str | None
    created_at: dt.datetime
    finished_at: dt.datetime | None


class ShownDivergence(BaseModel):
    """Somebody who unsubscribed at ``at``, and whose shop still thinks otherwise, and why."""

    contact: str
    external_id: str | None
    wanted: str = "unsubscribed"
    at: dt.datetime
    reason: str
    since: dt.datetime


class Divergent(Protocol):
    """One row of the report."""

    @property
    def contact(self) -> str: ...
    @property
    def external_id(self) -> str | None: ...
    @property
    def at(self) -> dt.datetime: ...
    @property
    def reason(self) -> str: ...
    @property
    def since(self) -> dt.datetime: ...


class Jobs(Protocol):
    async def add(self, job: Backfill, now: dt.datetime) -> bool:
        """False: the source has a job that is not over."""
        ...

    async def cancel(self, source: SourceId, at: dt.datetime) -> bool: ...

    async def newest(self, sources: Sequence[SourceId]) -> dict[SourceId, Backfill]: ...


class Reports(Protocol):
    async def divergences(
        self, source: SourceId, before: tuple[dt.datetime, str], limit: int
    ) -> Sequence[Divergent]: ...


class Store(Protocol):
    async def all(self) -> Sequence[Source]: ...

    async def api_token(self, source: SourceId) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PullsDesk:
    """What the routes below do; a puller in a resolver process does the work."""

    store: Store
    jobs: Jobs
    reports: Reports
    business: Clock
    wall: Clock
    new_id: NewId

    async def start(self, workspace: WorkspaceId, ref: str, wanted: NewBackfill) -> ShownBackfill:
        source = await self._find(workspace, ref)
        now = self.business.now()
        since = self._since(wanted.since, now)
        if source.kind not in PULLED_KINDS:
            kinds = " and ".join(PULLED_KINDS)
            raise Problem(422, f"only {kinds} sources can be asked for what was before")
        if source.state not in (SourceState.ACTIVE, SourceState.AWAITING_SECRET):
            raise Problem(409, f"the source is {source.state}: chappe sources resume {source.name}")
        if shop_host(source) is None:
            raise Problem(422, no_host(source))
        if await self.store.api_token(source.id) is None:
            advice = f"chappe sources api-token {source.name} --token …"
            raise Problem(422, f"the source has no API token: {advice}")
        job = Backfill(
            id=self.new_id("bf_"),
            workspace=workspace,
            source=source.id,
            since=since,
            until=max(backfill_until(source, now), since),
            created_at=now,
        )
        if not await self.jobs.add(job, self.wall.now()):
            raise Problem(409, "a backfill of this source is under way; cancel it to begin another")
        return shown_backfill(job)

    async def newest(self, workspace: WorkspaceId, ref: str) -> ShownBackfill:
        source = await self._find(workspace, ref)
        job = (await self.jobs.newest([source.id])).get(source.id)
        if job is None:
            raise Problem(404, "this source was never backfilled")
        return shown_backfill(job)

    async def cancel(self, workspace: WorkspaceId, ref: str) -> ShownBackfill:
        source = await self._find(workspace, ref)
        if not await self.jobs.cancel(source.id, self.business.now()):
            raise Problem(409, "no backfill of this source is under way")
        return await self.newest(workspace, source.id)

    async def divergences(
        self, workspace: WorkspaceId, ref: str, cursor: str | None, limit: int
    ) -> Page[ShownDivergence]:
        source = await self._find(workspace, ref)
        rows = await self.reports.divergences(source.id, _place(cursor), limit + 1)
        shown_rows = rows[:limit]
        last = shown_rows[-1] if len(rows) > limit else None
        items = [
            ShownDivergence(
                contact=each.contact,
                external_id=each.external_id,
                at=each.at,
                reason=each.reason,
                since=each.since,
            )
            for each in shown_rows
        ]
        following = cursor_of(last.at.isoformat(), last.contact) if last is not None else None
        return Page(items=items, next=following)

    def _since(self, since: dt.datetime, now: dt.datetime) -> dt.datetime:
        if since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        if since > now:
            wrong = FieldError("body.since", "in the future")
            raise Problem(422, "a backfill begins in the past", errors=[wrong])
        return max(since, now - SINCE_MAX)

    async def _find(self, workspace: WorkspaceId, ref: str) -> Source:
        for source in await self.store.all():
            mine = source.workspace == workspace and source.state is not SourceState.DELETED
            if mine and ref in (source.id, source.name):
                return source
        raise Problem(404, "there is no source with this id or name")


def shown_backfill(job: Backfill) -> ShownBackfill:
    return ShownBackfill(
        id=job.id,
        source=job.source,
        state=BackfillState(job.state).value,
        since=job.since,
        until=job.until,
        subject=job.subject,
        at=job.at,
        done=job.done,
        total=job.total,
        note=job.note,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


def routes(desk: PullsDesk, authorise: Authorise) -> APIRouter:
    router = APIRouter(prefix="/api/v1/sources", tags=["sources"], max_body_size=BODY_MAX_BYTES)
    workspace: Any = Depends(authorise)

    @router.post("/{ref}/backfill", status_code=202)
    async def start(
        ref: str, wanted: NewBackfill, workspace: WorkspaceId = workspace
    ) -> ShownBackfill:
        """Fetch what the shop held before its webhooks came here. It triggers nothing."""
        return await desk.start(workspace, ref, wanted)

    @router.get("/{ref}/backfill")
    async def newest(ref: str, workspace: WorkspaceId = workspace) -> ShownBackfill:
        """How far the newest backfill is."""
        return await desk.newest(workspace, ref)

    @router.delete("/{ref}/backfill")
    async def cancel(ref: str, workspace: WorkspaceId = workspace) -> ShownBackfill:
        """Stop it; what was fetched stays."""
        return await desk.cancel(workspace, ref)

    @router.get("/{ref}/divergences")
    async def divergences(
        ref: str,
        cursor: Annotated[str | None, Query(max_length=500)] = None,
        limit: Limit = LIMIT_DEFAULT,
        workspace: WorkspaceId = workspace,
    ) -> Page[ShownDivergence]:
        """Unsubscribes that the shop cannot be told, the newest first."""
        return await desk.divergences(workspace, ref, cursor, limit)

    _ = (start, newest, cancel, divergences)
    return router


def _place(cursor: str | None) -> tuple[dt.datetime, str]:
    position = position_of(cursor, 2)
    if position is None:
        return dt.datetime.max.replace(tzinfo=UTC), ""
    try:
        return dt.datetime.fromisoformat(str(position[0])), str(position[1])
    except ValueError:
        raise Problem(400, "the cursor is not one of ours") from None
