"""A contact leaves its shard: into another contact, or for good.

All of it goes in the batch that hears of it: the tombstone, the rows, the timers, and what travels.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from chappe.events import EVENTS, Event, encode_event
from chappe.ids import ContactId, WorkspaceId
from chappe.shards import Input, Out, to_contact
from chappe_orchestrator.application.ports import Gone, History, Loaded, Store, Who
from chappe_orchestrator.domain import Contact, Timer
from chappe_orchestrator.domain.effects import Remembered, watch_timer
from chappe_orchestrator.domain.merging import forwarded, merged_into, needs_everything, transfers

ERASE = "privacy.erase_requested"

HISTORY_MOVED_MAX = 2_000
"""So many facts of one contact, the newest, move with it."""

HISTORY_BYTES_MAX = 4 * 1024 * 1024
"""Of the facts of one contact that move."""


class Departure(NamedTuple):
    """The event that says so, and whom the contact goes into; None: nobody."""

    event: Event
    into: ContactId | None


class Split(NamedTuple):
    """What a contact still hears itself, why it goes, and what comes after."""

    before: list[Event]
    departure: Departure | None
    after: list[Event]


def split(events: list[Event]) -> Split:
    """At the first event that ends the contact. It hears of its erasure itself, to leave."""
    for at, event in enumerate(events):
        if (into := merged_into(event)) is not None:
            return Split([*events[:at]], Departure(event, into), [*events[at + 1 :]])
        if event.name == ERASE:
            return Split([*events[: at + 1]], Departure(event, None), [*events[at + 1 :]])
    return Split(events, None, [])


async def complete(
    store: Store,
    history: History | None,
    events: Mapping[Who, Sequence[tuple[Event, Input]]],
    loaded: Loaded,
) -> None:
    """Load what else there is of contacts that are about to move, or to take somebody in."""
    wanted = list(
        dict.fromkeys(
            who for who, heard in events.items() for event, _ in heard if needs_everything(event)
        )
    )
    if not wanted:
        return
    for who, (enrollments, keys) in (await store.everything(wanted)).items():
        if (state := loaded.contacts.get(who)) is not None:
            state.enrollments = {one.id: one for one in enrollments}
            state.keys = keys
        loaded.keys[who] = keys
    if history is not None:
        loaded.history = await history.remembered(wanted, HISTORY_MOVED_MAX, HISTORY_BYTES_MAX)


def timers_of(state: Contact) -> list[Timer]:
    """The timers that the table holds for a contact."""
    waiting = [
        Timer(one.due_at, one.id, one.token)
        for one in state.enrollments.values()
        if one.status == "active" and one.due_at is not None and not one.held
    ]
    watching = [
        watch_timer(watch.due_at, state.id, journey, watch.token)
        for journey, watch in state.profile.watches.items()
        if watch.due_at is not None
    ]
    return waiting + watching


def overdue(state: Contact, now: dt.datetime) -> list[Timer]:
    """The timers of a contact that are due, in order."""
    return sorted(one for one in timers_of(state) if one.due_at <= now)


def sent_on(
    who: Who, events: Iterable[Event], into: ContactId | None, partitions: int
) -> list[Out]:
    """What came for a contact that is another now. Nothing goes to nobody."""
    if into is None:
        return []
    onward = (forwarded(event, into) for event in events)
    return [_out(who, event, partitions) for event in onward if event is not None]


def moved(
    who: Who,
    state: Contact,
    departure: Departure,
    history: Iterable[Remembered],
    partitions: int,
) -> list[Out]:
    """The state on its way, with the facts kept of the contact."""
    if departure.into is None:
        return []
    event = departure.event
    return [
        _out(who, part, partitions)
        for part in transfers(state, event, departure.into, event.received_at, history)
    ]


def gone(who: Who, workspace: WorkspaceId, departure: Departure) -> Gone:
    return Gone(who, workspace, departure.into)


def _out(who: Who, event: Event, partitions: int) -> Out:
    assert event.contact is not None
    return to_contact(
        who.shard, EVENTS, event.workspace, event.contact, encode_event(event), partitions
    )
