"""A message in the ledger: its states, why it was not sent, and what is said about it."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chappe.events import Decision, Event, Flags, ObjectRef
from chappe.ids import ContactId, EnrollmentId, EventId, MessageId, StepId, WorkspaceId, derived
from chappe_sender.domain.template import MessageClass


class State(StrEnum):
    """``sending`` has two stages: claimed, and (``committing``) content perhaps on the wire."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    IN_DOUBT = "in_doubt"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Who and what a message is about: enough to report on it.

    ``shard`` is where its row lives. A tombstone (cancelled before it was asked for) knows no
    enrollment, journey, step or template.
    """

    id: MessageId
    shard: int
    workspace: WorkspaceId
    contact: ContactId
    enrollment: EnrollmentId | None = None
    journey: str | None = None
    version: int | None = None
    step: StepId | None = None
    template: str | None = None
    message_class: MessageClass | None = None
    test: bool = False

    @property
    def is_marketing(self) -> bool:
        return self.message_class is not MessageClass.TRANSACTIONAL


def report(
    message: Message, name: str, now: dt.datetime, reason: str | None = None, **data: Any
) -> Event:
    """An event about a message. Its id derives from message and name: saying it twice is once."""
    said: dict[str, Any] = {
        "message": message.id,
        "enrollment": message.enrollment,
        "journey": message.journey,
        "step": message.step,
        "template": message.template,
    }
    if reason is not None:
        said["reason"] = reason
    said |= {key: value for key, value in data.items() if value is not None}
    return Event(
        id=EventId(derived("ev_", "sender", message.id, name)),
        name=name,
        workspace=message.workspace,
        occurred_at=now,
        received_at=now,
        contact=message.contact,
        object=ObjectRef("message", message.id),
        data=said,
        flags=Flags(test=message.test),
    )


def decision(
    message: Message, what: str, now: dt.datetime, reason: str | None = None, **seen: Any
) -> Decision:
    """One line of the journal about a message."""
    return Decision(
        id=derived("dc_", "sender", message.id, what, now.isoformat()),
        at=now,
        workspace=message.workspace,
        contact=message.contact,
        what=what,
        reason=reason,
        journey=message.journey,
        version=message.version,
        enrollment=message.enrollment,
        step=message.step,
        message=message.id,
        seen={key: value for key, value in seen.items() if value is not None},
    )
