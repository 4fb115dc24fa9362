"""Suppression lists of another sender, and what they may not do."""

import datetime as dt
from typing import Any

import asyncpg
import pytest

from chappe.clock import HandClock
from chappe.events import Identifier
from tests.integration.sender.place import Place, a_sender

pytestmark = pytest.mark.integration

LIST = """email,reason,at,source
zoe@example.com,unsubscribed,2025-01-01T00:00:00Z,old sender
lea@example.com,SPAM_COMPLAINT,2025-01-01T00:00:00Z,
nobody,bounced,,
"""


async def imported(place: Place, content: str, **query: Any) -> dict[str, Any]:
    answer = await place.http.post(
        "/api/v1/suppressions/import", content=content.encode(), params=query
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def held(place: Place) -> dict[str, tuple[str, str]]:
    items = (await place.http.get("/api/v1/suppressions")).json()["items"]
    return {item["address"]: (item["reason"], item["at"][:10]) for item in items}


async def test_a_dry_run_says_what_is_wrong_and_keeps_nothing(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        found = await imported(place, LIST, dry_run="true")
        assert (found["taken"], found["refused"], found["new"]) == (2, 1, None)
        assert found["errors"] == [
            {"row": 4, "column": "email", "what": "not an e-mail address", "cell": 1}
        ]
        assert await held(place) == {}


async def test_a_list_is_taken_over_once_with_its_own_times(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        assert (await imported(place, LIST))["new"] == 2
        assert (await imported(place, LIST))["new"] == 0
        assert await held(place) == {
            "zoe@example.com": ("unsubscribed", "2025-01-01"),
            "lea@example.com": ("complained", "2025-01-01"),
        }


async def test_an_import_never_lowers_a_suppression(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        await place.http.post(
            "/api/v1/suppressions", json={"address": "zoe@example.com", "reason": "complained"}
        )
        assert (await imported(place, LIST))["new"] == 1
        assert (await held(place))["zoe@example.com"][0] == "complained"
        stronger = "email,reason\nlea@example.com,unsubscribed\n"
        assert (await imported(place, stronger))["new"] == 0
        assert (await held(place))["lea@example.com"][0] == "complained"


async def test_an_older_consent_does_not_lift_an_imported_unsubscribe(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    """The consent's own time decides, and not when its record came."""
    async with a_sender(pool, clock) as place:
        await imported(place, LIST)
        said = {"state": "subscribed", "at": "2024-01-01T00:00:00Z", "source": "shop"}
        await place.event(
            "zoe",
            "contact.updated",
            identifiers=(Identifier("email", "zoe@example.com"),),
            traits={"consent": {"email": said}},
        )
        await place.ask("zoe", "m_1")
        await place.settle()
        assert (await place.state("m_1"))[0] == "skipped"
        assert "zoe@example.com" in await held(place)
        await place.subscribe("zoe", clock.now() + dt.timedelta(seconds=1))
        await place.settle()
        assert "zoe@example.com" not in await held(place)


@pytest.mark.parametrize("content", ["", "name\nA\n"])
async def test_what_is_no_list_is_refused(
    pool: asyncpg.Pool, clock: HandClock, content: str
) -> None:
    async with a_sender(pool, clock) as place:
        answer = await place.http.post("/api/v1/suppressions/import", content=content.encode())
        assert answer.status_code == 422
