"""``/api/v1/events`` puts one event in; ``/api/v1/identities/{ref}`` says who somebody is."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from chappe.broker import RecordTooLarge
from chappe.clock import Clock
from chappe.events import Identifier
from chappe.http import FieldError, Problem
from chappe.ids import SourceId, WorkspaceId, derived
from chappe_ingest.application.inlet import Delivered, Inlet, LogAway
from chappe_ingest.application.refs import Identities, find, parse_ref
from chappe_ingest.domain.reading import iso
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import API
from chappe_ingest.domain.sources.api import identifier, may_be_stated
from chappe_ingest.entrypoints.workspace import Authorise

EVENT_MAX_BYTES: Final = 32_768
IDENTIFIERS_MAX: Final = 20


class GivenIdentifier(BaseModel):
    """``type``: email, phone, external_id, anonymous_id, checkout_token or cart_token."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(max_length=40)
    value: str = Field(min_length=1, max_length=200)


class NewEvent(BaseModel):
    """One fact. ``contact`` is a REF; ``id``, if you give one, makes repeats harmless."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=110)
    contact: str | None = Field(None, max_length=300)
    identifiers: list[GivenIdentifier] = Field(default_factory=list, max_length=IDENTIFIERS_MAX)
    data: dict[str, Any] = Field(default_factory=dict)
    traits: dict[str, Any] = Field(default_factory=dict)
    occurred_at: AwareDatetime | None = None
    id: str | None = Field(None, min_length=1, max_length=200)


class TakenEvent(BaseModel):
    """Kept; it is applied in a moment, under this id."""

    id: str


class ShownIdentity(BaseModel):
    contact: str
    identifiers: list[GivenIdentifier]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsDesk:
    inlet: Inlet
    identities: Identities
    business: Clock

    async def take(self, workspace: WorkspaceId, wanted: NewEvent) -> TakenEvent:
        if not may_be_stated(wanted.name):
            detail = f"{wanted.name!r} may not be stated from outside; use custom.NAME for your own"
            wrong = FieldError("body.name", "a shop's fact, or custom.NAME in snake_case")
            raise Problem(422, detail, errors=[wrong])
        contact, named = await self._who(workspace, wanted)
        occurred_at = iso(wanted.occurred_at.astimezone(dt.UTC)) if wanted.occurred_at else None
        document = {
            "name": wanted.name,
            "contact": contact,
            "identifiers": [{"type": each.type, "value": each.value} for each in named],
            "data": wanted.data,
            "traits": wanted.traits,
            "occurred_at": occurred_at,
            "id": wanted.id,
        }
        try:
            body = msgspec.json.encode(document)
        except (ValueError, OverflowError, TypeError):
            raise Problem(422, "data or traits hold what JSON cannot carry") from None
        if len(body) > EVENT_MAX_BYTES:
            raise Problem(413, f"an event holds at most {EVENT_MAX_BYTES} bytes")
        entity = contact or named[0].value
        given = Delivered(headers={}, body=body, entity=entity, verified=True)
        try:
            (raw,) = await self.inlet.take(self._source(workspace), [given])
        except (LogAway, RecordTooLarge):
            raise Problem(
                503, "the event could not be stored; try again", headers={"Retry-After": "5"}
            ) from None
        return TakenEvent(id=derived("e_", raw, "0"))

    async def show(self, workspace: WorkspaceId, ref: str) -> ShownIdentity:
        contact = await find(self.identities, workspace, ref)
        if contact is None:
            raise Problem(404, "there is no such contact")
        rows = await self.identities.identifiers_of(workspace, contact)
        shown = [GivenIdentifier(type=each.type, value=each.value) for each in rows]
        return ShownIdentity(contact=contact, identifiers=shown)

    async def _who(
        self, workspace: WorkspaceId, wanted: NewEvent
    ) -> tuple[str | None, list[Identifier]]:
        named: list[Identifier] = []
        for at, each in enumerate(wanted.identifiers):
            made = identifier(each.type, each.value)
            if made is None:
                wrong = FieldError(f"body.identifiers.{at}", "an unknown type or an unusable value")
                raise Problem(422, "an identifier cannot be used", errors=[wrong])
            named.append(made)
        if wanted.contact is None:
            if not named:
                raise Problem(422, "name the contact: `contact` or `identifiers`")
            return None, named
        ref = parse_ref(wanted.contact)
        if ref is None:
            what = "an id, or email:…, phone:…, external_id:…"
            raise Problem(422, "contact is no REF", errors=[FieldError("body.contact", what)])
        if isinstance(ref, Identifier):
            return None, [ref, *named]
        current = await self.identities.current(workspace, ref)
        if current is None:
            raise Problem(404, "there is no such contact")
        return current, named

    def _source(self, workspace: WorkspaceId) -> Source:
        """The API as a source: its callers hold the token."""
        return Source(
            id=SourceId(API),
            workspace=workspace,
            kind=API,
            name=API,
            namespace="",
            state=SourceState.ACTIVE,
            created_at=self.business.now(),
        )


def routes(desk: EventsDesk, authorise: Authorise) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["events"], max_body_size=2 * EVENT_MAX_BYTES)
    workspace: Any = Depends(authorise)

    @router.post("/events", status_code=202)
    async def take(wanted: NewEvent, workspace: WorkspaceId = workspace) -> TakenEvent:
        """Put one event in, as a shop would."""
        return await desk.take(workspace, wanted)

    @router.get("/identities/{ref:path}")
    async def show(ref: str, workspace: WorkspaceId = workspace) -> ShownIdentity:
        """The contact behind an id, ``email:…``, ``phone:…`` or ``external_id:…``."""
        return await desk.show(workspace, ref)

    _ = (take, show)
    return router
