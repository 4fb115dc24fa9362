"""Where a journey meets what lies around it: calls, requests, merges and erasures."""

import datetime as dt
from typing import Any

import asyncpg
import pytest

from chappe.clock import HandClock
from chappe.events import EVENTS, Send, contact_key, decode_event
from chappe.ids import ContactId, partition_of
from tests.integration.orchestrator.place import DEFAULT, PARTITIONS, Place
from tests.integration.orchestrator.test_merge_erase import NEW, OLD, enrollments, merge

pytestmark = pytest.mark.integration

DAY = dt.timedelta(days=1)
PINNED = {
    name: {"version": f"{name}@1", "class": "marketing", "topic": "offers"} for name in ("a", "b")
}
CALLING = """
schema: 1
journey: calling
trigger: [{event: custom.a}]
steps:
  - webhook: {url: "http://127.0.0.1:9/"}
  - wait: 2d
  - send: {template: a}
"""
SILENT = """
schema: 1
journey: silent
trigger: [{inactive: {event: custom.a, for: 3d}}]
steps: [{send: {template: b}}]
"""
ASKED = """
schema: 1
journey: asked
trigger: [{request: csv}]
steps: [{wait: 2d}, {send: {template: a}}]
"""


async def publish(place: Place, *yamls: str, status: int = 200) -> Any:
    answer = await place.http.post(
        "/api/v1/journeys/publish",
        json={"journeys": [{"yaml": one} for one in yamls], "templates": PINNED},
    )
    assert answer.status_code == status, answer.text
    return answer.json()


async def calls(pool: asyncpg.Pool) -> list[tuple[str, str]]:
    rows = await pool.fetch("SELECT contact, state FROM orchestrator.call ORDER BY contact")
    return [(row["contact"], row["state"]) for row in rows]


async def ask_a_call(pool: asyncpg.Pool, contact: str, state: str) -> None:
    key = contact_key(DEFAULT, ContactId(contact))
    await pool.execute(
        """INSERT INTO orchestrator.call
                  (id, shard, workspace, contact, state, next_at, deadline, doc)
           VALUES ($1, $2, $3, $4, $5, now() + interval '1 year', now(), '{"zoe@example.com"}')""",
        f"wh_{contact}_{state}",
        partition_of(key, PARTITIONS),
        DEFAULT,
        contact,
        state,
    )


async def test_an_erasure_forgets_the_calls_of_the_contact_and_of_who_it_was(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await place.hear("page.viewed", OLD)
        await merge(place)
        await place.settle()
        for contact in (OLD, NEW, "c_other"):
            await ask_a_call(pool, contact, "pending")
            await ask_a_call(pool, contact, "done")
        await place.hear("privacy.erase_requested", NEW)
        await place.settle()
        assert {contact for contact, _ in await calls(pool)} == {"c_other"}


async def test_a_call_asked_right_before_an_erasure_is_not_made(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await publish(place, CALLING)
        await place.hear("custom.a", OLD)
        await place.hear("privacy.erase_requested", OLD)
        await place.settle()
        assert await calls(pool) == []


async def test_a_call_asked_right_before_a_merge_is_made(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await publish(place, CALLING)
        await place.hear("custom.a", OLD)
        await merge(place)
        await place.settle()
        assert [contact for contact, _ in await calls(pool)] == [OLD]


async def test_a_merge_takes_the_watch_and_the_reserved_place_along(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    cap = {"caps": [{"most": 1, "within": "5d"}]}
    async with Place.opened(pool, clock) as place:
        set_ = await place.http.put("/api/v1/journeys/settings", json=cap)
        assert set_.status_code == 200, set_.text
        await publish(place, CALLING, SILENT)
        await place.hear("custom.a", OLD)
        await place.advance(2 * DAY)
        assert await place.mails(OLD) == ["a"]
        await merge(place)
        await place.settle()
        (inside,) = await enrollments(place, NEW)
        assert inside["journey"] == "calling"
        await place.advance(2 * DAY)
        entered = [one["journey"] for one in await enrollments(place, NEW)]
        assert sorted(entered) == ["calling", "silent"]
        assert await place.mails(NEW) == []
        reasons = {d.reason for d in await place.decisions() if d.step == "b"}
        assert reasons == {"frequency_cap"}


async def test_a_request_is_heard_from_whom_the_trigger_names(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with Place.opened(pool, clock) as place:
        await publish(place, ASKED)
        await place.hear("page.viewed", OLD)
        await place.settle()
        body = {"contact": OLD, "journey": "asked"}
        said = await place.http.post("/api/v1/enrollments", json=body)
        assert said.json()["status"] == "not_entered"
        said = await place.http.post("/api/v1/enrollments", json={**body, "by": "csv"})
        assert (said.status_code, said.json()["status"]) == (201, "entered")
        asked = [
            event
            for record in await place.records(EVENTS)
            if (event := decode_event(record)).name == "journey.requested"
        ]
        assert [event.data for event in asked] == [
            {"journey": "asked", "by": "api"},
            {"journey": "asked", "by": "csv"},
        ]
        assert not any(event.flags.derived for event in asked)
        said = await place.http.post("/api/v1/enrollments", json={**body, "by": "journey"})
        assert said.status_code == 422
        await place.advance(3 * DAY)
        assert [c.step for c in await place.commands() if isinstance(c, Send)] == ["a"]


async def test_a_text_that_cannot_be_filled_in_is_not_published(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    broken = CALLING.replace('9/"}', '9/", body: {mail: "{{ contact.email | nope }}"}}')
    async with Place.opened(pool, clock) as place:
        refused = await publish(place, broken, status=422)
        (error,) = refused["errors"]
        assert ":6:" in error["where"]
        assert "no filter 'nope'" in error["what"]
