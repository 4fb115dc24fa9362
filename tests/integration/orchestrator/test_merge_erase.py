"""Two contacts become one, across shards; and one becomes nobody."""

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from typing_extensions import override

from chappe.broker import BrokerUnavailable, Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe.events import (
    EVENTS,
    Cancel,
    Event,
    Send,
    Stream,
    contact_key,
    decode_event,
    encode_event,
)
from chappe.ids import ContactId, EventId, partition_of
from tests.integration.orchestrator.place import DEFAULT, PARTITIONS, PATIENCE_SECONDS, Place

pytestmark = pytest.mark.integration

CART = {"checkout_token": "t1", "total": {"amount": "50", "currency": "EUR"}}
HOUR = dt.timedelta(hours=1)


def shard(contact: str) -> int:
    return partition_of(contact_key(DEFAULT, ContactId(contact)), PARTITIONS)


def elsewhere(contact: str) -> str:
    """A contact of another shard."""
    return next(f"c_{n}" for n in range(100) if shard(f"c_{n}") != shard(contact))


OLD = "c_old"
NEW = elsewhere(OLD)


async def merge(place: Place, gone: str = OLD, into: str = NEW, number: str = "1") -> None:
    for contact in (gone, into):
        event = Event(
            id=EventId(f"e_merge_{number}_{contact}"),
            name="contact.merged",
            workspace=DEFAULT,
            occurred_at=place.clock.now(),
            received_at=place.clock.now(),
            contact=ContactId(contact),
            data={"from": gone, "into": into},
        )
        await place.put(ContactId(contact), encode_event(event))


async def enrollments(place: Place, contact: str) -> list[dict[str, Any]]:
    found = await place.get("/api/v1/enrollments", contact=contact)
    return found["items"]


async def left_of(pool: asyncpg.Pool, contact: str) -> int:
    tables = ("profile", "enrollment", "journey_key", "timer")
    return sum(
        [
            await pool.fetchval(
                f"SELECT count(*) FROM orchestrator.{table} WHERE contact = $1", contact
            )
            for table in tables
        ]
    )


async def test_a_journey_goes_on_under_the_other_contact_with_its_ids(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await place.publish_recipe("abandoned-cart")
        await place.hear("checkout.started", OLD, CART)
        await place.settle()
        (before,) = await enrollments(place, OLD)
        await merge(place)
        await place.settle()
        assert await left_of(pool, OLD) == 0
        (after,) = await enrollments(place, NEW)
        assert (after["id"], after["due_at"]) == (before["id"], before["due_at"])
        await place.advance(2 * HOUR)
        assert len(await place.mails(NEW)) == 1
        assert await place.mails(OLD) == []


async def test_what_comes_late_for_the_old_contact_is_sent_on_with_its_id(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await place.publish_recipe("abandoned-cart")
        await place.hear("checkout.started", OLD, CART)
        await merge(place)
        await place.hear("order.placed", OLD, CART)
        await place.settle()
        (after,) = await enrollments(place, NEW)
        assert after["status"] == "finished"
        sent_on = [
            event
            for body in await place.records(EVENTS)
            if (event := decode_event(body)).contact == NEW and event.name == "order.placed"
        ]
        assert [event.id for event in sent_on] == ["e_2"]
        assert not sent_on[0].flags.derived


async def test_an_order_that_the_other_contact_placed_meanwhile_ends_the_journey(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await place.publish_recipe("abandoned-cart")
        await place.hear("checkout.started", OLD, CART)
        await place.settle()
        await place.hear("order.placed", NEW, CART)
        await place.settle()
        await merge(place)
        await place.advance(dt.timedelta(days=3))
        assert await place.mails(NEW) == []
        (after,) = await enrollments(place, NEW)
        assert after["status"] == "finished"


BIG = """
schema: 1
journey: big
trigger: {event: custom.go}
exit:
  - {event: order.placed, where: {event.total: {at_least: "100 EUR"}}}
  - {event: order.placed, where: {event.gift: true}}
steps: [{wait: 1d}, {send: {template: a}}]
"""


@pytest.mark.parametrize("buyer", [OLD, NEW], ids=["the one that goes", "the one that stays"])
async def test_an_exit_that_looks_at_the_event_is_answered_from_the_others_past(
    pool: asyncpg.Pool, clock: HandClock, buyer: str
) -> None:
    async with Place.opened(pool, clock) as place:
        body = {"journeys": [{"yaml": BIG}], "templates": {"a": {"version": "1", "topic": "t"}}}
        answer = await place.http.post("/api/v1/journeys/publish", json=body)
        assert answer.status_code == 200, answer.text
        walker = NEW if buyer == OLD else OLD
        await place.hear("custom.go", walker)
        await place.settle()
        for amount in ("20", "120"):
            await place.advance(HOUR)
            total = {"amount": amount, "currency": "EUR"}
            await place.hear("order.placed", buyer, {"total": total})
            await place.settle()
        await merge(place)
        await place.advance(dt.timedelta(days=2))
        assert await place.mails(NEW) == []
        (after,) = await enrollments(place, NEW)
        assert after["reason"] == "order.placed"


async def test_an_exit_that_looks_at_the_event_passes_over_what_it_does_not_mean(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        body = {"journeys": [{"yaml": BIG}], "templates": {"a": {"version": "1", "topic": "t"}}}
        assert (await place.http.post("/api/v1/journeys/publish", json=body)).is_success
        big = {"total": {"amount": "120", "currency": "EUR"}}
        await place.hear("order.placed", OLD, big)  # Before the entry.
        await place.settle()
        await place.advance(HOUR)
        await place.hear("custom.go", NEW)
        await place.settle()
        await place.advance(HOUR)
        await place.hear("order.placed", OLD, {"total": {"amount": "20", "currency": "EUR"}})
        await place.settle()
        await merge(place)
        await place.advance(dt.timedelta(days=2))
        assert await place.mails(NEW) == ["a"]


async def test_of_two_runs_of_one_identity_the_one_that_has_sent_more_goes_on(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await place.publish_recipe("abandoned-cart")
        await place.hear("checkout.started", OLD, CART)
        await place.advance(2 * HOUR)
        await place.hear("checkout.started", NEW, CART)
        await place.settle()
        (ahead,) = await enrollments(place, OLD)
        await merge(place)
        await place.settle()
        both = {one["id"]: one for one in await enrollments(place, NEW)}
        assert both.pop(ahead["id"])["status"] == "active"
        (other,) = both.values()
        assert (other["status"], other["reason"]) == ("finished", "merged")
        await place.advance(dt.timedelta(days=4))
        commands = [c for c in await place.commands() if isinstance(c, Send)]
        assert len({c.step for c in commands}) == len(commands)


async def test_a_timer_that_fell_due_on_the_way_fires(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with Place.opened(pool, clock) as place:
        await place.publish_recipe("abandoned-cart")
        await place.hear("checkout.started", OLD, CART)
        await place.settle()
        clock.set(clock.now() + 2 * HOUR)
        await merge(place)
        place.service.wake()
        await place.settle()
        await place.advance(HOUR)
        commands = [c for c in await place.commands() if isinstance(c, Send)]
        assert len(commands) == 1


async def test_a_chain_of_merges_carries_everything_to_the_last(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    last = next(
        f"c_{n}" for n in range(100, 200) if shard(f"c_{n}") not in (shard(OLD), shard(NEW))
    )
    async with Place.opened(pool, clock) as place:
        await place.publish_recipe("abandoned-cart")
        await place.hear("checkout.started", OLD, CART)
        await place.settle()
        await merge(place, NEW, last, "2")
        await merge(place, OLD, NEW, "1")
        await place.settle()
        (after,) = await enrollments(place, last)
        assert after["status"] == "active"
        assert await left_of(pool, OLD) + await left_of(pool, NEW) == 0


class Cut(MemoryBroker):
    """A log that takes nothing for ``events`` while it is cut off."""

    cut = False

    @override
    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        if self.cut and stream == EVENTS:
            raise BrokerUnavailable("cut off")
        await super().append(stream, records)


async def test_a_process_that_ends_between_the_two_commits_of_a_merge_loses_nothing(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    broker = Cut(PARTITIONS)
    async with Place.opened(pool, clock, broker) as place:
        await place.publish_recipe("abandoned-cart")
        await place.hear("checkout.started", OLD, CART)
        await place.settle()
        (before,) = await enrollments(place, OLD)
        await merge(place)
        broker.cut = True
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await left_of(pool, OLD):
                await asyncio.sleep(0.01)
    assert await left_of(pool, OLD) == 0
    broker.cut = False
    async with Place.opened(pool, clock, broker, me="two") as place:
        await place.settle()
        (after,) = await enrollments(place, NEW)
        assert (after["id"], after["due_at"]) == (before["id"], before["due_at"])
        await place.advance(2 * HOUR)
        assert len(await place.mails(NEW)) == 1


async def test_an_erasure_blanks_the_dead_letters_of_the_contact_and_of_who_it_was(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await place.hear("checkout.started", OLD, CART)
        await merge(place)
        await place.settle()
        for contact in (OLD, NEW, "c_other"):
            await pool.execute(
                """INSERT INTO orchestrator.dead_letter
                       (id, shard, stream, "offset", key, value, reason, at)
                   VALUES ($1, 0, 'events', 0, $2, 'zoe@example.com', 'no event', now())""",
                contact,
                contact_key(DEFAULT, ContactId(contact)),
            )
        await place.hear("privacy.erase_requested", NEW)
        await place.settle()
        left = await pool.fetch("SELECT id FROM orchestrator.dead_letter WHERE value <> ''")
        assert [row["id"] for row in left] == ["c_other"]


async def test_unsubscribed_wins_and_counters_add_up(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with Place.opened(pool, clock) as place:
        left = {"consent": {"email": "unsubscribed"}, "city": "Lyon"}
        await place.hear("contact.updated", OLD, traits=left)
        clock.set(clock.now() + HOUR)
        joined = {"consent": {"email": "subscribed"}, "city": "Paris"}
        await place.hear("contact.updated", NEW, traits=joined)
        await merge(place)
        await place.settle()
        contact = await place.get(f"/api/v1/contacts/{NEW}")
        assert contact["consent"]["email"]["state"] == "unsubscribed"
        assert contact["traits"]["city"] == "Paris"
        assert contact["counters"]["contact.updated"]["total"] == 2


async def test_an_erased_contact_leaves_a_bare_marker(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with Place.opened(pool, clock) as place:
        await place.publish_recipe("abandoned-cart")
        await place.hear("checkout.started", OLD, CART)
        await place.advance(2 * HOUR)
        assert len(await place.mails(OLD)) == 1
        await place.hear("privacy.erase_requested", OLD)
        await place.hear("checkout.started", OLD, {**CART, "checkout_token": "t2"})
        await place.settle()
        assert await left_of(pool, OLD) == 0
        cancels = [c for c in await place.commands() if isinstance(c, Cancel)]
        assert [c.reason for c in cancels] == ["erased"]
        exits = [d.reason for d in await place.decisions() if d.what == "exited"]
        assert exits == ["erased"]
        await place.hear("order.placed", OLD, CART)
        await place.advance(dt.timedelta(days=3))
        assert await left_of(pool, OLD) == 0
