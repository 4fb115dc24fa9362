from typing import Any

from chappe_onebox.box.router import Router


async def _app(scope: Any, receive: Any, send: Any) -> None: ...


def _named() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    return app


ORCHESTRATOR, ANALYTICS, EDGE, SENDER, PAGE = _named(), _named(), _named(), _named(), _named()
ROUTER = Router(
    [
        ("/api/v1/contacts", ORCHESTRATOR),
        ("/api/v1/contacts/*", ORCHESTRATOR),
        ("/api/v1/contacts/{ref}/timeline", ANALYTICS),
        ("/in/*", EDGE),
        ("/api/v1/messages*", SENDER),
        ("/", PAGE),
    ]
)


def test_the_longest_pattern_wins() -> None:
    assert ROUTER.find("/api/v1/contacts/c_1") is ORCHESTRATOR
    assert ROUTER.find("/api/v1/contacts/c_1/timeline") is ANALYTICS
    assert ROUTER.find("/api/v1/contacts/email:a@b.example/timeline") is ANALYTICS


def test_a_trailing_star_is_any_rest() -> None:
    assert ROUTER.find("/in/src_1") is EDGE
    assert ROUTER.find("/api/v1/messages") is SENDER
    assert ROUTER.find("/api/v1/messages/m_1") is SENDER


def test_the_root_is_only_the_root() -> None:
    assert ROUTER.find("/") is PAGE
    assert ROUTER.find("/nothing") is None


async def test_an_unknown_address_is_a_problem() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    await ROUTER({"type": "http", "path": "/nothing", "method": "GET"}, receive, send)
    assert sent[0]["status"] == 404
    assert (b"content-type", b"application/problem+json") in sent[0]["headers"]
    assert b"nothing answers at /nothing" in sent[1]["body"]
