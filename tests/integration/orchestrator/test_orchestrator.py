"""Events in, commands and decisions out, over a real Postgres and the kernel's shards."""

import datetime as dt

import asyncpg
import msgspec

from chappe.clock import HandClock
from chappe.events import Cancel, Send
from chappe.ids import ContactId
from tests.integration.orchestrator.place import Place

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
CART = {"checkout_token": "k1", "cart_token": "t1"}


async def test_the_welcome_series_is_asked_for_at_its_times(place: Place) -> None:
    await place.publish_recipe("welcome")
    await place.hear("contact.created", "zoe")
    await place.advance(5 * DAY)
    assert await place.mails("zoe") == ["welcome-1", "welcome-2", "welcome-3"]
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == 0
    whats = [decision.what for decision in await place.decisions()]
    assert whats == [
        *("entered", "asked", "waiting", "wait_over", "asked", "waiting", "wait_over", "asked"),
        "finished",
    ]


async def test_each_send_says_how_far_the_sender_must_have_read(place: Place) -> None:
    await place.publish_recipe("welcome")
    await place.hear("contact.updated", "zoe")
    await place.hear("contact.created", "zoe")
    await place.settle()
    (send,) = [c for c in await place.commands() if isinstance(c, Send)]
    assert send.needs == {"events": 2, "events.bulk": 0}
    assert send.template == "welcome-1@1"


async def test_an_order_while_the_mail_is_queued_takes_it_back(place: Place) -> None:
    await place.publish_recipe("abandoned-cart")
    await place.hear("checkout.started", "zoe", CART)
    await place.advance(HOUR)
    await place.hear("order.placed", "zoe", {"checkout_token": "k1"})
    await place.settle()
    commands = await place.commands()
    assert [type(command) for command in commands] == [Send, Cancel]
    assert commands[0].message == commands[1].message
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == 0


async def test_an_order_before_the_checkout_closes_the_key_for_good(place: Place) -> None:
    await place.publish_recipe("abandoned-cart")
    await place.hear("order.placed", "zoe", {"cart_token": "t1"})
    await place.settle()
    await place.hear("checkout.started", "zoe", CART)
    await place.advance(5 * DAY)
    assert await place.mails("zoe") == []
    assert ("not_entered", "closed_key") in [(d.what, d.reason) for d in await place.decisions()]


async def test_a_journey_published_later_takes_those_who_come_after(place: Place) -> None:
    await place.hear("contact.created", "early")
    await place.settle()
    await place.publish_recipe("welcome")
    await place.hear("contact.created", "late")
    await place.settle()
    assert await place.mails("early") == []
    assert await place.mails("late") == ["welcome-1"]


async def test_many_contacts_in_one_batch_each_get_their_own(place: Place) -> None:
    await place.publish_recipe("welcome")
    for n in range(300):
        await place.hear("contact.created", f"c_{n}")
    await place.advance(2 * DAY)
    sends = [c for c in await place.commands() if isinstance(c, Send)]
    assert len(sends) == 600
    assert len({send.message for send in sends}) == 600


async def test_what_was_waiting_goes_on_after_a_restart(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as first:
        await first.publish_recipe("welcome")
        await first.hear("contact.created", "zoe")
        await first.settle()
        broker = first.broker
    clock.advance(2 * DAY)
    async with Place.opened(pool, clock, broker, me="two") as second:
        await second.settle()
        assert await second.mails("zoe") == ["welcome-1", "welcome-2"]


async def test_more_timers_than_memory_holds_all_fire(place: Place) -> None:
    await place.publish_recipe("abandoned-cart")
    for n in range(1_200):
        await place.hear("checkout.started", "busy", {"checkout_token": f"k{n}"})
    await place.settle()
    # The newest cart won: one timer is left, and the table holds no other.
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == 1
    await place.advance(HOUR)
    assert await place.mails("busy") == ["cart-1"]


async def test_what_is_no_event_becomes_a_dead_letter_and_the_rest_goes_on(place: Place) -> None:
    await place.publish_recipe("welcome")
    await place.put(ContactId("zoe"), b'{"not": "an event"}')
    await place.hear("contact.created", "zoe")
    await place.settle()
    assert await place.mails("zoe") == ["welcome-1"]
    letters = (await place.get("/api/v1/dead-letters/orchestrator"))["items"]
    assert [letter["reason"][:12] for letter in letters] == ["not an event"]


async def test_a_contact_the_database_refuses_is_parked_with_its_later_events(
    place: Place,
) -> None:
    await place.publish_recipe("abandoned-cart")
    await place.hear("checkout.started", "bad", {"checkout_token": "a\x00b"})
    await place.hear("checkout.started", "good", CART)
    await place.hear("checkout.updated", "bad", {"checkout_token": "k2"})
    await place.advance(HOUR)
    assert await place.mails("good") == ["cart-1"]
    assert await place.mails("bad") == []
    parked = await place.pool.fetch("SELECT contact, reason FROM orchestrator.parked_contact")
    assert [row["contact"] for row in parked] == ["bad"]
    kept = await place.pool.fetch("SELECT body FROM orchestrator.parked_event ORDER BY number")
    names = [msgspec.json.decode(row["body"])["name"] for row in kept]
    assert names == ["checkout.started", "checkout.updated"]


async def test_a_contact_whose_state_is_broken_is_parked_and_the_others_go_on(
    place: Place,
) -> None:
    await place.publish_recipe("welcome")
    await place.hear("contact.created", "bad")
    await place.hear("contact.created", "good")
    await place.settle()
    await place.pool.execute("DELETE FROM orchestrator.journey_version")
    await place.pool.execute("UPDATE orchestrator.definitions SET generation = generation + 1")
    await place.hear("page.viewed", "bad")
    await place.hear("page.viewed", "good")
    await place.advance(2 * DAY)
    reasons = await place.pool.fetch("SELECT reason FROM orchestrator.parked_contact")
    assert len(reasons) == 2
