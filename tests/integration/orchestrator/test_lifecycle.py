"""A journey's life: draft, published, upgraded, paused, archived; and people told to go."""

import datetime as dt
from typing import Any

import pytest

from chappe.events import Flags
from tests.integration.orchestrator.place import Place

pytestmark = pytest.mark.integration

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
PINNED = {
    name: {"version": f"{name}@1", "class": "marketing", "topic": "offers"} for name in ("a", "b")
}
HEAD = "schema: 1\njourney: j\ntrigger: [{event: custom.a}, {request: api}]\n"
WAIT = HEAD + "steps: [{id: w, wait: 2d}, {send: {template: a}}]\n"


async def publish(place: Place, yaml: str, status: int = 200) -> Any:
    answer = await place.http.post(
        "/api/v1/journeys/publish", json={"journeys": [{"yaml": yaml}], "templates": PINNED}
    )
    assert answer.status_code == status, answer.text
    return answer.json()


async def post(place: Place, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await place.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def enter(place: Place, *people: str) -> None:
    for name in people:
        await place.hear("custom.a", name)
    await place.settle()


async def counted(place: Place) -> None:
    """The counters say what counting would."""
    kept = await place.pool.fetch(
        """SELECT journey, version, status, place, sum(people)::int, sum(held)::int
             FROM orchestrator.enrollment_count GROUP BY 1, 2, 3, 4
           HAVING sum(people) <> 0 OR sum(held) <> 0 ORDER BY 1, 2, 3, 4"""
    )
    counts = await place.pool.fetch(
        """SELECT journey, version, status,
                  CASE status WHEN 'active' THEN step ELSE reason END,
                  count(*)::int, count(*) FILTER (WHERE held)::int
             FROM orchestrator.enrollment GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"""
    )
    assert [tuple(row) for row in kept] == [tuple(row) for row in counts]


async def test_an_upgrade_is_shown_with_counts_and_then_done(place: Place) -> None:
    await publish(place, WAIT)
    await enter(place, "zoe", "ada")
    await place.advance(DAY)
    await publish(place, WAIT.replace("2d", "3d"))
    await enter(place, "new")
    seen = await post(place, "/api/v1/journeys/j/upgrade?preview=true", {})
    assert (seen["versions"], seen["to"], seen["people"], seen["move"]) == ([1], 2, 2, None)
    (effect,) = seen["effects"]
    assert (effect["step"], effect["effect"], effect["by_s"]) == ("w", "waits_longer", 86_400)
    listed = await place.get("/api/v1/enrollments", version=1)
    assert len(listed["items"]) == 2
    done = await post(place, "/api/v1/journeys/j/upgrade", {}, 202)
    place.service.wake()
    await place.settle()
    await place.settle()
    move = await place.get(f"/api/v1/journeys/j/moves/{done['move']['id']}")
    assert (move["asked"], move["left"]) == (2, 0)
    await counted(place)
    await place.advance(DAY)  # two days of three
    assert await place.mails("zoe") == []
    await place.advance(DAY)
    assert await place.mails("zoe") == ["a"]
    versions = (await place.get("/api/v1/journeys/j/versions"))["items"]
    assert [(one["version"], one["current"]) for one in versions] == [(2, True), (1, False)]
    said = [one.what for one in await place.decisions() if one.contact == "zoe"]
    assert said.count("upgraded") == 1
    await counted(place)


async def test_from_a_step_that_is_no_more_one_goes_where_it_was_said_or_leaves(
    place: Place,
) -> None:
    await publish(place, WAIT)
    await enter(place, "zoe")
    await publish(place, HEAD + "steps: [{id: x, wait: 5d}, {id: y, send: {template: b}}]\n")
    refused = await post(
        place, "/api/v1/journeys/j/upgrade", {"moves": {"w": "nowhere"}}, status=422
    )
    assert refused["errors"][0]["what"] == "version 2 has no step 'nowhere'"
    seen = await post(place, "/api/v1/journeys/j/upgrade?preview=true", {})
    assert seen["effects"][0]["effect"] == "exits"
    seen = await post(place, "/api/v1/journeys/j/upgrade?preview=true", {"moves": {"w": "y"}})
    assert (seen["effects"][0]["effect"], seen["effects"][0]["to"]) == ("goes_on", "y")
    await post(place, "/api/v1/journeys/j/upgrade", {"moves": {"w": "y"}}, 202)
    place.service.wake()
    await place.settle()
    assert await place.mails("zoe") == ["y"]


async def test_an_archived_journey_takes_nobody_in_and_lets_people_walk_on(place: Place) -> None:
    await publish(place, WAIT)
    await enter(place, "zoe")
    assert (await post(place, "/api/v1/journeys/j/archive"))["status"] == "archived"
    await enter(place, "late")
    await place.advance(3 * DAY)
    assert await place.mails("zoe") == ["a"]
    assert await place.mails("late") == []
    again = await publish(place, WAIT)
    assert again["journeys"][0]["changed"] is False
    await enter(place, "late")
    assert (await place.get("/api/v1/journeys/j"))["status"] == "published"
    assert len((await place.get("/api/v1/enrollments", contact="late"))["items"]) == 1


async def test_archiving_with_exit_lets_those_inside_leave(place: Place) -> None:
    await publish(place, WAIT)
    await enter(place, "zoe", "ada")
    done = await post(place, "/api/v1/journeys/j/archive?exit=true", status=202)
    assert done["move"]["kind"] == "exit"
    place.service.wake()
    await place.settle()
    await place.settle()
    assert [e["reason"] for e in (await place.get("/api/v1/enrollments"))["items"]] == [
        "archived",
        "archived",
    ]
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == 0
    await counted(place)
    assert (await place.get("/api/v1/journeys/j/graph"))["ended"] == {"archived": 2}


async def test_a_step_id_that_nobody_wrote_may_not_move_on_a_live_journey(place: Place) -> None:
    two = HEAD + "steps: [{wait: 2h}, {send: {template: a}}]\n"
    await publish(place, two)
    moved = HEAD + "steps: [{wait: 9h}, {send: {template: a}}, {wait: 2h}, {send: {template: b}}]\n"
    refused = await publish(place, moved, 422)
    (error,) = refused["errors"]
    assert error["where"].endswith("steps[0]")
    assert "'wait-1' stood for the step that is now 'wait-2'" in error["what"]
    planned = await place.http.post("/api/v1/journeys/plan", json={"journeys": [{"yaml": moved}]})
    assert planned.status_code == 422
    marked = moved.replace("{wait: 9h}", "{id: first, wait: 9h}")
    marked = marked.replace("{wait: 2h}", "{id: wait-1, wait: 2h}")
    seen = await post(place, "/api/v1/journeys/plan", {"journeys": [{"yaml": marked}]})
    assert seen["journeys"][0]["change"] == "changed"
    assert seen["journeys"][0]["added"] == ["first", "b"]
    await publish(place, marked)
    await publish(place, marked.replace("9h", "8h"))  # an edit in place moves nothing


async def test_an_enrollment_is_started_and_ended_by_request(place: Place) -> None:
    await publish(place, WAIT)
    await place.hear("page.viewed", "zoe")
    await place.settle()
    body = {"contact": "zoe", "journey": "j", "data": {"plan": "pro"}}
    begun = await post(place, "/api/v1/enrollments", body, 201)
    assert begun["status"] == "entered"
    again = await post(place, "/api/v1/enrollments", body)
    assert again["status"] == "not_entered"
    enrollment = begun["enrollment"]["id"]
    path = f"/api/v1/enrollments/{enrollment}/exit"
    ended = await post(place, path, {"contact": "zoe", "reason": "called_us"})
    assert ended["applied"] is True
    (one,) = (await place.get("/api/v1/enrollments", contact="zoe"))["items"]
    assert one["reason"] == "called_us"
    await post(place, path.replace(enrollment, "en_none"), {"contact": "zoe"}, 404)
    await post(place, "/api/v1/enrollments", {**body, "contact": "nobody"}, 404)
    await counted(place)


async def test_a_list_by_step_looks_at_so_many_and_goes_on(place: Place) -> None:
    await publish(place, WAIT)
    await enter(place, *(f"c{n}" for n in range(5)))
    found = await place.get("/api/v1/enrollments", journey="j", step="w", limit=2)
    assert len(found["items"]) == 2
    rest = await place.get("/api/v1/enrollments", journey="j", step="w", cursor=found["next"])
    assert len(rest["items"]) == 3
    assert (await place.get("/api/v1/enrollments", step="none"))["items"] == []


async def test_a_thousand_held_are_resumed_a_few_at_a_time(place: Place) -> None:
    await publish(place, WAIT)
    people = [f"c{n}" for n in range(1_100)]
    for name in people:
        await place.hear("custom.a", name)
    await place.settle()
    await post(place, "/api/v1/journeys/j/pause")
    await place.advance(2 * DAY + HOUR)
    assert (await place.get("/api/v1/journeys/j/graph"))["held"] == len(people)
    await counted(place)
    await post(place, "/api/v1/journeys/j/resume")
    await place.hear("page.viewed", "c1")
    await place.settle()
    assert (await place.get("/api/v1/journeys/j/graph"))["active"] == 0
    await counted(place)


# -- parked ---------------------------------------------------------------------------------------


async def break_it(place: Place) -> None:
    """The program of version 1 is gone, as after a bad restore: a step of it raises."""
    await place.pool.execute(
        "UPDATE orchestrator.enrollment SET doc = convert_to(replace(convert_from(doc, 'UTF8'),"
        " '\"version\":1', '\"version\":9'), 'UTF8')"
    )


async def mend_it(place: Place) -> None:
    await place.pool.execute(
        "UPDATE orchestrator.enrollment SET doc = convert_to(replace(convert_from(doc, 'UTF8'),"
        " '\"version\":9', '\"version\":1'), 'UTF8')"
    )


async def test_a_parked_contact_is_released_with_all_that_waited_in_order(place: Place) -> None:
    await publish(place, WAIT)
    await enter(place, "zoe")
    await break_it(place)
    await place.advance(2 * DAY + HOUR)  # the timer fires, and its step raises
    (parked,) = (await place.get("/api/v1/contacts/parked"))["items"]
    assert parked["contact"] == "zoe"
    for plan in ("one", "two"):
        await place.hear("contact.updated", "zoe", traits={"plan": plan})
    await place.hear("contact.updated", "zoe", flags=Flags(test=True))
    await place.settle()
    assert (await place.get("/api/v1/contacts/parked"))["items"][0]["events"] == 3
    await place.http.post("/api/v1/contacts/zoe/release")
    await place.settle()
    # What it was told is applied; then its timer fires, which the program is still missing for.
    assert (await place.get("/api/v1/contacts/parked"))["items"][0]["events"] == 0
    await mend_it(place)
    answer = await place.http.post("/api/v1/contacts/zoe/release")
    assert (answer.status_code, answer.json()["applied"]) == (200, True)
    await place.settle()
    assert (await place.get("/api/v1/contacts/parked"))["items"] == []
    assert (await place.get("/api/v1/contacts/zoe"))["traits"]["plan"] == "two"
    assert await place.mails("zoe") == ["a"]  # also the timer that fell due meanwhile
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == 0
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.parked_event") == 0


async def test_more_than_one_batch_of_waiting_events_is_released_in_order(place: Place) -> None:
    await publish(place, WAIT)
    await enter(place, "zoe")
    await break_it(place)
    await place.advance(2 * DAY + HOUR)
    for n in range(1_100):
        await place.hear("contact.updated", "zoe", traits={"n": n})
    await place.settle()
    await mend_it(place)
    await place.http.post("/api/v1/contacts/zoe/release")
    await place.settle()
    contact = await place.get("/api/v1/contacts/zoe")
    assert contact["traits"]["n"] == 1_099
    assert contact["counters"]["contact.updated"]["total"] == 1_100
    assert (await place.get("/api/v1/contacts/parked"))["items"] == []


async def test_a_timer_that_the_database_refuses_parks_its_contact_and_no_other(
    place: Place,
) -> None:
    odd = "trigger: {event: custom.odd}\nsteps: [{wait: 2d}, {exit: odd}]\n"
    await publish(place, WAIT)
    await publish(place, f"schema: 1\njourney: k\n{odd}")
    await place.pool.execute(
        "ALTER TABLE orchestrator.enrollment ADD CONSTRAINT none_odd CHECK (reason <> 'odd')"
    )
    await enter(place, "ada", "zoe")
    await place.hear("custom.odd", "zoe")
    await place.settle()
    await place.advance(2 * DAY + HOUR)
    assert await place.mails("ada") == ["a"]
    (parked,) = (await place.get("/api/v1/contacts/parked"))["items"]
    assert parked["contact"] == "zoe"
    await place.pool.execute("ALTER TABLE orchestrator.enrollment DROP CONSTRAINT none_odd")
    await place.http.post("/api/v1/contacts/zoe/release")
    await place.settle()
    assert await place.mails("zoe") == ["a"]
    assert await place.pool.fetchval("SELECT count(*) FROM orchestrator.timer") == 0
    await counted(place)


async def test_a_contact_that_was_parked_over_a_resumption_goes_on_when_it_is_released(
    place: Place,
) -> None:
    await publish(place, WAIT)
    await enter(place, "zoe")
    await post(place, "/api/v1/journeys/j/pause")
    await place.advance(2 * DAY + HOUR)
    await break_it(place)
    await place.hear("custom.a", "zoe")  # it is known already, and its program is gone
    await place.settle()
    await post(place, "/api/v1/journeys/j/resume")
    await place.hear("page.viewed", "other")
    await place.settle()
    assert (await place.get("/api/v1/contacts/parked"))["items"][0]["contact"] == "zoe"
    await mend_it(place)
    await place.http.post("/api/v1/contacts/zoe/release")
    await place.settle()
    assert await place.mails("zoe") == ["a"]
    await counted(place)


async def test_a_journey_published_while_a_contact_was_parked_looks_at_it_when_it_is_released(
    place: Place,
) -> None:
    await publish(place, WAIT)
    await enter(place, "zoe")
    day = (place.clock.now() + 5 * DAY).isoformat()
    await place.hear("contact.updated", "zoe", traits={"day": day})
    await place.settle()
    await break_it(place)
    await place.advance(2 * DAY + HOUR)
    dated = "schema: 1\njourney: k\ntrigger: {date: contact.day}\nsteps: [{send: {template: b}}]\n"
    await publish(place, dated)
    await place.hear("page.viewed", "other")
    await place.settle()
    await mend_it(place)
    await place.http.post("/api/v1/contacts/zoe/release")
    await place.settle()
    await place.advance(4 * DAY)
    assert sorted(await place.mails("zoe")) == ["a", "b"]
