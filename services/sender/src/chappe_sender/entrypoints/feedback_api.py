"""``/api/v1``: where providers reach us, the suppression policy, and doubts settled by a person."""

import asyncio
import datetime as dt
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from chappe.clock import Clock, monotonic
from chappe.http import FieldError, Page, Problem, cursor_of, position_of, require_token
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import NewId, WorkspaceId
from chappe.tokens import Tokens
from chappe_sender.application.feedback_ports import OPERATOR, Delivery, Queue
from chappe_sender.application.feedback_reading import TO_COMPLAINTS
from chappe_sender.domain.feedback import KINDS
from chappe_sender.domain.feedback import setup as how
from chappe_sender.domain.suppressing import Rules

ENDPOINT: Final = "endpoint"
"""What the token in an endpoint's address is sealed for; the edge opens it."""

RESOLVE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.05
FIRST: Final = 2**62

_QUEUE = re.compile(r"https://sqs\.([a-z0-9-]{5,30})\.amazonaws\.com(\.cn)?/\d{12}/[\w.-]{1,80}")
_LOOPBACK = re.compile(r"http://127\.0\.0\.1:\d+/\S+")


class QueueGiven(BaseModel):
    """An SQS queue that SES's topic is subscribed with, and keys that may read and delete."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=500)
    access_key: str = Field(min_length=1, max_length=200)
    secret_key: str = Field(min_length=1, max_length=200)
    region: str | None = Field(None, max_length=30, pattern=r"^[a-z0-9-]+$")


class EndpointGiven(BaseModel):
    """``secret`` may come later for a provider that makes it up once the webhook exists."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    name: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$|^$")
    secret: str | None = Field(None, min_length=8, max_length=4_000)
    topic: str | None = Field(None, max_length=300)
    queue: QueueGiven | None = None


class SecretGiven(BaseModel):
    """What the provider shows."""

    model_config = ConfigDict(extra="forbid")

    secret: str = Field(min_length=8, max_length=4_000)


class PolicyGiven(BaseModel):
    """See ``Rules``; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    soft_bounces: int | None = Field(None, ge=1, le=100)
    soft_days: int | None = Field(None, ge=0, le=365)
    full_bounces: int | None = Field(None, ge=1, le=100)
    full_days: int | None = Field(None, ge=1, le=365)
    bad_domain_hours: int | None = Field(None, ge=24, le=720)
    spike_bounces: int | None = Field(None, ge=1, le=1_000_000)
    spike_percent: int | None = Field(None, ge=1, le=100)
    spike_minutes: int | None = Field(None, ge=60, le=1_440)
    quarantine_hours: int | None = Field(None, ge=1, le=720)


class UndoGiven(BaseModel):
    """Which bounces' suppressions to take back. ``mx`` is a site or a domain."""

    model_config = ConfigDict(extra="forbid")

    since: dt.datetime
    mx: str | None = Field(None, max_length=255)
    dry_run: bool = False


class ResolveGiven(BaseModel):
    """An operator's word on a message in doubt."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    as_: Literal["accepted", "not_accepted"] = Field(alias="as")
    note: str = Field("", max_length=500)


class Records(Protocol):
    """Endpoints, policies and histories."""

    async def add(
        self,
        id_: str,
        workspace: WorkspaceId,
        kind: str,
        name: str,
        *,
        secret: str | None,
        topic: str | None,
        queue: Queue | None,
        now: dt.datetime,
    ) -> dict[str, Any] | None: ...
    async def listed(
        self, workspace: WorkspaceId, after: str, limit: int
    ) -> list[dict[str, Any]]: ...
    async def find(self, workspace: WorkspaceId, name: str) -> dict[str, Any] | None: ...
    async def set_secret(self, id_: str, secret: str, wall: dt.datetime) -> None: ...
    async def delete(self, id_: str) -> None: ...
    async def rules(self, workspace: WorkspaceId) -> Rules: ...
    async def save_rules(self, workspace: WorkspaceId, rules: Rules, now: dt.datetime) -> None: ...
    async def history(
        self, workspace: WorkspaceId, address: str | None, before: int, limit: int
    ) -> list[dict[str, Any]]: ...
    async def undo(
        self, workspace: WorkspaceId, since: dt.datetime, site: str | None, *, dry_run: bool
    ) -> list[str]: ...
    async def of_message(self, workspace: WorkspaceId, message: str) -> list[dict[str, Any]]: ...
    async def raw(self, workspace: WorkspaceId, id_: str) -> dict[str, Any] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackApi:
    """``keep`` puts a decision where the owner of the message's shard works it off, and ``wake``
    tells it so when that is this process; ``place`` gives a message's shard and state.
    """

    admin_token: str
    records: Records
    tokens: Tokens
    public_url: str
    keep: Callable[[Delivery], Awaitable[None]]
    place: Callable[[WorkspaceId, str], Awaitable[tuple[int, str] | None]]
    wake: Callable[[], None]
    business: Clock
    wall: Clock
    new_id: NewId
    bounce_domain: str | None = None
    loopback: bool = False


def router(api: FeedbackApi) -> APIRouter:
    """Before the router of ``/api/v1/providers/{name}``, or ``endpoints`` would be a name."""
    routes = APIRouter(prefix="/api/v1")
    workspace_of = require_token(api.admin_token)
    _endpoints(routes, api, workspace_of)
    _suppressing(routes, api, workspace_of)
    _messages(routes, api, workspace_of)
    return routes


# -- endpoints --------------------------------------------------------------------------------


def _endpoints(routes: APIRouter, api: FeedbackApi, workspace_of: Any) -> None:
    @routes.post("/providers/endpoints", status_code=201)
    async def add(
        body: EndpointGiven, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> dict[str, Any]:
        """A new address for one provider's webhooks, and what to do with it."""
        _check(body, loopback=api.loopback)
        secret = body.secret
        if secret is None and body.kind in how.ISSUED:
            secret = f"{how.USER}:{api.new_id('')}"
        name = body.name or body.kind
        found = await api.records.add(
            api.new_id("fe_"),
            workspace,
            body.kind,
            name,
            secret=secret,
            topic=body.topic,
            queue=_queue(body.queue) if body.queue else None,
            now=api.business.now(),
        )
        if found is None:
            wrong = FieldError("name", "another endpoint has this name")
            raise Problem(409, f"there is an endpoint {name!r} already", errors=[wrong])
        shown = _shown(api, found)
        shown["secret"] = secret if body.kind in how.ISSUED else None
        shown["setup"] = how.steps(body.kind, name, shown["url"], secret)
        return shown

    @routes.get("/providers/endpoints")
    async def list_(
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        """By name, with what came and what was refused."""
        after = position_of(cursor, 1) or [""]
        rows = await api.records.listed(workspace, str(after[0]), limit + 1)
        more = cursor_of(rows[limit - 1]["name"]) if len(rows) > limit else None
        return Page[dict[str, Any]](items=[_shown(api, row) for row in rows[:limit]], next=more)

    @routes.get("/providers/endpoints/feedback-loop")
    async def feedback_loop(
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
    ) -> dict[str, Any]:
        """The address to register for complaints (ARF)."""
        local = api.tokens.sign_return(TO_COMPLAINTS, workspace)
        if api.bounce_domain is None or local is None:
            raise Problem(409, "CHAPPE_BOUNCE_DOMAIN is not set, so no mail comes back here")
        return {"address": f"{local}@{api.bounce_domain}"}

    @routes.put("/providers/endpoints/{name}/secret")
    async def set_secret(
        name: str, body: SecretGiven, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> dict[str, Any]:
        """What waited for it is looked at now; the secret before it stays good for a day."""
        found = await _found(api, workspace, name)
        await api.records.set_secret(found["id"], body.secret, api.wall.now())
        api.wake()
        return _shown(api, await _found(api, workspace, name))

    @routes.delete("/providers/endpoints/{name}", status_code=204)
    async def delete(name: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> None:
        """What still comes to its address is dropped."""
        await api.records.delete((await _found(api, workspace, name))["id"])

    _ = (add, list_, feedback_loop, set_secret, delete)


async def _found(api: FeedbackApi, workspace: WorkspaceId, name: str) -> dict[str, Any]:
    found = await api.records.find(workspace, name)
    if found is None:
        raise Problem(404, f"no endpoint is called {name!r}")
    return found


def _shown(api: FeedbackApi, row: dict[str, Any]) -> dict[str, Any]:
    token = api.tokens.seal(ENDPOINT, [row["id"], row["kind"]])
    shown = {key: value for key, value in row.items() if key not in {"workspace", "has_secret"}}
    waits = row["kind"] in how.SIGNED and not row["has_secret"]
    shown["state"] = "awaiting_secret" if waits else row["state"]
    shown["url"] = f"{api.public_url}/providers/{row['kind']}/{token}"
    return shown


def _check(body: EndpointGiven, *, loopback: bool) -> None:
    wrong: list[FieldError] = []
    if body.kind not in KINDS:
        wrong.append(FieldError("kind", f"is none of {', '.join(KINDS)}"))
    if body.kind != "ses" and (body.queue is not None or body.topic is not None):
        wrong.append(FieldError("queue" if body.queue else "topic", "is of ses alone"))
    url = body.queue.url if body.queue is not None else None
    if url is not None and not (_QUEUE.fullmatch(url) or (loopback and _LOOPBACK.fullmatch(url))):
        wrong.append(FieldError("queue.url", "is not the URL of an SQS queue"))
    if wrong:
        raise Problem(422, "the endpoint cannot be added; see errors", errors=wrong)


def _queue(given: QueueGiven) -> Queue:
    match = _QUEUE.fullmatch(given.url)
    region = given.region or (match[1] if match else "us-east-1")
    return Queue(
        url=given.url, region=region, access_key=given.access_key, secret_key=given.secret_key
    )


# -- suppressions -------------------------------------------------------------------------------


def _suppressing(routes: APIRouter, api: FeedbackApi, workspace_of: Any) -> None:
    @routes.get("/suppressions/policy")
    async def policy(workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> dict[str, Any]:
        """When an address is written to no more."""
        return msgspec.to_builtins(await api.records.rules(workspace))

    @routes.put("/suppressions/policy")
    async def set_policy(
        body: PolicyGiven, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> dict[str, Any]:
        """From the next bounce on."""
        known = msgspec.to_builtins(await api.records.rules(workspace))
        rules = msgspec.convert(known | body.model_dump(exclude_none=True), type=Rules)
        await api.records.save_rules(workspace, rules, api.business.now())
        return msgspec.to_builtins(rules)

    @routes.get("/suppressions/history")
    async def history(
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        address: Annotated[str | None, Query(max_length=320)] = None,
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        """Every change, the newest first."""
        before = position_of(cursor, 1) or [FIRST]
        rows = await api.records.history(workspace, address, _number(before[0]), limit + 1)
        more = cursor_of(rows[limit - 1]["id"]) if len(rows) > limit else None
        return Page[dict[str, Any]](items=rows[:limit], next=more)

    @routes.post("/suppressions/undo")
    async def undo(
        body: UndoGiven, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> dict[str, Any]:
        """Take back what bounces closed; complaints and wishes to leave stay."""
        if body.since.tzinfo is None:
            wrong = FieldError("since", "needs a time zone, as in 2026-11-22T09:00:00Z")
            raise Problem(422, "the time cannot be used", errors=[wrong])
        mx = body.mx.lower().rstrip(".") if body.mx else None
        taken = await api.records.undo(workspace, body.since, mx, dry_run=body.dry_run)
        return {"dry_run": body.dry_run, "count": len(taken), "addresses": taken[:1_000]}

    _ = (policy, set_policy, history, undo)


def _number(value: str | int) -> int:
    if not isinstance(value, int):
        wrong = FieldError("cursor", "use `next` as given")
        raise Problem(400, "the cursor is not one of ours", errors=[wrong])
    return value


# -- messages -----------------------------------------------------------------------------------


def _messages(routes: APIRouter, api: FeedbackApi, workspace_of: Any) -> None:
    @routes.post("/messages/{id_}/resolve")
    async def resolve(
        id_: str,
        body: ResolveGiven,
        response: Response,
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
    ) -> dict[str, Any]:
        """Settle a doubt. A receipt that was not accepted is sent again; marketing never is."""
        place = await _in_doubt(api, workspace, id_)
        said = {"workspace": workspace, "message": id_, "as": body.as_, "note": body.note}
        now, wall = api.business.now(), api.wall.now()
        await api.keep(
            Delivery(
                id=api.new_id("op_"),
                shard=place[0],
                kind=OPERATOR,
                endpoint="",
                received_at=now,
                received_wall=wall,
                headers={},
                body=msgspec.json.encode(said),
            )
        )
        api.wake()
        settled = await _settled(api, workspace, id_)
        response.status_code = 200 if settled else 202
        return {"id": id_, "as": body.as_, "applied": settled}

    @routes.get("/messages/{id_}/feedback")
    async def feedback(
        id_: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Page[dict[str, Any]]:
        """What was told of it, the newest first, for 30 days."""
        return Page[dict[str, Any]](items=await api.records.of_message(workspace, id_), next=None)

    @routes.get("/messages/{id_}/feedback/{delivery}/raw")
    async def raw(
        id_: str, delivery: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Response:
        """The webhook or mail that told it, as it came, for 14 days."""
        told = await api.records.of_message(workspace, id_)
        known = any(each["delivery"] == delivery for each in told)
        found = await api.records.raw(workspace, delivery) if known else None
        if found is None:
            raise Problem(404, "its bytes are not kept, or no longer")
        return Response(found["body"], media_type="application/octet-stream")

    _ = (resolve, feedback, raw)


async def _in_doubt(api: FeedbackApi, workspace: WorkspaceId, id_: str) -> tuple[int, str]:
    place = await api.place(workspace, id_)
    if place is None:
        raise Problem(404, "no message has this id")
    if place[1] != "in_doubt":
        raise Problem(409, f"the message is not in doubt, it is {place[1]}")
    return place


async def _settled(api: FeedbackApi, workspace: WorkspaceId, id_: str) -> bool:
    deadline = monotonic() + RESOLVE_SECONDS
    while monotonic() < deadline:
        place = await api.place(workspace, id_)
        if place is None or place[1] != "in_doubt":
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False
