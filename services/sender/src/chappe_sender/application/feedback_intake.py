"""From the shard's streams to the table of deliveries: webhooks, returned mail, some events."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from chappe.events import Event, RawDelivery, decode_event
from chappe.events.streams import EVENTS, RAW_DELIVERY
from chappe.shards import DeadLetter, Input
from chappe_sender.application.feedback_ports import EVENT, Delivery
from chappe_sender.application.feedback_reading import bears_on_delivery

NAMES = (b'"email.bounced"', b'"email.opened"', b'"email.clicked"')
"""Looked for in the bytes first: most events say nothing here, and decoding is not free."""

ENGAGED = frozenset({"email.opened", "email.clicked"})

_raw = msgspec.json.Decoder(RawDelivery).decode


class DeliveryTable(Protocol):
    """Where deliveries wait."""

    async def take_in(self, deliveries: Sequence[Delivery]) -> None:
        """Keep them; a repeat is the same one."""
        ...

    async def telling(self, messages: Iterable[str]) -> frozenset[str]:
        """Which messages are in doubt, or to addresses that bounced: an open speaks for those."""
        ...


@dataclass(frozen=True, slots=True)
class FeedbackIntake:
    """Done before the batch is committed: whatever is read twice is the same row."""

    table: DeliveryTable

    async def take_in(
        self, inputs: Iterable[Input], now: dt.datetime
    ) -> tuple[int, list[DeadLetter]]:
        """How many deliveries there were among ``inputs``, and those that cannot be read."""
        found: list[Delivery] = []
        opened: dict[str, list[Delivery]] = {}
        dead: list[DeadLetter] = []
        for item in inputs:
            try:
                if item.stream == RAW_DELIVERY:
                    found.append(_delivery(item))
                elif item.stream == EVENTS and any(name in item.body for name in NAMES):
                    _sort(item, found, opened)
            except msgspec.MsgspecError as error:
                if item.stream == RAW_DELIVERY:
                    dead.append(DeadLetter(item, f"cannot be read: {error}", now))
        if opened:
            telling = await self.table.telling(opened)
            found += [each for id_ in sorted(telling) for each in opened[id_]]
        if found:
            await self.table.take_in(found)
        return len(found), dead


def _delivery(item: Input) -> Delivery:
    raw = _raw(item.body)
    return Delivery(
        id=raw.id,
        shard=item.shard,
        kind=raw.provider,
        endpoint=raw.endpoint,
        received_at=raw.received_at,
        received_wall=raw.received_wall,
        headers=raw.headers,
        body=raw.body,
    )


def _sort(item: Input, found: list[Delivery], opened: dict[str, list[Delivery]]) -> None:
    """A hand-over's bounce counts; what feedback itself published has its own record."""
    event = decode_event(item.body)
    if not bears_on_delivery(event) or "raw" in event.data:
        return
    delivery = _of_event(item, event)
    if event.name in ENGAGED:
        opened.setdefault(str(event.data["message"]), []).append(delivery)
    else:
        found.append(delivery)


def _of_event(item: Input, event: Event) -> Delivery:
    return Delivery(
        id=f"event:{event.id}",
        shard=item.shard,
        kind=EVENT,
        endpoint="",
        received_at=event.received_at,
        received_wall=event.received_at,
        headers={},
        body=item.body,
    )
