"""Segments are kept current inside the batch; what a profile cannot answer is asked of history."""

import datetime as dt
from typing import Any

import pytest

from chappe.events import EVENTS
from chappe.events.event import decode_event
from chappe.journey.sql import FUNCTIONS
from chappe.postgres.migrate import migrations_in
from tests.integration.orchestrator.place import Place

DAY = dt.timedelta(days=1)

BIG_CART = """
schema: 1
journey: big-spender
trigger: {event: custom.visit}
steps:
  - branch:
      - when: {did: order.placed, times: {at_least: 2}, where: {event.total: {above: "50 EUR"}}}
        then: [{send: {template: big}}]
      - else: [{send: {template: small}}]
"""

GREET = """
schema: 1
journey: greet
trigger: {segment: {entered: loyal}}
steps: [{send: {template: hello}}]
"""


def order(amount: str) -> dict[str, Any]:
    return {"total": {"amount": amount, "currency": "EUR"}}


async def publish(place: Place, text: str, *templates: str) -> None:
    answer = await place.http.post(
        "/api/v1/journeys/publish",
        json={
            "journeys": [{"yaml": text}],
            "templates": {name: {"version": f"{name}@1", "topic": "offers"} for name in templates},
        },
    )
    assert answer.status_code == 200, answer.text


async def put(place: Place, name: str, rule: Any) -> Any:
    return await place.http.put(f"/api/v1/segments/{name}", json={"rule": rule})


async def told(place: Place) -> list[tuple[str, Any]]:
    events = [decode_event(body) for body in await place.records(EVENTS)]
    return [(e.name, e.data["segment"]) for e in events if e.name.startswith("segment.")]


async def test_entering_and_leaving_a_segment_are_facts_and_start_journeys(place: Place) -> None:
    assert (await put(place, "loyal", {"did": "order.placed", "times": {"at_least": 2}})).is_success
    assert (await put(place, "here", {"contact.city": "Lyon"})).is_success
    await publish(place, GREET, "hello")
    await place.hear("order.placed", "zoe", order("10"), traits={"city": "Lyon"})
    await place.settle()
    assert await told(place) == [("segment.entered", "here")]
    await place.hear("order.placed", "zoe", order("10"))
    await place.hear("contact.updated", "zoe", traits={"city": "Nice"})
    await place.settle()
    assert await told(place) == [
        ("segment.entered", "here"), ("segment.entered", "loyal"), ("segment.left", "here"),
    ]  # fmt: skip
    assert await place.mails("zoe") == ["hello"]


async def test_a_segment_of_segments_follows_in_the_same_step(place: Place) -> None:
    await put(place, "a", {"contact.city": "Lyon"})
    await put(place, "b", {"segment": "a"})
    await place.hear("contact.updated", "zoe", traits={"city": "Lyon"})
    await place.settle()
    assert await told(place) == [("segment.entered", "a"), ("segment.entered", "b")]
    looped = await put(place, "a", {"segment": "b"})
    assert looped.status_code == 422


async def test_what_the_profile_cannot_answer_is_asked_of_the_history(place: Place) -> None:
    await publish(place, BIG_CART, "big", "small")
    for contact, amounts in (("zoe", ("60", "70", "10")), ("ben", ("60", "10", "20"))):
        for amount in amounts:
            await place.hear("order.placed", contact, order(amount))
        await place.settle()
        await place.hear("custom.visit", contact)
    await place.settle()
    assert await place.mails("zoe") == ["big"]
    assert await place.mails("ben") == ["small"]
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.event_history") == 6


async def test_an_event_of_the_same_batch_counts_in_the_history(place: Place) -> None:
    await publish(place, BIG_CART, "big", "small")
    await place.hear("order.placed", "zoe", order("60"))
    await place.hear("order.placed", "zoe", order("70"))
    await place.hear("custom.visit", "zoe")
    await place.settle()
    assert await place.mails("zoe") == ["big"]
    branched = [d for d in await place.decisions() if d.what == "branched"]
    assert [d.seen for d in branched] == [{"did order.placed": 2}]


async def test_an_erased_contact_has_no_history(place: Place) -> None:
    await place.hear("order.placed", "zoe", order("60"))
    await place.settle()
    await place.hear("privacy.erase_requested", "zoe")
    await place.settle()
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.event_history") == 0


RULES: list[tuple[Any, int]] = [
    ({"contact.city": "Lyon"}, 1),
    ({"not": {"contact.city": "Lyon"}}, 2),
    ({"did": "order.placed", "times": {"at_least": 2}}, 1),
    ({"did": "order.placed", "times": {"exactly": 1}, "since": "1d"}, 2),
    ({"did": "order.placed", "where": {"event.total": {"above": "50 EUR"}}}, 1),
    ({"sum": "event.total", "of": "order.placed", "at_least": "70 EUR"}, 1),
    ({"max": "event.total", "of": "order.placed", "less_than": "60 EUR"}, 1),
    ({"last": "order.placed", "at": {"within_last": "1d"}}, 2),
    ({"first": "order.placed", "at": {"before": "-1d"}}, 1),
    ({"tag": ["vip", "b2b"]}, 1),
    ({"consent": "subscribed"}, 1),
    ({"consent": {"sms": "unknown"}}, 3),
    ({"topic": {"offers": "unsubscribed"}}, 1),
    ({"segment": "here"}, 1),
    ({"contact.born": {"anniversary": "today"}}, 1),
    ({"opened": {"exactly": 0}, "of_last": 5}, 3),
    ({"score": {"at_least": 0}}, 3),
    ({"contact.email": {"starts_with": "zoe@"}}, 1),
]


async def people(place: Place) -> None:
    """Zoe orders twice over two days, Ben once, Ann never."""
    await put(place, "here", {"contact.city": "Lyon"})
    traits = {
        "city": "Lyon", "tags": ["vip"], "consent": {"email": "subscribed"},
        "timezone": "Pacific/Kiritimati", "born": "1990-11-25",
    }  # fmt: skip
    await place.hear("order.placed", "zoe", order("60"), traits=traits)
    await place.settle()
    await place.advance(2 * DAY)
    await place.hear("order.placed", "zoe", order("10"))
    await place.hear("order.placed", "ben", order("10"), traits={"born": "1990-11-23"})
    await place.hear("email.unsubscribed", "ann", {"scope": "topic", "topic": "offers"})
    await place.settle()


async def test_a_rule_is_counted_in_postgres_as_the_engine_would(place: Place) -> None:
    await people(place)
    place.clock.set(place.clock.now().replace(hour=12))  # in Kiritimati it is the 25th already
    for rule, contacts in RULES:
        body = {"schema": 1, "segment": "x", "rule": rule}
        answer = await place.http.post("/api/v1/segments/count", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"contacts": contacts}, rule


async def test_segments_are_written_read_listed_and_deleted(place: Place) -> None:
    written = await put(place, "here", {"contact.city": "Lyon"})
    assert written.json()["sentences"]["en"] == "The contact's “city” is “Lyon”"
    assert (await place.get("/api/v1/segments/here"))["definition"]["rule"] == {
        "contact.city": {"is": "Lyon"}
    }
    assert [one["segment"] for one in (await place.get("/api/v1/segments"))["items"]] == ["here"]
    assert await place.get("/api/v1/segments/here/count") == {"contacts": 0}
    assert (await place.http.delete("/api/v1/segments/here")).status_code == 204
    assert (await place.http.get("/api/v1/segments/here")).status_code == 404


@pytest.mark.parametrize(
    "rule",
    [
        {"event.x": 1},
        {"did": "order.placed", "since": "entry"},
        {"score": {}},
        {},
        {"contact.x": {}},
    ],
)
async def test_a_rule_that_cannot_be_is_refused(place: Place, rule: Any) -> None:
    assert (await put(place, "odd", rule)).status_code == 422
    body = {"schema": 1, "segment": "odd", "rule": rule}
    checked = await place.http.post("/api/v1/segments/validate", json=body)
    assert checked.json()["valid"] is False
    assert checked.json()["errors"]


def test_the_migration_installs_the_functions_that_conditions_call() -> None:
    (profiles,) = [
        one for one in migrations_in("chappe_orchestrator.migrations") if "profiles" in one.name
    ]
    assert FUNCTIONS.strip() in profiles.sql


BIG = {"did": "order.placed", "where": {"event.total": {"above": "50 EUR"}}, "since": "90d"}


async def test_what_leaves_the_window_of_the_history_leaves_the_segment(place: Place) -> None:
    rule = {**BIG, "times": {"at_least": 2}}
    assert (await put(place, "big-spender", rule)).is_success
    total = {"sum": "event.total", "of": "order.placed", "since": "90d", "at_least": "100 EUR"}
    assert (await put(place, "hundred", total)).is_success
    for amount in ("60", "10", "70"):
        await place.hear("order.placed", "zoe", order(amount))
        await place.settle()
        await place.advance(10 * DAY)
    entered = [("segment.entered", "big-spender"), ("segment.entered", "hundred")]
    assert await told(place) == entered
    await place.advance(60 * DAY)
    assert await told(place) == entered
    await place.advance(2 * DAY)
    left = [("segment.left", "big-spender"), ("segment.left", "hundred")]
    assert await told(place) == entered + left
    await place.advance(40 * DAY)
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == 0


async def test_writing_a_segment_looks_at_everybody_who_is_there_already(place: Place) -> None:
    for name in ("zoe", "ben"):
        await place.hear("order.placed", name)
    await place.settle()
    await place.advance(20 * DAY)
    await place.hear("order.placed", "ben")
    await place.settle()
    await place.advance(15 * DAY)
    await put(place, "lapsed", {"not": {"did": "order.placed", "since": "30d"}})
    await publish(place, GREET.replace("loyal", "lapsed"), "hello")
    await place.hear("page.viewed", "ann")  # any batch notices the new rules
    await place.settle()
    held = await place.get("/api/v1/segments/lapsed/count")
    assert held == {"contacts": 2}
    assert await told(place) == [("segment.entered", "lapsed")]  # Ann's own, who is new
    assert [await place.mails(name) for name in ("zoe", "ann", "ben")] == [[], ["hello"], []]
    await place.advance(20 * DAY)
    assert await place.mails("ben") == ["hello"]


async def test_a_deleted_segment_is_left_by_everybody(place: Place) -> None:
    await put(place, "lyon", {"contact.city": "Lyon"})
    await place.hear("contact.updated", "zoe", traits={"city": "Lyon"})
    await place.settle()
    assert (await place.get("/api/v1/contacts/zoe"))["segments"] == ["lyon"]
    await place.http.delete("/api/v1/segments/lyon")
    await place.hear("page.viewed", "ann")
    await place.settle()
    assert (await place.get("/api/v1/contacts/zoe"))["segments"] == []
    swept = "SELECT count(*) FROM orchestrator.watch_sweep WHERE done AND version = 0"
    assert await place.pool.fetchval(swept) == 4


async def test_forty_segments_that_ask_the_history_are_asked_together(place: Place) -> None:
    for n in range(40):
        where = {"event.total": {"above": f"{n} EUR"}}
        rule = {"did": "order.placed", "where": where, "since": "90d"}
        assert (await put(place, f"over-{n}", rule)).is_success
    await place.hear("order.placed", "zoe", order("60"))
    await place.settle()
    assert len(await told(place)) == 40
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.parked_contact") == 0
