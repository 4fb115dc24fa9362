import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from chappe_cli.main import run

JOURNEY = """\
schema: 1
journey: hello
trigger: {event: contact.created}
steps:
  - wait: 1h
  - send: {template: hello-1}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is running here."""
    monkeypatch.chdir(tmp_path)
    for name in ("CHAPPE_URL", "CHAPPE_TOKEN", "CHAPPE_DATA", "CHAPPE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def _out(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize(
    "words",
    [
        ["up"],
        ["run"],
        ["demo"],
        ["migrate"],
        ["doctor"],
        ["sources", "add"],
        ["sources", "list"],
        ["journeys", "drafts", "publish"],
        ["segments", "apply"],
        ["segments", "validate"],
        ["sources", "status"],
        ["sources", "pause"],
        ["sources", "delete"],
        ["sources", "try"],
        ["events", "send"],
        ["events", "tail"],
        ["journeys", "validate"],
        ["journeys", "apply"],
        ["journeys", "export"],
        ["journeys", "graph"],
        ["journeys", "publish"],
        ["contacts", "show"],
        ["contacts", "timeline"],
        ["messages", "list"],
        ["messages", "show"],
        ["templates", "validate"],
        ["templates", "publish"],
        ["suppressions", "list"],
        ["suppressions", "add"],
        ["suppressions", "remove"],
        ["dead-letters", "list"],
    ],
    ids=" ".join,
)
def test_every_command_helps_with_an_example(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--help"]) == 0
    assert "Example:" in _out(capsys)


def test_a_misspelt_setting_is_refused_with_the_right_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAPPE_KAFKA_BOTSTRAP", "x:1")
    assert run(["doctor"]) == 2
    assert "did you mean CHAPPE_KAFKA_BOOTSTRAP?" in _out(capsys)


def test_no_server_is_three_and_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["sources", "list", "--json"]) == 3
    assert "start one with `chappe up`" in json.loads(_out(capsys))["error"]


def test_a_server_that_does_not_answer_is_three(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAPPE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CHAPPE_TOKEN", "t")
    assert run(["contacts", "show", "email:a@b.example"]) == 3
    assert "cannot reach http://127.0.0.1:1" in _out(capsys)


def test_bad_usage_is_two_also_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sources", "add", "--json"]) == 2
    assert json.loads(_out(capsys))["exit"] == 2
    assert run(["nonsense"]) == 2
    assert "nonsense" in _out(capsys)


def test_a_data_argument_that_is_no_json_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["events", "send", "custom.x", "--contact", "c_1", "--data"]
    assert run([*words, "{"]) == 2
    assert "--data is not JSON" in _out(capsys)
    assert run([*words, "[]"]) == 2
    assert "--data is not a JSON object" in _out(capsys)
    assert run([*words, "@nowhere.json"]) == 2
    assert "cannot read nowhere.json" in _out(capsys)


def test_a_journey_is_checked_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journey.yaml").write_text(JOURNEY)
    assert run(["journeys", "validate", str(tmp_path), "--json"]) == 0
    assert json.loads(_out(capsys)) == {"valid": True, "journeys": ["hello"], "warnings": []}


def test_a_mistake_in_a_journey_is_two_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journey.yaml").write_text(JOURNEY.replace("send:", "sned:"))
    assert run(["journeys", "validate", str(tmp_path), "--json"]) == 2
    (error,) = json.loads(_out(capsys))["errors"]
    assert error["where"].startswith(f"{tmp_path}/journey.yaml:6:5")


def test_a_text_that_liquid_cannot_fill_in_is_found_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "{notify: {email: team@shop.example, text: '{{ contact.'}}"
    (tmp_path / "journey.yaml").write_text(JOURNEY + f"  - {text}\n")
    assert run(["journeys", "validate", str(tmp_path)]) == 2
    assert "steps[2].notify.text: cannot be filled in" in _out(capsys)


def test_journeys_that_start_one_another_in_a_circle_are_found_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).mkdir()
        text = f"schema: 1\njourney: {one}\ntrigger: {{request: journey}}\n"
        text += f"steps: [{{start_journey: {other}}}]\n"
        (tmp_path / one / "journey.yaml").write_text(text)
    assert run(["journeys", "validate", str(tmp_path)]) == 2
    assert "leads back to itself: a → b → a" in _out(capsys)


def test_segments_are_checked_without_a_server_and_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.yaml").write_text(
        "schema: 1\nsegment: nobody\nrule: {all: [{tag: a}, {not: {tag: a}}]}\n"
    )
    (tmp_path / "all.yaml").write_text(
        "schema: 1\nsegment: everybody\nrule: {did: order.placed, times: {at_least: 0}}\n"
    )
    assert run(["segments", "validate", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["segments"] == ["everybody", "nobody"]
    assert said["warnings"] == [
        "everybody: everybody is always in it: everybody did order.placed at least 0 times",
        "nobody: nobody can ever be in it: something is asked for together with its contrary",
    ]


def test_every_mistake_in_every_segment_is_said_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "a.yaml": b"schema: 1\nsegment: a\nrule: {segment: b}\n",
        "b.yaml": b"schema: 1\nsegment: b\nrule: {segment: a}\n",
        "c.yaml": b"schema: 1\nsegment: a\nrule: {tagg: x}\n",
        "d.yaml": b"schema: 1\nsegment: a\nrule: {tag: x}\n",
        "e.yaml": b"title: \xe9\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
    assert run(["segments", "validate", str(tmp_path), "--json"]) == 2
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert [each["where"].removeprefix(f"{tmp_path}") for each in errors] == [
        "/c.yaml:3:8: rule.tagg", "/d.yaml:1:1", "/e.yaml:1:8", "", "",
    ]  # fmt: skip


def test_a_delivery_is_tried_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"type": "track", "event": "Signed Up", "userId": "u1"}))
    assert run(["sources", "try", "segment", "--body", str(body), "--json"]) == 0
    tried = json.loads(_out(capsys))
    assert tried["verified"] is False
    assert [event["name"] for event in tried["events"]] == ["contact.created"]


def test_a_header_without_a_colon_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = tmp_path / "body.json"
    body.write_text("{}")
    assert run(["sources", "try", "shopify", "--body", str(body), "-H", "X-Shopify-Topic"]) == 2
    assert "is not 'Name: value'" in _out(capsys)


def test_migrate_without_a_database_says_which_setting_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["migrate"]) == 2
    assert "CHAPPE_DATABASE_URL is not set" in _out(capsys)


def test_doctor_finds_all_good_where_nothing_is_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--data", str(tmp_path / "data"), "--json"]) == 0
    found = json.loads(_out(capsys))
    assert found["good"]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"items": [{"kind": "smtp", "name": "relay"}], "next": null}', "not used"),
        (b"no JSON", "not looked at"),
    ],
)
def test_doctor_asks_a_running_server_whether_mail_leaves_directly(
    answer: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = self.headers["Authorization"] == "Bearer secret"
            self.send_response(200 if good else 401)
            self.end_headers()
            self.wfile.write(answer)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        served = threading.Thread(target=server.handle_request)
        served.start()
        where = {"url": f"http://127.0.0.1:{server.server_port}", "token": "secret"}
        (tmp_path / "endpoints.json").write_text(json.dumps(where), "utf-8")
        assert run(["doctor", "--data", str(tmp_path), "--json"]) == 0
        served.join()
    found = {each["name"]: each["says"] for each in json.loads(_out(capsys))["checks"]}
    assert found["direct mail"].startswith(said)


def test_doctor_says_what_does_not_answer_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAPPE_SMTP_URL", "smtp://127.0.0.1:1")
    monkeypatch.setenv("CHAPPE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert run(["doctor", "--data", str(tmp_path / "data")]) == 1
    said = _out(capsys)
    assert "✘ database: cannot connect to Postgres" in said
    assert "✘ smtp: 127.0.0.1:1 does not answer" in said
