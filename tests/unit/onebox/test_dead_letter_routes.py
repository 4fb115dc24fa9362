"""On one box each service's dead letters are found, and what lies below them."""

from typing import Any

import pytest

from chappe_ingest.entrypoints import front
from chappe_onebox.box.router import Router


def _named() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    return app


EDGE, RESOLVER, ORCHESTRATOR = _named(), _named(), _named()
ROUTER = Router(
    [
        *((pattern, EDGE) for pattern in front.PATTERNS),
        ("/api/v1/dead-letters/resolver", RESOLVER),
        ("/api/v1/dead-letters/resolver/*", RESOLVER),
        ("/api/v1/dead-letters/orchestrator", ORCHESTRATOR),
    ]
)


@pytest.mark.parametrize(
    ("path", "app"),
    [
        ("/api/v1/dead-letters/ingest", EDGE),
        ("/api/v1/dead-letters/ingest/raw_1", EDGE),
        ("/api/v1/dead-letters/ingest/raw_1/replay", EDGE),
        ("/api/v1/dead-letters/resolver", RESOLVER),
        ("/api/v1/dead-letters/resolver/replay", RESOLVER),
        ("/api/v1/dead-letters/resolver/raw.commerce-3-17/replay", RESOLVER),
        ("/api/v1/dead-letters/orchestrator", ORCHESTRATOR),
        ("/api/v1/imports/0a1b", EDGE),
    ],
)
def test_a_dead_letter_is_asked_of_its_service(path: str, app: Any) -> None:
    assert ROUTER.find(path) is app
