"""A draft is kept, looked at, checked and published by its name, without being sent again."""

from typing import Any

import pytest

from tests.integration.orchestrator.place import Place

pytestmark = pytest.mark.integration

YAML = """\
schema: 1
journey: thanks
title: Thank you
trigger: {event: order.placed, where: {event.zip: "08000"}}
steps:
  - send: {template: thanks}
"""
PINNED = {"thanks": {"version": "thanks@1", "class": "transactional", "topic": None}}


async def save(place: Place, yaml: str = YAML, templates: Any = None) -> None:
    body: dict[str, Any] = {"yaml": yaml, "templates": templates or {}}
    answer = await place.http.put("/api/v1/journeys/thanks/draft", json=body)
    assert answer.status_code == 200, answer.text


async def test_a_draft_is_published_by_name_with_the_templates_it_was_kept_with(
    place: Place,
) -> None:
    await save(place, templates=PINNED)
    (listed,) = (await place.get("/api/v1/journeys", draft=True))["items"]
    assert (listed["journey"], listed["status"], listed["title"]) == (
        "thanks", "draft", {"en": "Thank you"},
    )  # fmt: skip
    checked = await place.http.post("/api/v1/journeys/thanks/draft/validate")
    assert checked.json() == {"valid": True, "journeys": ["thanks"], "errors": [], "warnings": []}
    answer = await place.http.post("/api/v1/journeys/thanks/draft/publish")
    assert answer.json() == {"journeys": [{"journey": "thanks", "version": 1, "changed": True}]}
    assert (await place.get("/api/v1/journeys", draft=True))["items"] == []
    detail = await place.get("/api/v1/journeys/thanks")
    assert (detail["status"], detail["has_draft"]) == ("published", False)
    assert detail["templates"]["thanks"]["version"] == "thanks@1"
    await place.hear("order.placed", "zoe", {"zip": "08000"})
    await place.settle()
    assert await place.mails("zoe") == ["thanks"]


async def test_a_draft_beside_a_version_is_the_next_version(place: Place) -> None:
    body = {"journeys": [{"yaml": YAML}], "templates": PINNED}
    assert (await place.http.post("/api/v1/journeys/publish", json=body)).is_success
    await save(place, YAML.replace("template: thanks", "template: again"), {
        "again": {"version": "again@7"},
    })  # fmt: skip
    detail = await place.get("/api/v1/journeys/thanks")
    assert (detail["version"], detail["has_draft"]) == (1, True)
    draft = await place.get("/api/v1/journeys/thanks/draft")
    assert draft["version"] == 1
    assert draft["templates"]["again"]["version"] == "again@7"
    assert "template: again" in draft["yaml"]
    answer = await place.http.post("/api/v1/journeys/thanks/draft/publish")
    assert answer.json()["journeys"][0]["version"] == 2


async def test_templates_named_at_publication_take_the_place_of_those_kept(place: Place) -> None:
    await save(place, templates=PINNED)
    await save(place)  # What is left out stays as it was.
    given = {"templates": {"thanks": {"version": "thanks@9", "class": "transactional"}}}
    answer = await place.http.post("/api/v1/journeys/thanks/draft/publish", json=given)
    assert answer.status_code == 200, answer.text
    detail = await place.get("/api/v1/journeys/thanks")
    assert detail["templates"]["thanks"]["version"] == "thanks@9"


async def test_what_speaks_against_a_draft_names_lines_of_the_draft_as_it_is_shown(
    place: Place,
) -> None:
    await save(place)
    checked = (await place.http.post("/api/v1/journeys/thanks/draft/validate")).json()
    assert checked["valid"] is False
    (error,) = checked["errors"]
    file, line, column = error["where"].partition(": ")[0].split(":")
    shown = (await place.get("/api/v1/journeys/thanks/draft"))["yaml"].splitlines()
    assert file == "thanks.draft.yaml"
    assert shown[int(line) - 1][int(column) - 1 :] == "template: thanks"
    assert error["what"] == "no template is called 'thanks'"
    refused = await place.http.post("/api/v1/journeys/thanks/draft/publish")
    assert (refused.status_code, refused.json()["errors"]) == (422, [error])
    assert (await place.get("/api/v1/journeys/thanks/draft"))["journey"] == "thanks"


async def test_a_draft_that_is_dropped_is_gone_and_what_is_published_stays(place: Place) -> None:
    await save(place, templates=PINNED)
    assert (await place.http.delete("/api/v1/journeys/thanks/draft")).status_code == 204
    assert (await place.http.get("/api/v1/journeys/thanks")).status_code == 404
    body = {"journeys": [{"yaml": YAML}], "templates": PINNED}
    assert (await place.http.post("/api/v1/journeys/publish", json=body)).is_success
    await save(place, YAML.replace("Thank you", "Thanks"))
    assert (await place.http.delete("/api/v1/journeys/thanks/draft")).status_code == 204
    assert (await place.get("/api/v1/journeys/thanks"))["status"] == "published"
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/publish"), ("POST", "/validate")):
        answer = await place.http.request(method, f"/api/v1/journeys/thanks/draft{path}")
        assert answer.status_code == 404, (method, path)


async def test_publishing_the_same_text_from_a_folder_does_away_with_its_draft(
    place: Place,
) -> None:
    await save(place)
    body = {"journeys": [{"yaml": YAML}], "templates": PINNED}
    assert (await place.http.post("/api/v1/journeys/publish", json=body)).is_success
    assert (await place.get("/api/v1/journeys/thanks"))["has_draft"] is False
    await save(place, YAML.replace("Thank you", "Thanks"))
    assert (await place.http.post("/api/v1/journeys/publish", json=body)).is_success
    assert (await place.get("/api/v1/journeys/thanks"))["has_draft"] is True


async def test_a_journey_that_names_what_does_not_exist_is_warned_of(place: Place) -> None:
    await place.http.put("/api/v1/segments/loyal", json={"rule": {"tag": "x"}})
    text = YAML.replace("{template: thanks}", "{template: thanks}\n  - start_journey: thank")
    text = text.replace('{event.zip: "08000"}', "{any: [{segment: loyl}, {segment: loyal}]}")
    answer = await place.http.post("/api/v1/journeys/validate", json={"files": {"j.yaml": text}})
    assert answer.json()["warnings"] == [
        "thanks: no segment is called 'loyl', did you mean 'loyal'?",
        "thanks: no journey is called 'thank', did you mean 'thanks'?",
    ]
