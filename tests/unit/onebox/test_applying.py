import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from chappe_onebox.client import (
    Api,
    Refused,
    Unreachable,
    apply,
    read_folders,
    read_templates,
)
from chappe_onebox.demo.world import FILE, prepare


class Box:
    """Answers as the services do, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.errors: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body: dict[str, Any] = json.loads(request.content) if request.content else {}
        self.asked.append((request.method, request.url.path, body))
        match request.url.path:
            case "/api/v1/journeys/validate":
                answer: Any = {"valid": not self.errors, "journeys": ["a"], "errors": self.errors}
            case "/api/v1/templates":
                answer = {"name": body["name"], "version": "1", "class": "marketing", "topic": "x"}
            case "/api/v1/sources":
                url = "http://box/in/src_1"
                answer = {"id": "src_1", "url": url, "secret": body.get("secret", "wk_1")}
            case _:
                answer = {"journeys": [{"journey": "a", "version": 1, "changed": True}]}
        return httpx.Response(200, json=answer)

    def paths(self) -> list[str]:
        return [path.removeprefix("/api/v1") for _, path, _ in self.asked]


def _api(box: Any) -> Api:
    return Api("http://box", "token", transport=httpx.MockTransport(box))


def _journey(folder: Path, name: str) -> None:
    (folder / name / "templates").mkdir(parents=True)
    (folder / name / "journey.yaml").write_text(f"journey: {name}")
    (folder / name / "templates" / f"{name}-1.mjml").write_text("<mjml/>")
    (folder / name / "templates" / f"{name}-1.fr.mjml").write_text("<mjml/>")


def test_templates_go_first_and_the_journeys_pin_them_together(tmp_path: Path) -> None:
    _journey(tmp_path, "a")
    _journey(tmp_path, "b")
    box = Box()
    with _api(box) as api:
        apply(api, read_folders(tmp_path))
    assert box.paths() == ["/journeys/validate", "/templates", "/templates", "/journeys/publish"]
    published = box.asked[-1][2]
    assert [Path(each["file"]).parent.name for each in published["journeys"]] == ["a", "b"]
    assert published["templates"]["a-1"] == {"version": "1", "class": "marketing", "topic": "x"}
    assert box.asked[1][2]["files"].keys() == {"a-1.mjml", "a-1.fr.mjml"}


def test_a_mistake_anywhere_uploads_nothing(tmp_path: Path) -> None:
    _journey(tmp_path, "a")
    box = Box()
    box.errors = [{"where": "a/journey.yaml:1:1", "what": "no"}]
    with _api(box) as api, pytest.raises(Refused) as refused:
        apply(api, read_folders(tmp_path))
    assert refused.value.errors == box.errors
    assert box.paths() == ["/journeys/validate"]


def test_a_draft_is_kept_with_its_templates_and_not_published(tmp_path: Path) -> None:
    _journey(tmp_path, "a")
    box = Box()
    with _api(box) as api:
        assert apply(api, read_folders(tmp_path), draft=True).answer is None
    assert box.paths() == ["/journeys/validate", "/templates", "/journeys/a/draft"]
    method, _, kept = box.asked[-1]
    assert (method, kept["yaml"]) == ("PUT", "journey: a")
    assert kept["templates"]["a-1"]["version"] == "1"


def test_a_folder_without_a_journey_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no journey\.yaml"):
        read_folders(tmp_path)
    with pytest.raises(ValueError, match="holds no template"):
        read_templates(tmp_path)


def test_one_template_file_brings_its_translations(tmp_path: Path) -> None:
    _journey(tmp_path, "a")
    found = read_templates(tmp_path / "a" / "templates" / "a-1.mjml")
    assert found["a-1"].keys() == {"a-1.mjml", "a-1.fr.mjml"}


class Kept(dict[str, dict[str, Any]]):
    """A data directory."""

    def read(self, name: str) -> dict[str, Any]:
        return self.get(name, {})

    def write(self, name: str, document: dict[str, Any]) -> None:
        self[name] = document


def test_the_demo_is_made_once_and_found_again() -> None:
    box, kept = Box(), Kept()
    with _api(box) as api:
        first = prepare(api, kept)
        asked = len(box.asked)
        assert prepare(api, kept) == first
    assert len(box.asked) == asked
    assert kept[FILE]["shop"]["id"] == "src_1"
    assert box.paths().count("/sources") == 2
    assert box.paths()[-1] == "/journeys/publish"


def test_a_kill_between_the_sources_and_the_recipes_is_made_good() -> None:
    box, kept = Box(), Kept()
    with _api(box) as api:
        prepare(api, kept)
        kept[FILE]["recipes"] = ""
        box.asked.clear()
        prepare(api, kept)
    assert "/sources" not in box.paths()
    assert "/journeys/publish" in box.paths()


def test_nobody_there_is_said() -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with _api(away) as api, pytest.raises(Unreachable, match="is `chappe up` running"):
        api.get("/api/v1/sources")


def test_a_problem_becomes_its_detail_and_its_errors() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        errors = [{"where": "body.kind", "what": "one of a, b"}]
        return httpx.Response(422, json={"detail": "no such kind", "errors": errors})

    with _api(refuse) as api, pytest.raises(Refused, match="no such kind") as refused:
        api.post("/api/v1/sources", {})
    assert (refused.value.status, refused.value.errors[0]["where"]) == (422, "body.kind")


def test_a_list_is_followed_to_its_end() -> None:
    def pages(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("cursor")
        page = {"items": [2], "next": None} if after else {"items": [1], "next": "more"}
        return httpx.Response(200, json=page)

    with _api(pages) as api:
        assert list(api.every("/api/v1/sources")) == [1, 2]


def test_events_are_followed_until_it_is_quiet() -> None:
    def stream(request: httpx.Request) -> httpx.Response:
        assert dict(request.url.params) == {"raw": "events", "from": "earliest"}
        return httpx.Response(200, text=': hello\n\ndata: {"id": "e_1"}\n\n: beat\n\n')

    with _api(stream) as api:
        assert [event["id"] for event in api.events(start="earliest")] == ["e_1"]
