"""``/api/v1/contacts`` and ``/api/v1/enrollments``: who is known, and who stands where."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from chappe.events import contact_key
from chappe.http import Page, Problem, cursor_of, position_of
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import ContactId, WorkspaceId, partition_of
from chappe_orchestrator.application.ports import Identities, IdentitiesUnavailable, People
from chappe_orchestrator.domain import Enrollment, Profile
from chappe_orchestrator.entrypoints.cursors import before, cursor_at

KINDS_OF_REF = ("email", "phone", "external_id", "anonymous_id")


class IdentifierOut(BaseModel):
    type: str
    value: str


class ConsentOut(BaseModel):
    state: str
    at: dt.datetime
    source: str | None


class CounterOut(BaseModel):
    total: int
    first: dt.datetime
    last: dt.datetime


class MailOut(BaseModel):
    message: str
    journey: str
    step: str
    asked_at: dt.datetime
    accepted_at: dt.datetime | None
    opened_at: dt.datetime | None
    clicked_at: dt.datetime | None


class HeardOut(BaseModel):
    id: str
    name: str
    occurred_at: dt.datetime


class ContactOut(BaseModel):
    """One contact, in short."""

    id: str
    email: str | None
    identifiers: list[IdentifierOut]
    traits: dict[str, Any]
    tags: list[str]
    consent: dict[str, ConsentOut]


class ContactDetail(ContactOut):
    """With what it did. ``events`` are the last ones, oldest first."""

    counters: dict[str, CounterOut]
    mails: list[MailOut]
    events: list[HeardOut]


class EnrollmentOut(BaseModel):
    """``step`` is the wait it stands at; ``due_at`` when that ends."""

    id: str
    contact: str
    journey: str
    version: int
    key: str
    status: str
    reason: str | None
    step: str | None
    held: bool
    due_at: dt.datetime | None
    entered_at: dt.datetime
    ended_at: dt.datetime | None
    goal_at: dt.datetime | None
    messages: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleApi:
    """What these addresses need."""

    people: People
    identities: Identities
    partitions: int
    workspace: Callable[[Request], Awaitable[WorkspaceId]]


def people_router(api: PeopleApi) -> APIRouter:
    """The routes of ``/api/v1/contacts`` and ``/api/v1/enrollments``."""
    router = APIRouter(prefix="/api/v1", tags=["contacts"])
    caller = Depends(api.workspace)

    @router.get("/contacts")
    async def contacts(
        limit: Limit = LIMIT_DEFAULT, cursor: str | None = None, workspace: WorkspaceId = caller
    ) -> Page[ContactOut]:
        """In no order that means anything."""
        at = position_of(cursor, 2)
        after = (int(at[0]), str(at[1])) if at else (-1, "")
        rows = await api.people.contacts(workspace, after, limit + 1)
        more = cursor_of(*rows[limit - 1][:2]) if len(rows) > limit else None
        return Page(
            items=[ContactOut(**_shown(contact, profile)) for _, contact, profile in rows[:limit]],
            next=more,
        )

    @router.get("/contacts/{ref}")
    async def contact(ref: str, workspace: WorkspaceId = caller) -> ContactDetail:
        """REF is an id, ``email:…``, ``phone:…`` or ``external_id:…``."""
        shard, who = await _resolved(api, workspace, ref)
        profile = await api.people.contact(shard, workspace, who)
        if profile is None:
            raise Problem(404, "no such contact")
        return ContactDetail(**_shown(who, profile), **_history(profile))

    @router.get("/enrollments")
    async def enrollments(
        journey: str | None = None,
        contact: str | None = None,
        status: Literal["active", "finished"] | None = None,
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
        workspace: WorkspaceId = caller,
    ) -> Page[EnrollmentOut]:
        """Newest first."""
        who = await _resolved(api, workspace, contact) if contact else None
        found = await api.people.enrollments(
            workspace,
            journey=journey,
            status=status,
            contact=who,
            before=before(cursor),
            limit=limit + 1,
        )
        more = None
        if len(found) > limit:
            last = found[limit - 1][1]
            more = cursor_at(last.entered_at, last.id)
        return Page(items=[_enrollment(*pair) for pair in found[:limit]], next=more)

    _ = (contacts, contact, enrollments)
    return router


async def _resolved(api: PeopleApi, workspace: WorkspaceId, ref: str) -> tuple[int, ContactId]:
    """The shard and the contact behind a reference. 404 when nobody is known by it."""
    who: ContactId | None = ContactId(ref)
    if ref.partition(":")[0] in KINDS_OF_REF:
        try:
            who = await api.identities.contact(workspace, ref)
        except IdentitiesUnavailable as error:
            raise Problem(503, str(error), headers={"Retry-After": "1"}) from error
    if who is None:
        raise Problem(404, "no contact is known by that reference")
    return partition_of(contact_key(workspace, who), api.partitions), who


def _shown(contact: ContactId, profile: Profile) -> dict[str, Any]:
    return {
        "id": contact,
        "email": profile.email,
        "identifiers": [
            IdentifierOut(type=kind, value=value)
            for kind, values in profile.identifiers.items()
            for value in values
        ],
        "traits": profile.traits,
        "tags": profile.tags,
        "consent": {
            channel: ConsentOut(state=held.state, at=held.at, source=held.source)
            for channel, held in profile.consent.items()
        },
    }


def _history(profile: Profile) -> dict[str, Any]:
    return {
        "counters": {
            name: CounterOut(total=one.total, first=one.first, last=one.last)
            for name, one in profile.counters.items()
        },
        "mails": [
            MailOut(
                message=mail.message,
                journey=mail.journey,
                step=mail.step,
                asked_at=mail.at,
                accepted_at=mail.accepted,
                opened_at=mail.opened,
                clicked_at=mail.clicked,
            )
            for mail in profile.mails
        ],
        "events": [
            HeardOut(id=one.id, name=one.name, occurred_at=one.at) for one in profile.recent
        ],
    }


def _enrollment(contact: ContactId, one: Enrollment) -> EnrollmentOut:
    return EnrollmentOut(
        id=one.id,
        contact=contact,
        journey=one.journey,
        version=one.version,
        key=one.key,
        status=one.status,
        reason=one.reason,
        step=one.step,
        held=one.held,
        due_at=one.due_at,
        entered_at=one.entered_at,
        ended_at=one.ended_at,
        goal_at=one.goal_at,
        messages=[asked.message for asked in one.asked],
    )
