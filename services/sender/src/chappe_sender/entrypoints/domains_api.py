"""``/api/v1/domains``: the domains that mail is from. Private keys never come out."""

import datetime as dt
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from chappe.http import FieldError, Page, Problem, require_token
from chappe.ids import WorkspaceId
from chappe_sender.application.domain_desk import DomainDesk, DomainRefused
from chappe_sender.domain.domain_check import to_publish
from chappe_sender.domain.sender_domain import SenderDomain


class NewDomain(BaseModel):
    """``ed25519``: a second key beside RSA, which some receivers do not know and none mind."""

    model_config = ConfigDict(extra="forbid")

    domain: str = Field(max_length=253)
    ed25519: bool = False


class Rotation(BaseModel):
    """``now``: sign with the new keys before anybody has seen them in DNS."""

    model_config = ConfigDict(extra="forbid")

    now: bool = False


class ShownKey(BaseModel):
    """A key without its private half."""

    selector: str
    algorithm: str
    state: str
    record_name: str
    record: str
    created_at: dt.datetime
    changed_at: dt.datetime


class Domain(BaseModel):
    """``publish`` is what has to stand in DNS; ``blocked`` why its marketing waits."""

    domain: str
    keys: list[ShownKey]
    blocked: str | None
    created_at: dt.datetime
    checked_at: dt.datetime | None
    publish: list[dict[str, str]]


def router(desk: DomainDesk, admin_token: str) -> APIRouter:
    workspace_of = require_token(admin_token)
    routes = APIRouter(prefix="/api/v1/domains", tags=["domains"])

    @routes.post("", status_code=201)
    async def add(
        body: NewDomain, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Domain:
        """Its mail is signed from now on; publish what the answer says."""
        try:
            domain = await desk.add(workspace, body.domain, ed25519=body.ed25519)
        except DomainRefused as refused:
            wrong = FieldError("domain", str(refused))
            raise Problem(422, "the domain cannot be added", errors=[wrong]) from None
        return await _shown(desk, domain)

    @routes.get("")
    async def list_(workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> Page[Domain]:
        """All of them, by name."""
        found = await desk.shelf.all(workspace)
        return Page[Domain](items=[await _shown(desk, each) for each in found], next=None)

    @routes.get("/{name}")
    async def show(name: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> Domain:
        return await _shown(desk, await _found(desk, workspace, name))

    @routes.post("/{name}/rotate")
    async def rotate(
        name: str, body: Rotation, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Domain:
        """New keys; the old ones sign until a check has seen the new ones published."""
        domain = await _found(desk, workspace, name)
        return await _shown(desk, await desk.rotate(workspace, domain.name, now=body.now))

    @routes.post("/{name}/check")
    async def check(
        name: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> dict[str, Any]:
        """Look at DNS, for each way out: pass, fail or unknown."""
        try:
            return await desk.check(workspace, name)
        except DomainRefused as refused:
            raise Problem(422, str(refused)) from None

    @routes.delete("/{name}", status_code=204)
    async def remove(name: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> None:
        """Forget it and its keys: its mail goes out unsigned."""
        if not await desk.remove(workspace, name):
            raise Problem(404, f"no domain is called {name!r}")

    _ = (add, list_, show, rotate, check, remove)
    return routes


async def _found(desk: DomainDesk, workspace: WorkspaceId, name: str) -> SenderDomain:
    try:
        return await desk.find(workspace, name)
    except LookupError:
        raise Problem(404, f"no domain is called {name!r}") from None


async def _shown(desk: DomainDesk, domain: SenderDomain) -> Domain:
    ways = await desk.ways(domain.workspace, domain.name)
    records = to_publish(domain.name, domain.keys, ways, desk.bounce_domain)
    return Domain(
        domain=domain.name,
        keys=[
            ShownKey(
                selector=key.selector,
                algorithm=key.algorithm,
                state=key.state,
                record_name=key.record_name(domain.name),
                record=key.record,
                created_at=key.created_at,
                changed_at=key.changed_at,
            )
            for key in domain.keys
        ],
        blocked=domain.blocked,
        created_at=domain.created_at,
        checked_at=domain.checked_at,
        publish=[asdict(record) for record in records],
    )
