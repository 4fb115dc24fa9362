"""Records as the other services write them, with sensible values for what a test does not name."""

import datetime as dt
import itertools
from typing import Any

from chappe.clock import UTC
from chappe.events import (
    EVENTS,
    Decision,
    Event,
    Flags,
    Identifier,
    RawEngagement,
    Stream,
    encode_event,
)
from chappe.ids import ContactId, EnrollmentId, EventId, MessageId, StepId, WorkspaceId
from chappe.shards import Input

NOON = dt.datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SHOP = WorkspaceId("default")
ZOE = ContactId("c_zoe")
CART_1 = MessageId("m_cart-1")
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15"

_numbers = itertools.count(1)


def event(
    name: str,
    *,
    at: dt.datetime = NOON,
    contact: ContactId = ZOE,
    event_id: str | None = None,
    flags: Flags | None = None,
    email: str | None = None,
    traits: dict[str, Any] | None = None,
    **data: Any,
) -> Event:
    return Event(
        id=EventId(event_id or f"e_{next(_numbers)}"),
        name=name,
        workspace=SHOP,
        occurred_at=at,
        received_at=at,
        contact=contact,
        identifiers=(Identifier("email", email),) if email else (),
        traits=traits or {},
        data=data,
        flags=flags or Flags(),
    )


def decision(
    what: str,
    *,
    at: dt.datetime = NOON,
    number: str | None = None,
    reason: str | None = None,
    journey: str | None = "abandoned-cart",
    version: int = 3,
    step: str | None = None,
    message: MessageId | None = None,
    contact: ContactId = ZOE,
    **seen: Any,
) -> Decision:
    return Decision(
        id=number or f"d_{next(_numbers)}",
        at=at,
        workspace=SHOP,
        contact=contact,
        what=what,
        reason=reason,
        journey=journey,
        version=version,
        enrollment=EnrollmentId("en_1"),
        step=StepId(step) if step else None,
        message=message,
        seen=seen,
    )


def touch(
    kind: str = "click",
    *,
    at: dt.datetime = NOON,
    agent: str | None = SAFARI,
    method: str = "GET",
    link: int | None = 0,
    number: str | None = None,
    message: MessageId = CART_1,
    contact: ContactId = ZOE,
) -> RawEngagement:
    return RawEngagement(
        id=number or f"raw_{next(_numbers)}",
        kind=kind,
        workspace=SHOP,
        contact=contact,
        message=message,
        received_at=at,
        link=link if kind == "click" else None,
        url="https://shop.example/cart" if kind == "click" else None,
        user_agent=agent,
        method=method,
    )


def record_of(fact: Event, *, shard: int = 0, offset: int = 0, stream: Stream = EVENTS) -> Input:
    return Input(shard, stream, offset, b"default/c_zoe", encode_event(fact))
