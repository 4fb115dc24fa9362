"""What comes on the bulk stream counts by what it is, not by the way it came."""

import datetime as dt
from typing import Any

from chappe.broker import Outgoing
from chappe.events import Event, Flags, Identifier, contact_key, encode_event
from chappe.events.streams import EVENTS_BULK
from chappe.ids import ContactId, EventId, WorkspaceId, partition_of
from chappe.shards import wrap
from tests.integration.orchestrator.place import PARTITIONS, Place

HOUR = dt.timedelta(hours=1)
CART = {"checkout_token": "k1", "cart_token": "t1"}


async def fetched(place: Place, name: str, contact: str, data: Any, flags: Flags) -> None:
    """As the resolver passes on what a poller or a backfill found."""
    event = Event(
        id=EventId(f"e_{name}_{contact}"),
        name=name,
        workspace=WorkspaceId("default"),
        occurred_at=place.clock.now(),
        received_at=place.clock.now(),
        contact=ContactId(contact),
        identifiers=(Identifier("email", f"{contact}@example.com"),),
        data=data,
        flags=flags,
    )
    key = contact_key(event.workspace, ContactId(contact))
    record = Outgoing(partition_of(key, PARTITIONS), key, wrap(encode_event(event)))
    await place.broker.append(EVENTS_BULK, [record])
    await place.settle()


async def test_a_fresh_customer_whom_a_poller_found_is_welcomed(place: Place) -> None:
    await place.publish_recipe("welcome")
    await fetched(place, "contact.created", "zoe", {}, Flags())
    assert await place.mails("zoe") == ["welcome-1"]


async def test_a_customer_from_a_backfill_is_not(place: Place) -> None:
    await place.publish_recipe("welcome")
    await fetched(place, "contact.created", "zoe", {}, Flags(historical=True))
    assert await place.mails("zoe") == []


async def test_an_order_that_a_poller_found_ends_the_cart_and_closes_its_key(place: Place) -> None:
    await place.publish_recipe("abandoned-cart")
    await place.hear("checkout.started", "zoe", CART)
    await place.settle()
    await fetched(place, "order.placed", "zoe", {"checkout_token": "k1"}, Flags())
    await place.hear("checkout.started", "zoe", CART)
    await place.advance(2 * HOUR)
    assert await place.mails("zoe") == []
    decisions = [(each.what, each.reason) for each in await place.decisions()]
    assert ("not_entered", "closed_key") in decisions


async def test_a_historical_order_ends_the_cart_too(place: Place) -> None:
    await place.publish_recipe("abandoned-cart")
    await place.hear("checkout.started", "zoe", CART)
    await place.settle()
    flags = Flags(historical=True)
    await fetched(place, "order.placed", "zoe", {"checkout_token": "k1"}, flags)
    await place.advance(2 * HOUR)
    assert await place.mails("zoe") == []
