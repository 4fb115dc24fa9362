"""``POST /api/v1/messages/notices``: a word to the shop's own people, by mail."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from chappe.broker import Broker, BrokerError, Outgoing
from chappe.clock import Clock
from chappe.events import SENDS, Send, Snapshot, contact_key
from chappe.http import FieldError, Problem, require_token
from chappe.ids import EnrollmentId, StepId, WorkspaceId, partition_of
from chappe.shards import wrap
from chappe_sender.application.ports import Reads
from chappe_sender.domain import notices
from chappe_sender.domain.addresses import address_key, parse_address

ACCEPTED = 202

_encode = msgspec.json.Encoder().encode


class Notice(BaseModel):
    """``id`` is the caller's: the same again is the same mail. A long subject is cut."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=200)
    to: str = Field(max_length=320)
    subject: str = Field(max_length=notices.TEXT_LETTERS_MAX)
    text: str = Field(max_length=notices.TEXT_LETTERS_MAX)


class Taken(BaseModel):
    """``message`` is its id among the messages."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticesApi:
    """What the address needs."""

    admin_token: str
    reads: Reads
    broker: Broker
    clock: Clock


def router(api: NoticesApi) -> APIRouter:
    """The one route."""
    routes = APIRouter(prefix="/api/v1")
    workspace_of: Any = require_token(api.admin_token)

    @routes.post("/messages/notices", tags=["messages"])
    async def notify(
        body: Notice,
        answer: Response,
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
    ) -> Taken:
        """202: it is kept and will be sent; 200: it was asked for before."""
        if parse_address(body.to) is None:
            wrong = FieldError("to", "is not an e-mail address")
            raise Problem(422, "the notice cannot be sent", errors=[wrong])
        ask = _send(body, workspace, api.clock)
        if await api.reads.message(workspace, ask.message) is None:
            key = contact_key(workspace, ask.contact)
            record = Outgoing(partition_of(key, api.broker.partitions), key, wrap(_encode(ask)))
            try:
                await api.broker.append(SENDS, [record])
            except BrokerError as error:
                away = "the log does not take the notice"
                raise Problem(503, away, headers={"Retry-After": "1"}) from error
            answer.status_code = ACCEPTED
        return Taken(message=ask.message)

    _ = notify
    return routes


def _send(notice: Notice, workspace: WorkspaceId, clock: Clock) -> Send:
    now = clock.now()
    said = {"subject": notices.one_line(notice.subject), "text": notice.text}
    return Send(
        message=notices.message_id(workspace, notice.id),
        workspace=workspace,
        contact=notices.staff(workspace, address_key(notice.to)),
        enrollment=EnrollmentId(notices.NAME),
        journey=notices.NAME,
        version=1,
        step=StepId(notices.NAME),
        template=notices.NAME,
        address=notice.to,
        locale=None,
        asked_at=now,
        due_at=now,
        deadline=now + notices.DEADLINE,
        snapshot=Snapshot(event=said),
    )
