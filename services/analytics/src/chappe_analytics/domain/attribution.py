"""Which message an order is owed to: the last one that a reader touched, recently enough."""

import datetime as dt
from collections.abc import Iterable

from chappe.events import Event
from chappe_analytics.domain.message import Message

CONVERSION = "order.placed"
CLICK_WINDOW = dt.timedelta(days=5)
OPEN_WINDOW = dt.timedelta(days=5)
WINDOW_MAX = max(CLICK_WINDOW, OPEN_WINDOW)

ORDER_PRECISION = dt.timedelta(seconds=1)
"""Storefronts write whole seconds: an order may carry a time just before the click it followed."""

_WINDOWS = {"clicked": CLICK_WINDOW, "opened": OPEN_WINDOW}


def converts(event: Event) -> bool:
    """Whether the event is an order that counts: not a copy, not a test."""
    return event.name == CONVERSION and not event.flags.copy and not event.flags.test


def earned_by(event: Event, messages: Iterable[Message]) -> Message | None:
    """The message of last touch, or None. A click outranks an open of the same instant."""
    at = event.occurred_at
    touches = [
        (touch.at, touch.kind == "clicked", message.id, message)
        for message in messages
        for touch in message.touches
        if at - _WINDOWS[touch.kind] <= touch.at <= at + ORDER_PRECISION
    ]
    return max(touches, key=lambda touch: touch[:3])[3] if touches else None
