"""Understand the records of a batch, and say what must be known to apply them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import msgspec

from chappe.events import (
    JOURNAL,
    RAW_ENGAGEMENT,
    Event,
    JournalBatch,
    RawEngagement,
    decode_event,
    decode_journal,
)
from chappe.ids import ContactId
from chappe.shards import Input
from chappe_analytics.application.ports import ContactKey, EntryKey, Wanted
from chappe_analytics.domain.attribution import WINDOW_MAX, converts
from chappe_analytics.domain.engagement import key_of
from chappe_analytics.domain.message import message_of
from chappe_analytics.domain.verdict import KINDS

REASON_LENGTH_MAX = 500

_decode_engagement = msgspec.json.Decoder(RawEngagement).decode


class ContactEvent(NamedTuple):
    """An event whose contact is known, as all on ``events`` are."""

    event: Event
    contact: ContactId


Item: TypeAlias = RawEngagement | JournalBatch | ContactEvent


@dataclass(frozen=True, slots=True)
class Understood:
    """Engagements first, then decisions, then events: what is known of a message helps to place
    what happened to it. Within each kind, log order.
    """

    items: list[tuple[Input, Item]] = field(default_factory=list[tuple[Input, Item]])
    refused: list[tuple[Input, str]] = field(default_factory=list[tuple[Input, str]])


def understand(inputs: Iterable[Input]) -> Understood:
    """Decode every record; what cannot be is refused with a reason."""
    understood = Understood()
    for one in inputs:
        try:
            understood.items.append((one, _decode(one)))
        except (msgspec.MsgspecError, ValueError) as error:
            understood.refused.append((one, str(error)[:REASON_LENGTH_MAX]))
    understood.items.sort(key=_turn)
    return understood


def wanted_by(items: Iterable[tuple[Input, Item]]) -> Wanted:
    """What to load."""
    wanted = Wanted()
    for _, item in items:
        match item:
            case RawEngagement():
                wanted.hits.add(item.id)
                wanted.engagements.add(key_of(item))
            case JournalBatch():
                for decision in item.decisions:
                    key = EntryKey(decision.workspace, decision.contact, decision.id)
                    wanted.entries.add(key)
                    wanted.contacts.add(ContactKey(decision.workspace, decision.contact))
                    if decision.message is not None:
                        wanted.messages.add(decision.message)
            case ContactEvent(event, contact):
                _want_event(wanted, event, contact)
    return wanted


def _want_event(wanted: Wanted, event: Event, contact: ContactId) -> None:
    wanted.entries.add(EntryKey(event.workspace, contact, event.id))
    wanted.contacts.add(ContactKey(event.workspace, contact))
    if (message := message_of(event)) is not None:
        wanted.messages.add(message)
    if converts(event):
        key = ContactKey(event.workspace, contact)
        since = event.occurred_at - WINDOW_MAX
        wanted.orders[key] = min(since, wanted.orders.get(key, since))


def _decode(one: Input) -> Item:
    if one.stream == RAW_ENGAGEMENT:
        touch = _decode_engagement(one.body)
        if touch.kind not in KINDS:
            raise ValueError(f"{touch.kind!r} is neither an open nor a click")
        return touch
    if one.stream == JOURNAL:
        return decode_journal(one.body)
    event = decode_event(one.body)
    if event.contact is None:
        raise ValueError("an event without a contact")
    return ContactEvent(event, event.contact)


def _turn(pair: tuple[Input, Item]) -> int:
    match pair[1]:
        case RawEngagement():
            return 0
        case JournalBatch():
            return 1
        case ContactEvent():
            return 2
