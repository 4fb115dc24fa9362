"""What the API asks of a contact: a record in ``events``, and a look whether it is applied."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from chappe.broker import Broker, Outgoing
from chappe.clock import Clock, monotonic
from chappe.events import EVENTS, Event, contact_key, encode_event
from chappe.ids import ContactId, EventId, WorkspaceId, partition_of
from chappe.shards import wrap
from chappe_orchestrator.application.ports import People
from chappe_orchestrator.domain import Enrollment
from chappe_orchestrator.domain.orders import EXIT, RELEASE
from chappe_orchestrator.domain.profile import has_seen

WAIT_SECONDS = 2.0
LOOK_SECONDS = 0.05


class Started(NamedTuple):
    """``enrollment`` is None when the contact did not enter, or when that is not known yet."""

    event: EventId
    applied: bool
    enrollment: Enrollment | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveOrders:
    """Orders about one contact, given to the owner of its shard."""

    people: People
    broker: Broker
    clock: Clock
    new_id: Callable[[str], str]

    def place(self, workspace: WorkspaceId, contact: ContactId) -> tuple[int, ContactId]:
        """The shard of a contact, and the contact."""
        return partition_of(contact_key(workspace, contact), self.broker.partitions), contact

    async def start(
        self,
        workspace: WorkspaceId,
        contact: ContactId,
        journey: str,
        data: Mapping[str, Any],
        by: str = "api",
    ) -> Started:
        """Ask a journey to begin for the contact, as its trigger ``request: BY`` hears it."""
        asked = {**data, "journey": journey, "by": by}
        event = await self._tell(workspace, contact, "journey.requested", asked)
        place = self.place(workspace, contact)

        async def applied() -> bool:
            profile = await self.people.contact(place[0], workspace, contact)
            return profile is not None and has_seen(profile, event)

        done = await _until(applied)
        found = await self.people.entered_by(place, event) if done else None
        return Started(event, done, found)

    async def leave(
        self, workspace: WorkspaceId, contact: ContactId, enrollment: str, reason: str
    ) -> tuple[EventId, bool]:
        """Let an enrollment end at once. True: it has ended."""
        asked = {"enrollment": enrollment, "reason": reason, "by": "api"}
        event = await self._tell(workspace, contact, EXIT, asked)
        place = self.place(workspace, contact)

        async def applied() -> bool:
            found = await self.people.enrollment(workspace, enrollment, place)
            return found is None or found.status != "active"

        return event, await _until(applied)

    async def release(self, workspace: WorkspaceId, contact: ContactId) -> tuple[EventId, bool]:
        """Apply in order what waits for a parked contact. True: it is parked no more."""
        event = await self._tell(workspace, contact, RELEASE, {})
        place = self.place(workspace, contact)

        async def applied() -> bool:
            return not await self.people.is_parked(place)

        return event, await _until(applied)

    async def _tell(
        self, workspace: WorkspaceId, contact: ContactId, name: str, data: dict[str, Any]
    ) -> EventId:
        now = self.clock.now()
        event = Event(
            id=EventId(self.new_id("e_")),
            name=name,
            workspace=workspace,
            occurred_at=now,
            received_at=now,
            contact=contact,
            data=data,
        )
        shard, _ = self.place(workspace, contact)
        key = contact_key(workspace, contact)
        await self.broker.append(EVENTS, [Outgoing(shard, key, wrap(encode_event(event)))])
        return event.id


async def _until(applied: Callable[[], Awaitable[bool]]) -> bool:
    """Look for a while; the order is durable whatever comes of it."""
    end = monotonic() + WAIT_SECONDS
    while True:
        if await applied():
            return True
        if monotonic() >= end:
            return False
        await asyncio.sleep(LOOK_SECONDS)
