"""The events kept of a contact: they move with it, and they end."""

import datetime as dt
from typing import Any

import asyncpg
import pytest

from chappe.clock import HandClock
from chappe.events import Event, contact_key, encode_event
from chappe.ids import ContactId, EventId, partition_of
from chappe_orchestrator.adapters.history import PostgresHistory
from chappe_orchestrator.application.forgetting import KEEP, forget
from chappe_orchestrator.application.ports import Who
from tests.integration.orchestrator.place import DEFAULT, PARTITIONS, Place

pytestmark = pytest.mark.integration

ORDER = {"order_id": "o1", "total": {"amount": "50", "currency": "EUR"}}
LOYAL = """\
schema: 1
journey: loyal
trigger: {event: page.viewed}
entry:
  filter:
    did: order.placed
    times: {at_least: 2}
    since: 300d
    where: {event.total: {at_least: 40 EUR}}
steps:
  - wait: 1d
"""


def shard(contact: str) -> int:
    return partition_of(contact_key(DEFAULT, ContactId(contact)), PARTITIONS)


OLD = "c_old"
NEW = next(f"c_{n}" for n in range(100) if shard(f"c_{n}") != shard(OLD))


async def merge(place: Place, gone: str, into: str) -> None:
    for contact in (gone, into):
        event = Event(
            id=EventId(f"e_merge_{gone}_{contact}"),
            name="contact.merged",
            workspace=DEFAULT,
            occurred_at=place.clock.now(),
            received_at=place.clock.now(),
            contact=ContactId(contact),
            data={"from": gone, "into": into},
        )
        await place.put(ContactId(contact), encode_event(event))


async def kept(pool: asyncpg.Pool, contact: str) -> list[str]:
    rows = await pool.fetch(
        "SELECT event FROM orchestrator.event_history WHERE contact = $1 ORDER BY at, event",
        contact,
    )
    return [row["event"] for row in rows]


async def test_what_the_old_contact_bought_is_the_new_ones_past(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        body: dict[str, Any] = {
            "journeys": [{"file": "loyal.yaml", "yaml": LOYAL}],
            "templates": {},
        }
        answer = await place.http.post("/api/v1/journeys/publish", json=body)
        assert answer.status_code == 200, answer.text
        await place.hear("order.placed", OLD, ORDER)
        await place.settle()
        await place.hear("order.placed", OLD, {**ORDER, "order_id": "o2"})
        await merge(place, OLD, NEW)
        await place.hear("page.viewed", NEW)
        await place.settle()
        assert await kept(pool, OLD) == []
        assert await kept(pool, NEW) == ["e_1", "e_2"]
        await place.hear("page.viewed", NEW)
        await place.settle()
        found = await place.get("/api/v1/enrollments", contact=NEW)
        assert [one["journey"] for one in found["items"]] == ["loyal"]


async def test_an_order_in_the_batch_of_the_merge_moves_too(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await place.hear("order.placed", OLD, ORDER)
        await merge(place, OLD, NEW)
        await place.settle()
        assert await kept(pool, NEW) == ["e_1"]


async def test_the_newest_facts_move_within_a_bound(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with Place.opened(pool, clock) as place:
        for number in range(5):
            await place.hear("order.placed", OLD, {**ORDER, "order_id": str(number)})
            clock.set(clock.now() + dt.timedelta(minutes=1))
        await place.settle()
        history, one = PostgresHistory(pool), Who(shard(OLD), ContactId(OLD))
        three = (await history.remembered([one], 3, 1_000_000))[one]
        assert [fact.event for fact in three] == ["e_3", "e_4", "e_5"]
        assert await history.remembered([one], 3, 10) == {}


async def test_a_fact_older_than_four_hundred_days_is_dropped(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await place.hear("order.placed", OLD, ORDER)
        await place.settle()
        clock.set(clock.now() + dt.timedelta(days=10))
        await place.hear("order.placed", OLD, {**ORDER, "order_id": "o2"})
        await place.settle()
        now = clock.now() - dt.timedelta(days=10) + KEEP + dt.timedelta(seconds=1)
        assert await forget(PostgresHistory(pool), now) == 1
        assert await kept(pool, OLD) == ["e_2"]
