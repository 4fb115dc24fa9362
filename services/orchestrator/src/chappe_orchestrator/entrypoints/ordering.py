"""Start an enrollment, end one, release a parked contact: orders that the shard's owner obeys."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from chappe.broker import BrokerError
from chappe.http import FieldError, Page, Problem, cursor_of, position_of
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import ContactId, WorkspaceId
from chappe_orchestrator.application.ordering import GiveOrders
from chappe_orchestrator.application.ports import Identities, People, Shelf
from chappe_orchestrator.entrypoints.people import EnrollmentOut, enrollment_out, known

ACCEPTED = 202
CREATED = 201
DATA_BYTES_MAX = 32 * 1024
NOT_OURS = ("journey", "by")


class StartIn(BaseModel):
    """``contact`` is a REF. ``data`` is what the steps see as ``event.``. ``by`` is who asks: a
    journey says in its trigger whom it listens to.
    """

    contact: str = Field(min_length=1, max_length=500)
    journey: str = Field(min_length=1, max_length=100)
    data: dict[str, Any] = {}
    by: Literal["api", "manual", "csv"] = "api"


class StartOut(BaseModel):
    """``status``: entered, not_entered (the contact's timeline says why), or accepted: kept, and
    applied in a moment.
    """

    event: str
    status: str
    enrollment: EnrollmentOut | None


class ExitIn(BaseModel):
    contact: str = Field(min_length=1, max_length=500)
    reason: str = Field(default="asked", pattern=r"^[a-z][a-z0-9_]{0,99}$")


class OrderOut(BaseModel):
    """``applied`` is false while the order, which is kept, waits its turn."""

    event: str
    applied: bool


class ParkedOut(BaseModel):
    """A contact set aside because its step failed; ``events`` wait for it, counted to 10,000."""

    contact: str
    reason: str
    parked_at: dt.datetime
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderingApi:
    """What these addresses need."""

    orders: GiveOrders
    people: People
    shelf: Shelf
    identities: Identities
    partitions: int
    workspace: Callable[[Request], Awaitable[WorkspaceId]]


def ordering_router(api: OrderingApi) -> APIRouter:
    """The routes. Before those of ``/contacts/{ref}``: ``parked`` is nobody's id."""
    router = APIRouter(prefix="/api/v1", dependencies=[Depends(api.workspace)])
    _add_enrollments(router, api)
    _add_parked(router, api)
    return router


def _add_enrollments(router: APIRouter, api: OrderingApi) -> None:
    caller = Depends(api.workspace)

    @router.post("/enrollments", tags=["contacts"])
    async def start(body: StartIn, answer: Response, workspace: WorkspaceId = caller) -> StartOut:
        """Begin a journey that has a trigger ``request`` for a contact."""
        await _check_start(api, workspace, body)
        who = await _contact(api, workspace, body.contact)
        try:
            done = await api.orders.start(workspace, who, body.journey, body.data, body.by)
        except BrokerError as error:
            raise _away() from error
        entered = done.enrollment is not None
        answer.status_code = CREATED if entered else 200 if done.applied else ACCEPTED
        status = "entered" if entered else "not_entered" if done.applied else "accepted"
        shown = enrollment_out(who, done.enrollment) if done.enrollment else None
        return StartOut(event=done.event, status=status, enrollment=shown)

    @router.post("/enrollments/{enrollment}/exit", tags=["contacts"])
    async def leave(
        enrollment: str, body: ExitIn, answer: Response, workspace: WorkspaceId = caller
    ) -> OrderOut:
        """End it at once, with its timer and its messages not yet handed over."""
        who = await _contact(api, workspace, body.contact)
        place = api.orders.place(workspace, who)
        if await api.people.enrollment(workspace, enrollment, place) is None:
            raise Problem(404, "the contact has no such enrollment")
        try:
            event, applied = await api.orders.leave(workspace, who, enrollment, body.reason)
        except BrokerError as error:
            raise _away() from error
        answer.status_code = 200 if applied else ACCEPTED
        return OrderOut(event=event, applied=applied)

    _ = (start, leave)


def _add_parked(router: APIRouter, api: OrderingApi) -> None:
    caller = Depends(api.workspace)

    @router.get("/contacts/parked", tags=["contacts"])
    async def parked(
        limit: Limit = LIMIT_DEFAULT, cursor: str | None = None, workspace: WorkspaceId = caller
    ) -> Page[ParkedOut]:
        """Contacts whose step failed, with how much waits for each."""
        at = position_of(cursor, 2)
        after = (int(at[0]), str(at[1])) if at else (-1, "")
        rows = await api.people.parked(workspace, after, limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(
            items=[ParkedOut.model_validate(row._asdict()) for _, row in rows[:limit]],
            next=cursor_of(last[0], last[1].contact) if last else None,
        )

    @router.post("/contacts/{ref}/release", tags=["contacts"])
    async def release(ref: str, answer: Response, workspace: WorkspaceId = caller) -> OrderOut:
        """Apply in order all that waits for a parked contact. What fails again stays parked."""
        who = await _contact(api, workspace, ref, parked=True)
        try:
            event, applied = await api.orders.release(workspace, who)
        except BrokerError as error:
            raise _away() from error
        answer.status_code = 200 if applied else ACCEPTED
        return OrderOut(event=event, applied=applied)

    _ = (parked, release)


async def _check_start(api: OrderingApi, workspace: WorkspaceId, body: StartIn) -> None:
    wrong = [FieldError(f"data.{name}", "is ours") for name in NOT_OURS if name in body.data]
    if len(msgspec.json.encode(body.data)) > DATA_BYTES_MAX:
        wrong.append(FieldError("data", f"is larger than {DATA_BYTES_MAX} bytes"))
    if wrong:
        raise Problem(422, "the request cannot be used; see errors", errors=wrong)
    row = await api.shelf.one(workspace, body.journey)
    if row is None or row.version is None or row.archived:
        raise Problem(404, f"no published journey is called {body.journey!r}")


async def _contact(
    api: OrderingApi, workspace: WorkspaceId, ref: str, *, parked: bool = False
) -> ContactId:
    """The contact; a parked one need not have a profile yet."""
    if parked and await api.people.is_parked(api.orders.place(workspace, ContactId(ref))):
        return ContactId(ref)
    _, who, _ = await known(
        workspace, ref, people=api.people, identities=api.identities, partitions=api.partitions
    )
    return who


def _away() -> Problem:
    return Problem(503, "the log does not take the order", headers={"Retry-After": "1"})
