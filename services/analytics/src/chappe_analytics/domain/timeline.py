"""One line of a contact's timeline: a fact that came, or a decision that was taken."""

import datetime as dt
from typing import Any, Literal, TypeAlias

import msgspec

from chappe.events import Decision, Event, Flags
from chappe.ids import ContactId, EnrollmentId, MessageId, StepId, WorkspaceId
from chappe_analytics.domain import sentences
from chappe_analytics.domain.excerpt import excerpt
from chappe_analytics.domain.message import message_of

Kind: TypeAlias = Literal["event", "decision"]

FLAGS = Flags.__struct_fields__


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``name`` is the event's name or the decision taken; ``text`` says it for people.

    ``at`` is when it happened, on the business clock. ``event`` is the event that a decision
    answers. ``flags`` are those that are set. ``data`` is an excerpt of the event's data, or the
    values that the decision saw; at most 4 KB.
    """

    id: str
    workspace: WorkspaceId
    contact: ContactId
    kind: Kind
    at: dt.datetime
    received_at: dt.datetime | None = None
    name: str
    text: str
    reason: str | None = None
    journey: str | None = None
    version: int | None = None
    step: StepId | None = None
    enrollment: EnrollmentId | None = None
    message: MessageId | None = None
    event: str | None = None
    flags: tuple[str, ...] = ()
    data: dict[str, Any] = {}


def entry_of_event(event: Event, contact: ContactId) -> Entry:
    """The line that a fact writes."""
    data = event.data
    return Entry(
        id=event.id,
        workspace=event.workspace,
        contact=contact,
        kind="event",
        at=event.occurred_at,
        received_at=event.received_at,
        name=event.name,
        text=sentences.of_event(event),
        reason=_said(data, "reason") if event.name.startswith("email.") else None,
        journey=_said(data, "journey"),
        step=_step(data),
        enrollment=_enrollment(data),
        message=message_of(event),
        flags=tuple(flag for flag in FLAGS if getattr(event.flags, flag)),
        data=excerpt(data),
    )


def entry_of_decision(decision: Decision) -> Entry:
    """The line that a decision writes."""
    return Entry(
        id=decision.id,
        workspace=decision.workspace,
        contact=decision.contact,
        kind="decision",
        at=decision.at,
        name=decision.what,
        text=sentences.of_decision(decision),
        reason=decision.reason,
        journey=decision.journey,
        version=decision.version,
        step=decision.step,
        enrollment=decision.enrollment,
        message=decision.message,
        event=decision.event,
        data=excerpt(decision.seen),
    )


def _said(data: dict[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


def _step(data: dict[str, Any]) -> StepId | None:
    said = _said(data, "step")
    return StepId(said) if said is not None else None


def _enrollment(data: dict[str, Any]) -> EnrollmentId | None:
    said = _said(data, "enrollment")
    return EnrollmentId(said) if said is not None else None
