"""The command against a running box."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.box import Box, until

RECIPES = Path(__file__).parents[2] / "recipes" / "src" / "chappe_recipes"


def _json(done: subprocess.CompletedProcess[str], code: int = 0) -> Any:
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_source_is_added_looked_at_paused_and_deleted(box: Box) -> None:
    added = _json(box.command("sources", "add", "segment", "--name", "cli-web", "--json"))
    assert added.keys() == {"id", "url", "secret", "setup"}
    assert added["secret"].startswith("wk_")
    assert _json(box.command("sources", "pause", "cli-web", "--json"))["state"] == "paused"
    shown = _json(box.command("sources", "status", "cli-web", "--json"))
    assert (shown["id"], shown["state"]) == (added["id"], "paused")
    assert box.command("sources", "delete", "cli-web").returncode == 0
    listed = _json(box.command("sources", "list", "--json"))["items"]
    assert added["id"] not in {each["id"] for each in listed}
    refused = _json(box.command("sources", "status", "cli-web", "--json"), 2)
    assert "there is no source" in refused["error"]


def test_an_event_goes_in_and_is_followed(box: Box) -> None:
    who = "email:cli@example.com"
    sent = box.command("events", "send", "custom.quiz_done", "--contact", who, "--json")
    event = _json(sent)["id"]

    def arrived() -> str | None:
        words = ("events", "tail", "--from", "earliest", "--until-idle", "500ms", "--json")
        lines = box.command(*words).stdout.splitlines()
        return next((line for line in lines if event in line), None)

    assert json.loads(until(arrived))["name"] == "custom.quiz_done"
    assert _json(box.command("contacts", "show", who, "--json"))["email"] == "cli@example.com"
    timeline = _json(box.command("contacts", "timeline", who, "--json"))["items"]
    assert [line["name"] for line in timeline] == ["custom.quiz_done"]


def test_recipes_are_applied_again_without_a_new_version(box: Box) -> None:
    applied = _json(box.command("journeys", "apply", str(RECIPES), "--json"))
    assert {each["journey"]: each["changed"] for each in applied["journeys"]} == {
        "abandoned-cart": False,
        "welcome": False,
    }


def test_a_journey_that_cannot_be_is_refused_with_its_place(box: Box, tmp_path: Path) -> None:
    (tmp_path / "journey.yaml").write_text("schema: 1\njourney: bad\nsteps: []\n")
    refused = _json(box.command("journeys", "apply", str(tmp_path), "--json"), 2)
    assert all(each["where"].startswith(f"{tmp_path}/") for each in refused["errors"])


def test_an_exported_journey_is_accepted_again(box: Box, tmp_path: Path) -> None:
    exported = box.command("journeys", "export", "welcome")
    (tmp_path / "journey.yaml").write_text(exported.stdout)
    checked = box.command("journeys", "validate", str(tmp_path), "--json")
    assert _json(checked)["journeys"] == ["welcome"]


def test_a_graph_says_how_many_stand_where(box: Box) -> None:
    box.press("sign_up", "graph@example.com")
    until(lambda: box.mails("graph@example.com"))
    nodes = _json(box.command("journeys", "graph", "welcome", "--json"))["nodes"]
    assert sum(node["people"] for node in nodes if node["kind"] == "wait") >= 1


def test_messages_and_suppressions_are_listed(box: Box) -> None:
    box.press("sign_up", "listed@example.com")

    def accepted() -> list[Any]:
        words = ("messages", "list", "--contact", "email:listed@example.com", "--json")
        found = _json(box.command(*words))["items"]
        return [each for each in found if each["state"] == "accepted"]

    message = until(accepted)[0]
    assert _json(box.command("messages", "show", message["id"], "--json"))["id"] == message["id"]

    assert box.command("suppressions", "add", "never@example.com").returncode == 0
    listed = _json(box.command("suppressions", "list", "--json"))["items"]
    assert "never@example.com" in {each["address"] for each in listed}
    assert box.command("suppressions", "remove", "never@example.com").returncode == 0
    assert _json(box.command("dead-letters", "list", "--json"))["items"] == []


def test_templates_are_published_as_the_same_version_again(box: Box) -> None:
    folder = str(RECIPES / "welcome" / "templates")
    first = _json(box.command("templates", "publish", folder, "--json"))["items"]
    again = _json(box.command("templates", "publish", folder, "--json"))["items"]
    assert first == again
    assert {each["class"] for each in first} == {"marketing"}


DRAFT = """\
schema: 1
journey: cli-draft
trigger: {request: manual}
steps: [{wait: 1d}]
"""


def test_a_draft_is_kept_shown_checked_and_published_by_its_name(box: Box, tmp_path: Path) -> None:
    (tmp_path / "journey.yaml").write_text(DRAFT)
    assert box.command("journeys", "apply", str(tmp_path), "--draft").returncode == 0
    (listed,) = _json(box.command("journeys", "drafts", "list", "--json"))["items"]
    assert (listed["journey"], listed["version"]) == ("cli-draft", None)
    shown = box.command("journeys", "drafts", "show", "cli-draft").stdout
    (tmp_path / "journey.yaml").write_text(shown)
    assert _json(box.command("journeys", "validate", str(tmp_path), "--json"))["valid"] is True
    checked = box.command("journeys", "drafts", "validate", "cli-draft", "--json")
    assert _json(checked)["valid"] is True
    done = _json(box.command("journeys", "publish", "cli-draft", "--json"))["items"]
    assert done == [{"journey": "cli-draft", "version": 1, "changed": True}]
    assert _json(box.command("journeys", "drafts", "list", "--json"))["items"] == []
    assert _json(box.command("journeys", "publish", "cli-draft", "--json"), 2)["error"]
    box.command("journeys", "apply", str(tmp_path), "--draft")
    assert box.command("journeys", "drafts", "drop", "cli-draft").returncode == 0


def test_a_journey_begins_for_whoever_its_trigger_listens_to(box: Box, tmp_path: Path) -> None:
    text = DRAFT.replace("cli-draft", "cli-by-hand")
    (tmp_path / "journey.yaml").write_text(text)
    assert box.command("journeys", "apply", str(tmp_path)).returncode == 0
    who = "email:by-hand@example.com"
    box.command("events", "send", "custom.met", "--contact", who)
    start = ("enrollments", "start", who, "cli-by-hand", "--json")

    def begun() -> Any:
        done = box.command(*start, "--by", "manual")
        return json.loads(done.stdout) if done.returncode == 0 else None

    assert until(begun)["status"] == "entered"
    assert _json(box.command(*start))["status"] == "not_entered"


def test_segments_are_applied_shown_counted_and_deleted(box: Box, tmp_path: Path) -> None:
    (tmp_path / "lyon.yaml").write_text(
        "schema: 1\nsegment: cli-lyon\nrule: {contact.city: Lyon}\n"
    )
    (tmp_path / "both.yaml").write_text(
        "schema: 1\nsegment: cli-both\nrule: {any: [{segment: cli-lyon}, {segment: cli-lyn}]}\n"
    )
    done = box.command("segments", "apply", str(tmp_path))
    assert done.returncode == 0, done.stderr
    warning = "cli-both: no segment is called 'cli-lyn', did you mean 'cli-lyon'?"
    assert warning in done.stderr
    listed = _json(box.command("segments", "list", "--json"))["items"]
    assert {"cli-both", "cli-lyon"} <= {each["segment"] for each in listed}
    assert _json(box.command("segments", "count", "cli-lyon", "--json")) == {"contacts": 0}
    (tmp_path / "again.yaml").write_text(box.command("segments", "show", "cli-lyon").stdout)
    assert box.command("segments", "apply", str(tmp_path / "again.yaml")).returncode == 0
    for name in ("cli-both", "cli-lyon"):
        assert box.command("segments", "delete", name).returncode == 0
    assert _json(box.command("segments", "show", "cli-lyon", "--json"), 2)["error"]
