"""``/api/v1/providers``: a workspace's ways out. Secrets go in and never come out."""

import datetime as dt
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from chappe.clock import Clock
from chappe.http import FieldError, Page, Problem, cursor_of, position_of, require_token
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe_sender.application.line import Line
from chappe_sender.application.routing import PRIORITY_DEFAULT, ProviderRecord, RouteState
from chappe_sender.application.trial import TrialLane, run_trial
from chappe_sender.domain.addresses import Mailbox, parse_address
from chappe_sender.domain.providers import Kind, may_send, problems_of
from chappe_sender.domain.template import MessageClass

PROVIDERS_MAX = 50
_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

Value = Annotated[str, Field(max_length=2_000)]
Values = Annotated[dict[Annotated[str, Field(max_length=60)], Value], Field(max_length=20)]


class NewProvider(BaseModel):
    """``classes`` and ``domains`` (of From) empty: all. The lowest ``priority`` goes first."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    name: str = Field(pattern=_NAME)
    secrets: Values = Field(default_factory=dict)
    options: Values = Field(default_factory=dict)
    classes: list[MessageClass] = Field(default_factory=list, max_length=2)
    domains: list[Annotated[str, Field(max_length=253)]] = Field(
        default_factory=list, max_length=100
    )
    priority: int = Field(PRIORITY_DEFAULT, ge=0, le=10_000)


class Provider(BaseModel):
    """``secrets`` names those that are set. ``route`` is how it does in the process that answers:
    open, resting (with the seconds left) or closed, and what went wrong last.
    """

    id: str
    name: str
    kind: Kind
    secrets: list[str]
    options: dict[str, str]
    classes: list[MessageClass]
    domains: list[str]
    priority: int
    state: RouteState
    reason: str | None
    route: str
    last_problem: str | None
    marketing: str
    created_at: dt.datetime
    updated_at: dt.datetime


class Secrets(BaseModel):
    """All of them, anew."""

    model_config = ConfigDict(extra="forbid")

    secrets: Values


class TestMail(BaseModel):
    """Where to."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(max_length=320)


class Result(BaseModel):
    """``outcome``: taken, refused, unreachable, in_doubt."""

    provider: str
    outcome: str
    said: str
    meaning: str
    provider_message_id: str | None


class Shelf(Protocol):
    """Where the records are kept."""

    async def listed(
        self, workspace: WorkspaceId, after: str, limit: int
    ) -> list[ProviderRecord]: ...
    async def find(self, workspace: WorkspaceId, ref: str) -> ProviderRecord | None: ...
    async def add(self, record: ProviderRecord) -> bool: ...
    async def set_state(
        self, provider: str, state: RouteState, reason: str | None, now: dt.datetime
    ) -> None: ...
    async def set_secrets(
        self, provider: str, secrets: dict[str, str], now: dt.datetime
    ) -> None: ...
    async def remove(self, provider: str, now: dt.datetime) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvidersApi:
    """What the addresses need. ``unusable`` says why a record is no way out; ``refresh`` makes
    this process look at the records at once; ``sender`` is whom mail is from.
    """

    admin_token: str
    shelf: Shelf
    unusable: Callable[[ProviderRecord], str | None]
    refresh: Callable[[], Awaitable[None]]
    line: Callable[[str], Line | None]
    lane: TrialLane
    sender: Callable[[WorkspaceId], Awaitable[Mailbox]]
    clock: Clock
    wall: Clock
    new_id: Callable[[str], str]
    withheld: Callable[[str], bool]
    loopback: bool = False


def router(api: ProvidersApi) -> APIRouter:
    """Everything under ``/api/v1/providers``."""
    routes = APIRouter(prefix="/api/v1/providers")
    workspace_of = require_token(api.admin_token)
    _records(routes, api, workspace_of)
    _changes(routes, api, workspace_of)
    _trials(routes, api, workspace_of)
    return routes


def _records(routes: APIRouter, api: ProvidersApi, workspace_of: Any) -> None:
    @routes.post("", status_code=201)
    async def add(
        body: NewProvider, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Provider:
        """Set up a way out; mail goes this way at once."""
        record = _record(api, body, workspace)
        _check(api, record)
        if len(await api.shelf.listed(workspace, "", PROVIDERS_MAX)) >= PROVIDERS_MAX:
            raise Problem(409, f"a workspace has at most {PROVIDERS_MAX} providers")
        if not await api.shelf.add(record):
            raise Problem(409, f"there is a provider called {body.name!r} already")
        await api.refresh()
        return _shown(api, record)

    @routes.get("")
    async def list_(
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[Provider]:
        """By name."""
        after = position_of(cursor, 1) or [""]
        rows = await api.shelf.listed(workspace, str(after[0]), limit + 1)
        more = cursor_of(rows[limit - 1].name) if len(rows) > limit else None
        return Page[Provider](items=[_shown(api, row) for row in rows[:limit]], next=more)

    @routes.get("/{ref}")
    async def show(ref: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> Provider:
        """By name or id."""
        return _shown(api, await _found(api, workspace, ref))

    _ = (add, list_, show)


def _changes(routes: APIRouter, api: ProvidersApi, workspace_of: Any) -> None:
    async def set_state(
        workspace: WorkspaceId, ref: str, state: RouteState, reason: str | None
    ) -> Provider:
        record = await _found(api, workspace, ref)
        await api.shelf.set_state(record.id, state, reason, api.clock.now())
        await api.refresh()
        return _shown(api, await _found(api, workspace, ref))

    @routes.post("/{ref}/pause")
    async def pause(ref: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> Provider:
        """Give it nothing more; what is meant for it alone waits."""
        return await set_state(workspace, ref, RouteState.PAUSED, None)

    @routes.post("/{ref}/resume")
    async def resume(
        ref: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Provider:
        """Go on after a pause, or after the sender stopped it."""
        return await set_state(workspace, ref, RouteState.ACTIVE, None)

    @routes.put("/{ref}/secrets")
    async def set_secrets(
        ref: str, body: Secrets, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Provider:
        """Change its credentials, all of them."""
        record = replace(await _found(api, workspace, ref), secrets=body.secrets)
        _check(api, record)
        await api.shelf.set_secrets(record.id, body.secrets, api.clock.now())
        await api.refresh()
        return _shown(api, await _found(api, workspace, ref))

    @routes.delete("/{ref}", status_code=204)
    async def remove(ref: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> None:
        """Forget it and its secrets; what is on the wire ends where it is."""
        record = await _found(api, workspace, ref)
        await api.shelf.remove(record.id, api.clock.now())
        await api.refresh()

    _ = (pause, resume, set_secrets, remove)


def _trials(routes: APIRouter, api: ProvidersApi, workspace_of: Any) -> None:
    @routes.post("/{ref}/test")
    async def test(
        ref: str, body: TestMail, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Result:
        """Send one test mail this way, whatever its state, and say what came of it."""
        record = await _found(api, workspace, ref)
        to = parse_address(body.to)
        if to is None:
            wrong = FieldError("to", "is not an e-mail address")
            raise Problem(422, "the address cannot be used", errors=[wrong])
        if api.withheld(str(to)):
            raise Problem(409, "nothing leaves for this address: see `chappe sending status`")
        trial = await run_trial(
            api.lane,
            record,
            sender=await api.sender(workspace),
            to=to,
            id_=api.new_id("mt_"),
            now=api.wall.now(),
        )
        return Result(provider=record.name, **asdict(trial))

    _ = test


def _record(api: ProvidersApi, body: NewProvider, workspace: WorkspaceId) -> ProviderRecord:
    now = api.clock.now()
    return ProviderRecord(
        id=api.new_id("pr_"),
        workspace=workspace,
        name=body.name,
        kind=body.kind,
        secrets=body.secrets,
        options=body.options,
        classes=tuple(dict.fromkeys(body.classes)),
        domains=tuple(domain.lower() for domain in body.domains),
        priority=body.priority,
        created_at=now,
        updated_at=now,
    )


def _check(api: ProvidersApi, record: ProviderRecord) -> None:
    """Raises ``Problem`` with everything that is wrong."""
    options = dict(record.options)
    if api.loopback and options.get("base_url", "").startswith("http://127.0.0.1:"):
        del options["base_url"]  # a stand-in for the provider, in tests
    wrong = [
        FieldError(where, what) for where, what in problems_of(record.kind, record.secrets, options)
    ]
    wrong += [
        FieldError(f"domains.{n}", "is a domain's name")
        for n, domain in enumerate(record.domains)
        if not _DOMAIN.fullmatch(domain)
    ]
    if MessageClass.MARKETING in record.classes:
        why = may_send(record.kind, MessageClass.MARKETING, record.options)
        wrong += [FieldError("classes", why)] if why is not None else []
    if not wrong and (why := api.unusable(record)) is not None:
        wrong.append(FieldError("kind", why))
    if wrong:
        raise Problem(422, "this provider cannot be used; see errors", errors=wrong)


async def _found(api: ProvidersApi, workspace: WorkspaceId, ref: str) -> ProviderRecord:
    record = await api.shelf.find(workspace, ref)
    if record is None:
        raise Problem(404, f"no provider is called {ref!r}")
    return record


def _shown(api: ProvidersApi, record: ProviderRecord) -> Provider:
    line = api.line(record.id)
    health = line.health if line is not None else None
    route = "closed"
    if record.state is RouteState.ACTIVE and health is not None:
        left = health.seconds_left
        route = "open" if left is None else f"resting for {left:.0f} s"
    return Provider(
        id=record.id,
        name=record.name,
        kind=record.kind,
        secrets=sorted(record.secrets),
        options=dict(record.options),
        classes=list(record.classes),
        domains=list(record.domains),
        priority=record.priority,
        state=record.state,
        reason=record.reason,
        route=route,
        last_problem=health.why if health is not None else None,
        marketing=may_send(record.kind, MessageClass.MARKETING, record.options) or "allowed",
        created_at=record.created_at,
        updated_at=record.updated_at,
    )
