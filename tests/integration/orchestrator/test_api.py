"""``/api/v1/journeys``, ``/enrollments``, ``/contacts``, as the command and the page use them."""

import datetime as dt

from tests.integration.orchestrator.place import Place

YAML = """
schema: 1
journey: thanks
trigger: {event: order.placed}
steps: [{send: {template: thanks}}]
"""
PINNED = {"thanks": {"version": "thanks@1", "class": "marketing", "topic": "offers"}}


async def test_publishing_the_same_again_changes_nothing(place: Place) -> None:
    first = await place.publish_recipe("welcome")
    again = await place.publish_recipe("welcome")
    assert first == {"journeys": [{"journey": "welcome", "version": 1, "changed": True}]}
    assert again == {"journeys": [{"journey": "welcome", "version": 1, "changed": False}]}


async def test_one_bad_journey_keeps_all_from_being_published(place: Place) -> None:
    bad = YAML.replace("order.placed", "order.place").replace("thanks", "bad")
    answer = await place.http.post(
        "/api/v1/journeys/publish",
        json={
            "journeys": [{"file": "good.yaml", "yaml": YAML}, {"file": "bad.yaml", "yaml": bad}],
            "templates": PINNED,
        },
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["where"] == "bad.yaml:4:11: trigger.event"
    assert "did you mean 'order.placed'?" in error["what"]
    assert (await place.get("/api/v1/journeys"))["items"] == []


async def test_an_unknown_template_is_refused(place: Place) -> None:
    journey = {"file": "j.yaml", "yaml": YAML.replace("template: thanks", "template: thank")}
    answer = await place.http.post(
        "/api/v1/journeys/publish", json={"journeys": [journey], "templates": PINNED}
    )
    assert answer.json()["errors"] == [
        {
            "where": "j.yaml:5:17: steps[0].send.template",
            "what": "no template is called 'thank', did you mean 'thanks'?",
        }
    ]


async def test_a_new_template_version_is_a_new_journey_version(place: Place) -> None:
    for version in ("thanks@1", "thanks@2"):
        pinned = {"thanks": {**PINNED["thanks"], "version": version}}
        answer = await place.http.post(
            "/api/v1/journeys/publish",
            json={"journeys": [{"yaml": YAML}], "templates": pinned},
        )
    assert answer.json()["journeys"][0]["version"] == 2
    detail = await place.get("/api/v1/journeys/thanks")
    assert [one["version"] for one in detail["versions"]] == [2, 1]
    assert detail["templates"]["thanks"]["version"] == "thanks@2"
    assert detail["definition"]["steps"] == [{"id": "thanks", "send": {"template": "thanks"}}]


async def test_validate_says_everything_and_stores_nothing(place: Place) -> None:
    answer = await place.http.post(
        "/api/v1/journeys/validate",
        json={"files": {"journey.yaml": YAML, "templates/other.mjml": "<mjml/>"}},
    )
    assert answer.json()["valid"] is False
    assert answer.json()["errors"][0]["what"] == "no template is called 'thanks'"
    answer = await place.http.post("/api/v1/journeys/validate", json={"files": {"j.yaml": YAML}})
    assert answer.json() == {"valid": True, "journeys": ["thanks"], "errors": [], "warnings": []}


async def test_a_definition_may_come_as_json(place: Place) -> None:
    definition = {
        "schema": 1,
        "journey": "thanks",
        "trigger": {"event": "order.placed"},
        "steps": [{"send": {"template": "thanks"}}],
    }
    answer = await place.http.post(
        "/api/v1/journeys/publish",
        json={"journeys": [{"definition": definition}], "templates": PINNED},
    )
    assert answer.status_code == 200, answer.text


async def test_a_draft_is_kept_and_published_by_nobody(place: Place) -> None:
    answer = await place.http.put("/api/v1/journeys/thanks/draft", json={"yaml": YAML})
    assert answer.json() == {"journey": "thanks", "status": "draft"}
    (item,) = (await place.get("/api/v1/journeys"))["items"]
    assert (item["status"], item["version"], item["has_draft"]) == ("draft", None, True)
    assert (await place.get("/api/v1/journeys/thanks/graph"))["version"] == 0


async def test_the_graph_shows_the_ways_and_where_people_stand(place: Place) -> None:
    await place.publish_recipe("abandoned-cart")
    await place.hear("checkout.started", "zoe", {"checkout_token": "k1"})
    await place.settle()
    graph = await place.get("/api/v1/journeys/abandoned-cart/graph")
    people = {node["id"]: node["people"] for node in graph["nodes"]}
    assert people["wait-1"] == 1
    assert graph["active"] == 1
    assert graph["nodes"][0]["kind"] == "trigger"
    assert {"source": "wait-2", "target": "cart-2", "label": "timeout"} in graph["edges"]
    assert {"source": "cart-3", "target": "end", "label": None} in graph["edges"]
    known = {node["id"] for node in graph["nodes"]}
    assert all({edge["source"], edge["target"]} <= known for edge in graph["edges"])


async def test_enrollments_are_listed_newest_first_by_page(place: Place) -> None:
    await place.publish_recipe("welcome")
    for contact in ("a", "b", "c"):
        await place.hear("contact.created", contact)
        await place.settle()
        place.clock.advance(dt.timedelta(minutes=1))
    first = await place.get("/api/v1/enrollments", journey="welcome", limit=2)
    assert [one["contact"] for one in first["items"]] == ["c", "b"]
    rest = await place.get("/api/v1/enrollments", limit=2, cursor=first["next"])
    assert [one["contact"] for one in rest["items"]] == ["a"]
    assert rest["next"] is None
    only = await place.get("/api/v1/enrollments", contact="b", status="active")
    assert [one["contact"] for one in only["items"]] == ["b"]


async def test_a_contact_shows_what_we_hold_of_it(place: Place) -> None:
    await place.hear(
        "contact.created",
        "zoe",
        traits={"first_name": "Zoé", "consent": {"email": "subscribed"}},
    )
    await place.settle()
    contact = await place.get("/api/v1/contacts/zoe")
    assert contact["email"] == "zoe@example.com"
    assert contact["traits"] == {"first_name": "Zoé"}
    assert contact["consent"]["email"]["state"] == "subscribed"
    assert contact["counters"]["contact.created"]["total"] == 1
    listed = await place.get("/api/v1/contacts")
    assert [one["id"] for one in listed["items"]] == ["zoe"]
    assert (await place.http.get("/api/v1/contacts/nobody")).status_code == 404


async def test_a_pause_keeps_people_where_they_are_and_resume_lets_them_go(place: Place) -> None:
    await place.publish_recipe("welcome")
    await place.hear("contact.created", "zoe")
    await place.settle()
    answer = await place.http.post("/api/v1/journeys/welcome/pause")
    assert answer.json() == {"journey": "welcome", "status": "paused"}
    await place.hear("contact.created", "late")
    await place.advance(dt.timedelta(days=2))
    assert await place.mails("zoe") == ["welcome-1"]
    assert await place.mails("late") == []
    await place.http.post("/api/v1/journeys/welcome/resume")
    await place.hear("page.viewed", "somebody")
    await place.settle()
    assert await place.mails("zoe") == ["welcome-1", "welcome-2"]


async def test_without_the_token_nothing_is_shown(place: Place) -> None:
    answer = await place.http.get("/api/v1/contacts", headers={"Authorization": ""})
    assert answer.status_code == 401
