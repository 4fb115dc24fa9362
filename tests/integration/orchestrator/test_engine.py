"""What the engine keeps in tables of its own: watches, sweeps, settings, calls."""

import base64
import datetime as dt
from typing import Any

import asyncpg

from chappe.clock import HandClock
from chappe.events import EVENTS, decode_event
from tests.integration.orchestrator.place import Place

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
PINNED = {"a": {"version": "a@1", "class": "marketing", "topic": "offers"}}
HEAD = "schema: 1\njourney: j\n"
SEND = "steps: [{send: {template: a}}]\n"


async def publish(place: Place, yaml: str) -> None:
    answer = await place.http.post(
        "/api/v1/journeys/publish", json={"journeys": [{"yaml": yaml}], "templates": PINNED}
    )
    assert answer.status_code == 200, answer.text


async def sweeps(place: Place) -> list[Any]:
    return await place.pool.fetch("SELECT shard, done FROM orchestrator.watch_sweep ORDER BY shard")


async def test_silence_fires_a_timer_of_the_contact(place: Place) -> None:
    await publish(place, HEAD + "trigger: {inactive: {event: order.placed, for: 3d}}\n" + SEND)
    await place.hear("order.placed", "zoe")
    await place.advance(2 * DAY)
    await place.hear("order.placed", "zoe")
    await place.advance(2 * DAY)
    assert await place.mails("zoe") == []
    await place.advance(1 * DAY)
    assert await place.mails("zoe") == ["a"]
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == 0


async def test_publishing_looks_at_everybody_who_is_there_already(place: Place) -> None:
    people = [f"c{n}" for n in range(230)]
    for name in people:
        await place.hear("contact.updated", name, traits={"renewal": "2026-12-24"})
    await place.settle()
    await publish(place, HEAD + "trigger: {date: contact.renewal, at: 09:00}\n" + SEND)
    await place.hear("page.viewed", "c0")  # any batch notices the new journey
    await place.settle()
    assert [row["done"] for row in await sweeps(place)] == [True] * 4
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == len(people)
    await place.hear("page.viewed", "c1")
    await place.settle()
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == len(people)


async def test_a_watch_outlives_its_process(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with Place.opened(pool, clock, me="one") as place:
        await publish(place, HEAD + "trigger: {date: contact.renewal, at: 09:00}\n" + SEND)
        await place.hear("contact.updated", "zoe", traits={"renewal": "2026-12-24"})
        await place.settle()
        broker = place.broker
    async with Place.opened(pool, clock, broker, me="two") as place:
        await place.advance(60 * DAY)
        assert await place.mails("zoe") == ["a"]


async def test_settings_hold_from_the_next_batch_on(place: Place) -> None:
    await publish(place, HEAD + "trigger: {event: custom.a}\nentry: {again: always}\n" + SEND)
    said = {"caps": [{"most": 1, "within": "7d"}], "zone": "Europe/Paris"}
    answer = await place.http.put("/api/v1/journeys/settings", json=said)
    assert answer.status_code == 200, answer.text
    for _ in range(2):
        await place.hear("custom.a", "zoe")
    await place.settle()
    assert await place.mails("zoe") == ["a"]
    kept = await place.get("/api/v1/journeys/settings")
    assert kept["settings"]["zone"] == "Europe/Paris"
    assert len(base64.b64decode(kept["webhook_secret"].removeprefix("whsec_"))) == 32


async def test_settings_that_cannot_be_are_refused_in_words(place: Place) -> None:
    answer = await place.http.put("/api/v1/journeys/settings", json={"zone": "Mars", "caps": 3})
    assert answer.status_code == 422
    assert [error["where"] for error in answer.json()["errors"]] == ["zone", "caps"]


HOOK = """
trigger: {event: custom.a}
exit: [{event: custom.stop}]
steps:
  - {id: hook, webhook: {url: "https://127.0.0.1/x", within: 1h}}
  - wait: {for: {event: webhook.answered, of: hook}, at_most: 1d}
    then: [{send: {template: a}}]
"""


async def test_a_webhook_to_an_address_inside_is_refused_and_the_journey_hears_of_it(
    place: Place,
) -> None:
    await publish(place, HEAD + HOOK)
    await place.hear("custom.a", "zoe")
    await place.settle()
    await place.settle()
    row = await place.pool.fetchrow("SELECT state, attempts, reason FROM orchestrator.call")
    assert row is not None
    assert (row["state"], row["attempts"]) == ("failed", 1)
    facts = [decode_event(body) for body in await place.records(EVENTS)]
    (fact,) = [fact for fact in facts if fact.name == "webhook.answered"]
    assert fact.data["answer"]["ok"] is False
    assert await place.mails("zoe") == ["a"]


async def test_a_call_taken_back_in_the_batch_that_asked_for_it_is_never_made(place: Place) -> None:
    await publish(place, HEAD + HOOK)
    await place.hear("custom.a", "zoe")
    await place.hear("custom.stop", "zoe")
    await place.settle()
    states = await place.pool.fetch("SELECT state FROM orchestrator.call")
    assert {row["state"] for row in states} <= {"cancelled", "failed"}
