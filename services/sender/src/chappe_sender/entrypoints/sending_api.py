"""``/api/v1/sending``: stop and resume, who got it, what was captured, go live."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from chappe.clock import Clock
from chappe.http import Page, Problem, cursor_of, position_of, require_token
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import NewId, WorkspaceId
from chappe_sender.application.bad_day import DEFAULT_ROUTE, BadDay, BadDayStore, Stop, StopKind

BEFORE = dt.timedelta(hours=24)
"""Who got it since then is told, unless asked otherwise."""


class NewStop(BaseModel):
    """``value`` names the journey, template, provider, domain or class; a workspace has none.

    ``since``: who got it is told from then on.
    """

    model_config = ConfigDict(extra="forbid")

    kind: StopKind = StopKind.WORKSPACE
    value: str = Field("", max_length=253)
    reason: str | None = Field(None, max_length=500)
    since: dt.datetime | None = None


class Resumption(BaseModel):
    """``stop`` is one stop's id; absent: all of them."""

    model_config = ConfigDict(extra="forbid")

    stop: str | None = Field(None, max_length=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingApi:
    """What the addresses need. ``provider`` finds a provider's id by its name."""

    admin_token: str
    store: BadDayStore
    day: BadDay
    provider: Callable[[WorkspaceId, str], Awaitable[str | None]]
    from_domain: str
    clock: Clock
    new_id: NewId


def router(api: SendingApi) -> APIRouter:
    workspace_of = require_token(api.admin_token)
    routes = APIRouter(prefix="/api/v1/sending", tags=["sending"])
    _stops(routes, api, workspace_of)
    _delivery(routes, api, workspace_of)
    return routes


def _stops(routes: APIRouter, api: SendingApi, workspace_of: Any) -> None:
    @routes.post("/stops", status_code=201)
    async def stop(
        body: NewStop, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> dict[str, Any]:
        """Nothing that it is about is given to anybody any more; what is on the wire ends there."""
        made = await _made(api, body, workspace)
        await api.store.stop(made)
        await api.day.refresh()
        return await _shown(api, made)

    @routes.get("/stops/{id_}/received")
    async def received(
        id_: str,
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        """Who got it before the stop, or perhaps did (``in_doubt``), the newest first."""
        found = await api.store.find(workspace, id_)
        if found is None:
            raise Problem(404, f"no stop is called {id_!r}")
        place = position_of(cursor, 2)
        after = (dt.datetime.fromisoformat(str(place[0])), str(place[1])) if place else None
        rows = await api.store.received(found, after, limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        more = cursor_of(last["at"].isoformat(), last["id"]) if last is not None else None
        return Page[dict[str, Any]](items=rows[:limit], next=more)

    @routes.post("/resume")
    async def resume(
        body: Resumption, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> dict[str, Any]:
        """What waited goes on, unless its deadline has passed."""
        resumed = await api.store.resume(workspace, body.stop, api.clock.now())
        if body.stop is not None and not resumed:
            raise Problem(404, f"no stop is called {body.stop!r}")
        await api.day.refresh()
        api.day.changed()
        return {"resumed": [each.id for each in resumed]}

    _ = (stop, received, resume)


def _delivery(routes: APIRouter, api: SendingApi, workspace_of: Any) -> None:
    @routes.get("")
    async def status(workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> dict[str, Any]:
        """The mode of delivery and the stops."""
        await api.day.refresh()
        policy = api.day.policy
        return {
            "delivery": policy.mode,
            "setting": policy.setting,
            "reason": policy.override.reason if policy.override is not None else None,
            "stops": [await _shown(api, each) for each in await api.store.stops(workspace)],
        }

    @routes.post("/go-live", dependencies=[Depends(workspace_of)])
    async def go_live() -> dict[str, Any]:
        """Send what is asked for from now on; what was captured stays where it is."""
        warning = await api.day.go_live(api.clock.now())
        return {"delivery": api.day.policy.mode, "warning": warning}

    @routes.get("/captured/{message}")
    async def captured(
        message: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Response:
        """A mail that was kept instead of sent, as it would have left."""
        content = await api.store.captured(workspace, message)
        if content is None:
            raise Problem(404, f"no mail {message!r} was captured in the last days")
        return Response(content, media_type="message/rfc822")

    _ = (status, go_live, captured)


async def _made(api: SendingApi, body: NewStop, workspace: WorkspaceId) -> Stop:
    value = body.value.strip()
    if (body.kind is StopKind.WORKSPACE) == bool(value):
        raise Problem(422, f"a stop by {body.kind} needs {'no' if value else 'a'} name")
    provider = None
    if body.kind is StopKind.PROVIDER and value != DEFAULT_ROUTE:
        provider = await api.provider(workspace, value)
        if provider is None:
            raise Problem(404, f"no provider is called {value!r}")
    if body.kind is StopKind.CLASS and value not in {"marketing", "transactional"}:
        raise Problem(422, "a class is marketing or transactional")
    if body.kind is StopKind.DOMAIN:
        value = value.lower()
    now = api.clock.now()
    since = body.since or now - BEFORE
    return Stop(
        id=api.new_id("st_"),
        workspace=workspace,
        kind=body.kind,
        value=value,
        provider=provider,
        from_domain=api.from_domain,
        reason=body.reason,
        created_at=now,
        since=since if since.tzinfo else since.replace(tzinfo=dt.UTC),
    )


async def _shown(api: SendingApi, stop: Stop) -> dict[str, Any]:
    return {
        "id": stop.id,
        "kind": stop.kind,
        "value": stop.value,
        "reason": stop.reason,
        "created_at": stop.created_at,
        "since": stop.since,
        "counts": await api.store.counts(stop),
    }
