"""A template is looked at as somebody would get it, and tried on a few addresses."""

from typing import Any

import asyncpg

from chappe.clock import HandClock
from tests.integration.sender.place import a_sender


async def test_a_preview_shows_all_of_the_mail_and_sends_nothing(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        asked: dict[str, Any] = {"contact": {"first_name": "<Ada>"}, "event": {}}
        answer = await place.http.post("/api/v1/templates/cart/preview", json=asked)
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        assert shown["subject"] == "Your cart, <Ada>"
        assert "Hello &lt;Ada&gt;" in shown["html"]
        assert "Hello <Ada>" in shown["text"]
        assert shown["links"] == ["https://shop.example/cart"]
        headers = dict(shown["headers"])
        assert headers["List-Unsubscribe"] == "<https://mail.example/u/test>"
        assert 0 < shown["size"] < shown["message_size"]
        assert place.mails() == []


async def test_a_test_mail_is_untracked_and_leaves_no_trace(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        to = ["ada@example.com", "bob@example.com"]
        answer = await place.http.post("/api/v1/templates/cart/send-test", json={"to": to})
        assert [each["outcome"] for each in answer.json()] == ["taken", "taken"], answer.text
        mails = place.mails()
        assert [str(mail["To"]) for mail in mails] == to
        assert str(mails[0]["Subject"]).startswith("[Test] ")
        body = str(mails[0].get_body(("html",)))
        assert "/c/" not in body
        assert "/o/" not in body
        listed = await place.http.get("/api/v1/messages")
        assert listed.json()["items"] == []


async def test_a_test_goes_to_five_addresses_and_no_more(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        six = {"to": [f"p{n}@example.com" for n in range(6)]}
        answer = await place.http.post("/api/v1/templates/cart/send-test", json=six)
        assert answer.status_code == 422
        wrong = await place.http.post("/api/v1/templates/cart/send-test", json={"to": ["nobody"]})
        assert wrong.json()["errors"][0]["where"] == "to.0"
        assert place.mails() == []


async def test_nothing_is_tried_where_nothing_may_leave(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock, delivery="capture") as place:
        body = {"to": ["ada@example.com"]}
        answer = await place.http.post("/api/v1/templates/cart/send-test", json=body)
        assert answer.status_code == 409
        assert place.mails() == []
