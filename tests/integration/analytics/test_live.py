import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import uvicorn

from chappe.ids import ContactId
from tests.integration.analytics.conftest import TOKEN, World
from tests.unit.analytics.facts import CART_1, ZOE, decision, event, touch

pytestmark = pytest.mark.integration

ANSWER_SECONDS = 20


@pytest.fixture
async def url(world: World) -> AsyncIterator[str]:
    """The app on a socket: a stream without end needs a real server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(world.app, log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        world.live.close()
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await serving


class Watching:
    """One client of the stream."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> Any:
        """The next ``data:``."""
        async with asyncio.timeout(ANSWER_SECONDS):
            async for line in self._lines:
                if line.startswith("data: "):
                    return json.loads(line[len("data: ") :])
        raise AssertionError("the stream ended")

    async def hello(self) -> None:
        """Connected, and watching from here on."""
        async with asyncio.timeout(ANSWER_SECONDS):
            async for line in self._lines:
                if line.startswith(":"):
                    return


async def test_a_page_sees_events_decisions_and_outcomes_as_they_are_applied(
    world: World, url: str
) -> None:
    async with (
        httpx.AsyncClient(base_url=url) as client,
        client.stream("GET", "/api/v1/live", params={"token": TOKEN}) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        watching = Watching(answer.aiter_lines())
        await watching.hello()
        await world.hear(event("contact.created", email="zoe@example.com"))
        signed_up = await watching.next()
        await world.decide(decision("entered", journey="welcome"), contact=ZOE)
        entered = await watching.next()
        await world.touch(touch(message=CART_1))
        clicked = await watching.next()
    assert (signed_up["kind"], signed_up["text"]) == ("event", "Signed up")
    assert (entered["kind"], entered["journey"], entered["email"]) == (
        "decision", "welcome", "zoe@example.com",
    )  # fmt: skip
    assert (clicked["name"], clicked["message"], clicked["data"]["verdict"]) == (
        "email.clicked", "m_cart-1", "human",
    )  # fmt: skip
    timeline = await world.timeline()
    assert [item["id"] for item in timeline["items"]].count(entered["id"]) == 1


async def test_a_tail_from_the_earliest_shows_each_event_once_and_goes_on(
    world: World, url: str
) -> None:
    contacts = [ContactId(f"c_{n}") for n in range(6)]
    before = [
        event("page.viewed", contact=contact, event_id=f"e_{n}_{contact}")
        for n in range(30)
        for contact in contacts
    ]
    await world.hear(*before)
    await world.settled()
    after = [event("cart.updated", contact=contact) for contact in contacts]
    async with (
        httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}) as client,
        client.stream(
            "GET", "/api/v1/live", params={"raw": "events", "from": "earliest"}
        ) as answer,
    ):
        watching = Watching(answer.aiter_lines())
        seen = [await watching.next() for _ in before]
        await world.hear(*after)
        seen += [await watching.next() for _ in after]
    assert [one["id"] for one in seen if one["contact"] == "c_3"] == [
        one.id for one in [*before, *after] if one.contact == "c_3"
    ]
    assert sorted(one["id"] for one in seen) == sorted(one.id for one in [*before, *after])
    assert seen[0] == {
        "id": "e_0_" + seen[0]["contact"],
        "name": "page.viewed",
        "workspace": "default",
        "source": None,
        "source_event": None,
        "occurred_at": "2026-11-22T12:00:00Z",
        "received_at": "2026-11-22T12:00:00Z",
        "contact": seen[0]["contact"],
        "identifiers": [],
        "object": None,
        "traits": {},
        "data": {},
        "flags": {
            "test": False,
            "historical": False,
            "unverified": False,
            "derived": False,
            "copy": False,
        },
        "schema": 1,
    }


async def test_a_tail_without_from_shows_only_what_comes(world: World, url: str) -> None:
    await world.hear(event("page.viewed"))
    await world.settled()
    async with (
        httpx.AsyncClient(base_url=url) as client,
        client.stream("GET", "/api/v1/live", params={"token": TOKEN, "raw": "events"}) as answer,
    ):
        watching = Watching(answer.aiter_lines())
        await watching.hello()
        await world.hear(event("cart.updated"))
        assert (await watching.next())["name"] == "cart.updated"


async def test_more_than_one_look_holds_is_followed_to_the_end(world: World, url: str) -> None:
    async with (
        httpx.AsyncClient(base_url=url) as client,
        client.stream(
            "GET", "/api/v1/live", params={"token": TOKEN, "raw": "events", "from": "earliest"}
        ) as answer,
    ):
        watching = Watching(answer.aiter_lines())
        await watching.hello()
        many = [event("page.viewed") for _ in range(120)]
        await world.hear(*many)
        seen = [await watching.next() for _ in many]
    assert [one["id"] for one in seen] == [one.id for one in many]
