"""``chappe domains``, ``sending`` and ``messages``: what they ask a server, and how they end."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from typing_extensions import override

from chappe_cli.main import run

Answer = tuple[int, Any]

DOMAIN: dict[str, Any] = {
    "domain": "shop.example",
    "keys": [],
    "blocked": None,
    "created_at": "2026-11-22T09:00:00Z",
    "checked_at": None,
    "publish": [
        {
            "type": "TXT",
            "name": "s1._domainkey.shop.example",
            "value": "v=DKIM1; k=rsa; p=" + "A" * 300,
            "why": "receivers check our signature with it",
        }
    ],
}
STOP: dict[str, Any] = {
    "id": "st_1",
    "kind": "journey",
    "value": "abandoned-cart",
    "reason": "wrong price",
    "created_at": "2026-11-22T09:00:00Z",
    "since": "2026-11-21T09:00:00Z",
    "counts": {"received": 2, "in_doubt": 1, "on_the_wire": 0, "waiting": 5},
}
GOT = {"id": "m_1", "contact": "c_1", "address": "zoe@example.com", "state": "accepted"}


class Server:
    """Answers by method and path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, Any]] = []

    def body_of(self, what: str) -> Any:
        return next(body for asked, body in self.asked if asked == what)


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        known = cast("Any", self.server).known
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        what = f"{self.command} {self.path.partition('?')[0]}"
        known.asked.append((f"{self.command} {self.path}", body))
        status, given = known.answers.get(what, (404, {"detail": f"{what} is not there"}))
        content = given if isinstance(given, bytes) else json.dumps(given).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - as the base class calls them

    @override
    def log_message(self, format: str, *args: object) -> None:
        """In silence."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that the command finds."""
    known = Server()
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    cast("Any", listening).known = known
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("CHAPPE_URL", f"http://127.0.0.1:{listening.server_port}")
    monkeypatch.setenv("CHAPPE_TOKEN", "a-token-for-tests")
    try:
        yield known
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The exit status and what was printed."""

    def command(*words: str) -> tuple[int, str]:
        code = run(list(words))
        return code, "".join(capsys.readouterr())

    return command


Ran = Callable[..., tuple[int, str]]


# -- domains ----------------------------------------------------------------------------------


def test_adding_a_domain_prints_the_records_whole(server: Server, ran: Ran) -> None:
    server.answers["POST /api/v1/domains"] = (201, DOMAIN)
    code, said = ran("domains", "add", "shop.example", "--ed25519")
    assert code == 0
    assert DOMAIN["publish"][0]["value"] in said
    assert server.body_of("POST /api/v1/domains") == {"domain": "shop.example", "ed25519": True}


def test_domains_are_listed_rotated_and_removed(server: Server, ran: Ran) -> None:
    server.answers["GET /api/v1/domains"] = (200, {"items": [DOMAIN], "next": None})
    server.answers["POST /api/v1/domains/shop.example/rotate"] = (200, DOMAIN)
    server.answers["DELETE /api/v1/domains/shop.example"] = (204, b"")
    code, said = ran("domains", "list", "--json")
    assert (code, json.loads(said)["items"]) == (0, [DOMAIN])
    assert ran("domains", "rotate", "shop.example", "--now")[0] == 0
    assert server.body_of("POST /api/v1/domains/shop.example/rotate") == {"now": True}
    code, said = ran("domains", "remove", "shop.example", "--json")
    assert (code, json.loads(said)) == (0, {"domain": "shop.example", "removed": True})


@pytest.mark.parametrize(("result", "code"), [("pass", 0), ("unknown", 0), ("fail", 1)])
def test_a_check_ends_with_one_only_when_something_fails(
    server: Server, ran: Ran, result: str, code: int
) -> None:
    found = {
        "result": result,
        "routes": [
            {
                "route": "default",
                "results": [{"check": "spf", "result": result, "detail": "names another host"}],
            }
        ],
        "publish": DOMAIN["publish"],
        "blocked": "SPF names another host" if result == "fail" else None,
    }
    server.answers["POST /api/v1/domains/shop.example/check"] = (200, found)
    ended, said = ran("domains", "check", "shop.example")
    assert ended == code
    assert "names another host" in said
    assert ("Marketing from here waits" in said) is (result == "fail")
    ended, said = ran("domains", "check", "shop.example", "--json")
    assert (ended, json.loads(said)) == (code, found)


def test_a_domain_that_is_not_ours_is_bad_input(server: Server, ran: Ran) -> None:
    problem = {"detail": "no domain is called 'other.example'"}
    server.answers["POST /api/v1/domains/other.example/check"] = (404, problem)
    code, said = ran("domains", "check", "other.example", "--json")
    assert code == 2
    assert "no domain is called" in json.loads(said)["error"]


# -- sending ----------------------------------------------------------------------------------


def test_a_stop_tells_who_already_got_it(server: Server, ran: Ran) -> None:
    server.answers["POST /api/v1/sending/stops"] = (201, STOP)
    server.answers["GET /api/v1/sending/stops/st_1/received"] = (
        200,
        {"items": [GOT], "next": None},
    )
    words = ("sending", "stop", "--journey", "abandoned-cart", "--reason", "wrong price")
    code, said = ran(*words, "--json")
    assert code == 0
    assert json.loads(said) == {**STOP, "received": [GOT]}
    asked = server.body_of("POST /api/v1/sending/stops")
    assert asked == {
        "kind": "journey", "value": "abandoned-cart", "reason": "wrong price", "since": None,
    }  # fmt: skip
    code, said = ran(*words)
    assert code == 0
    assert "zoe@example.com" in said


@pytest.mark.parametrize(
    ("words", "kind", "value"),
    [
        ((), "workspace", ""),
        (("--workspace",), "workspace", ""),
        (("--template", "cart"), "template", "cart"),
        (("--provider", "default"), "provider", "default"),
        (("--domain", "gmail.com"), "domain", "gmail.com"),
        (("--class", "marketing"), "class", "marketing"),
    ],
)
def test_a_stop_is_about_one_thing(
    server: Server, ran: Ran, words: tuple[str, ...], kind: str, value: str
) -> None:
    server.answers["POST /api/v1/sending/stops"] = (201, STOP)
    server.answers["GET /api/v1/sending/stops/st_1/received"] = (200, {"items": [], "next": None})
    assert ran("sending", "stop", *words, "--since", "2026-11-22T09:00:00Z")[0] == 0
    asked = server.body_of("POST /api/v1/sending/stops")
    assert (asked["kind"], asked["value"]) == (kind, value)
    assert asked["since"].startswith("2026-11-22T09:00:00")


def test_two_things_at_once_are_refused(server: Server, ran: Ran) -> None:
    code, said = ran("sending", "stop", "--journey", "a", "--template", "b")
    assert code == 2
    assert "one stop is about one thing" in said
    assert server.asked == []


def test_resume_takes_one_or_all(server: Server, ran: Ran) -> None:
    server.answers["POST /api/v1/sending/resume"] = (200, {"resumed": ["st_1"]})
    assert ran("sending", "resume", "st_1", "--json")[0] == 0
    assert ran("sending", "resume", "--json")[0] == 0
    assert [body for _, body in server.asked] == [{"stop": "st_1"}, {"stop": None}]


def test_the_status_names_the_mode_and_the_stops(server: Server, ran: Ran) -> None:
    found = {"delivery": "capture", "setting": "live", "reason": "ahead:events", "stops": [STOP]}
    server.answers["GET /api/v1/sending"] = (200, found)
    code, said = ran("sending", "status", "--json")
    assert (code, json.loads(said)) == (0, found)
    code, said = ran("sending", "status")
    assert code == 0
    assert "ahead:events" in said
    assert "st_1" in said


def test_going_live_repeats_the_warning(server: Server, ran: Ran) -> None:
    warning = "CHAPPE_DELIVERY=capture is set: unset it, or the next start captures again"
    server.answers["POST /api/v1/sending/go-live"] = (200, {"delivery": "live", "warning": warning})
    code, said = ran("sending", "go-live")
    assert code == 0
    assert warning in said


# -- messages ---------------------------------------------------------------------------------


def test_messages_are_found_by_state_and_by_reason(server: Server, ran: Ran) -> None:
    server.answers["GET /api/v1/messages"] = (200, {"items": [GOT], "next": None})
    assert ran("messages", "list", "--state", "in_doubt", "--json")[0] == 0
    assert ran("messages", "list", "--reason", "captured", "--limit", "5")[0] == 0
    assert [asked for asked, _ in server.asked] == [
        "GET /api/v1/messages?state=in_doubt&limit=50",
        "GET /api/v1/messages?reason=captured&limit=5",
    ]


def test_a_doubt_is_settled_with_a_note(server: Server, ran: Ran) -> None:
    given = {"id": "m_1", "as": "accepted", "applied": True}
    server.answers["POST /api/v1/messages/m_1/resolve"] = (200, given)
    words = ("messages", "resolve", "m_1", "--as", "accepted", "--note", "asked the host")
    code, said = ran(*words, "--json")
    assert (code, json.loads(said)) == (0, given)
    asked = server.body_of("POST /api/v1/messages/m_1/resolve")
    assert asked == {"as": "accepted", "note": "asked the host"}


def test_a_captured_mail_is_printed_as_it_would_have_left(server: Server, ran: Ran) -> None:
    mail = b"Subject: Your cart\r\n\r\nHello Zo\xc3\xa9\r\n"
    server.answers["GET /api/v1/sending/captured/m_1"] = (200, mail)
    assert ran("messages", "show", "m_1", "--mail") == (0, mail.decode())
    code, said = ran("messages", "show", "m_1", "--mail", "--json")
    assert (code, json.loads(said)) == (0, {"id": "m_1", "mail": mail.decode()})


def test_a_mail_that_was_not_captured_is_bad_input(server: Server, ran: Ran) -> None:
    problem = {"detail": "no mail 'm_2' was captured in the last days"}
    server.answers["GET /api/v1/sending/captured/m_2"] = (404, problem)
    code, said = ran("messages", "show", "m_2", "--mail")
    assert code == 2
    assert "was captured" in said


@pytest.mark.parametrize(
    "words",
    [
        ["domains", "add"], ["domains", "list"], ["domains", "rotate"], ["domains", "check"],
        ["domains", "remove"], ["sending", "stop"], ["sending", "received"], ["sending", "resume"],
        ["sending", "status"], ["sending", "go-live"], ["messages", "resolve"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_helps_with_an_example(words: list[str], ran: Ran) -> None:
    code, said = ran(*words, "--help")
    assert code == 0
    assert "Example:" in said
