"""``/api/v1/contacts`` and ``/api/v1/enrollments``: who is known, and who stands where."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
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
    segments: list[str]
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

    @router.get("/contacts/{ref:path}/export")
    async def export(ref: str, workspace: WorkspaceId = caller) -> dict[str, Any]:
        """The journeys' part of a contact's export: profile, enrollments, keys."""
        shard, who, profile = await _known(api, workspace, ref)
        held = await api.people.export(shard, who)
        return {"contact": who, "profile": msgspec.to_builtins(profile, str_keys=True), **held}

    @router.delete("/contacts/{ref:path}")
    async def erase(ref: str, answer: Response, workspace: WorkspaceId = caller) -> dict[str, Any]:
        """Forget a contact everywhere. 202: kept, and applied in a moment."""
        try:
            asked = await api.identities.erase(workspace, ref)
        except IdentitiesUnavailable as error:
            raise Problem(503, str(error), headers={"Retry-After": "1"}) from error
        if asked is None:
            raise Problem(404, "no contact is known by that reference")
        applied, told = asked
        answer.status_code = 200 if applied else 202
        return told

    @router.get("/contacts/{ref}")
    async def contact(ref: str, workspace: WorkspaceId = caller) -> ContactDetail:
        """REF is an id, ``email:…``, ``phone:…`` or ``external_id:…``."""
        _, who, profile = await _known(api, workspace, ref)
        return ContactDetail(**_shown(who, profile), **_history(profile))

    @router.get("/enrollments")
    async def enrollments(
        journey: str | None = None,
        contact: str | None = None,
        status: Literal["active", "finished"] | None = None,
        step: str | None = None,
        version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
        workspace: WorkspaceId = caller,
    ) -> Page[EnrollmentOut]:
        """Newest first. A page looks at so many and no more: with ``step`` or ``status`` it may
        hold fewer than asked for, or none, and still have a ``next``.
        """
        who = None
        if contact:
            who = await _resolved(api.identities, api.partitions, workspace, contact)
        found = await api.people.enrollments(
            workspace,
            journey=journey,
            status=status,
            contact=who,
            step=step,
            version=version,
            before=before(cursor),
            limit=limit,
        )
        more = cursor_at(*found.more) if found.more else None
        return Page(items=[enrollment_out(*pair) for pair in found.found], next=more)

    _ = (contacts, contact, enrollments, export, erase)
    return router


async def _known(
    api: PeopleApi, workspace: WorkspaceId, ref: str
) -> tuple[int, ContactId, Profile]:
    return await known(
        workspace, ref, people=api.people, identities=api.identities, partitions=api.partitions
    )


async def known(
    workspace: WorkspaceId, ref: str, *, people: People, identities: Identities, partitions: int
) -> tuple[int, ContactId, Profile]:
    """The contact behind a reference, also behind an id from before a merge."""
    shard, who = await _resolved(identities, partitions, workspace, ref)
    profile = await people.contact(shard, workspace, who)
    if profile is None and ref.partition(":")[0] not in KINDS_OF_REF:
        try:
            current = await identities.contact(workspace, ref)
        except IdentitiesUnavailable:
            current = None
        if current is not None and current != who:
            who = current
            shard = partition_of(contact_key(workspace, who), partitions)
            profile = await people.contact(shard, workspace, who)
    if profile is None:
        raise Problem(404, "no such contact")
    return shard, who, profile


async def _resolved(
    identities: Identities, partitions: int, workspace: WorkspaceId, ref: str
) -> tuple[int, ContactId]:
    """The shard and the contact behind a reference. 404 when nobody is known by it."""
    who: ContactId | None = ContactId(ref)
    if ref.partition(":")[0] in KINDS_OF_REF:
        try:
            who = await identities.contact(workspace, ref)
        except IdentitiesUnavailable as error:
            raise Problem(503, str(error), headers={"Retry-After": "1"}) from error
    if who is None:
        raise Problem(404, "no contact is known by that reference")
    return partition_of(contact_key(workspace, who), partitions), who


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
        "segments": profile.segments,
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


def enrollment_out(contact: ContactId, one: Enrollment) -> EnrollmentOut:
    """An enrollment as the API shows it."""
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
