"""A journey tells the shop's own people something by mail."""

import asyncpg
import httpx
import pytest

from chappe.clock import HandClock
from chappe.events import Event
from chappe_orchestrator.adapters.notices import HttpNotices
from chappe_orchestrator.application.call_ports import NoticeFailedError
from tests.integration.sender.place import TOKEN, Place, a_sender

pytestmark = pytest.mark.integration

NOTICE = {
    "id": "wh_1",
    "to": "team@shop.example",
    "subject": "A  large\norder",
    "text": "Zoé & Co\nordered <b>twice</b>.\nCall https://shop.example/orders/1",
}


async def notify(place: Place, **changed: str) -> httpx.Response:
    return await place.http.post("/api/v1/messages/notices", json={**NOTICE, **changed})


async def test_a_notice_is_sent_as_it_stands_and_listed(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        taken = await notify(place)
        assert taken.status_code == 202, taken.text
        await place.settle()
        (mail,) = place.mails()
        assert mail["To"] == "team@shop.example"
        assert mail["Subject"] == "A large order"
        assert mail["List-Unsubscribe"] is None
        plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
        assert plain is not None
        assert plain.get_content().replace("\r\n", "\n").strip() == NOTICE["text"]
        assert page is not None
        content = page.get_content()
        assert "&amp; Co" in content
        assert "&lt;b&gt;" in content
        assert "mail.example" not in content
        shown = (await place.http.get(f"/api/v1/messages/{taken.json()['message']}")).json()
        assert (shown["state"], shown["class"]) == ("accepted", "transactional")
        listed = await place.http.get("/api/v1/messages?contact=email:team@shop.example")
        assert [one["id"] for one in listed.json()["items"]] == [shown["id"]]


async def test_the_same_notice_asked_twice_is_one_mail(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        both = [await notify(place), await notify(place)]
        await place.settle()
        third = await notify(place, text="something else")
        await place.settle()
        assert third.status_code == 200
        assert {each.json()["message"] for each in (*both, third)} == {third.json()["message"]}
        assert len(place.mails()) == 1
        await notify(place, id="wh_2")
        await place.settle()
        assert len(place.mails()) == 2


async def test_a_notice_makes_nobody_a_contact(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        await notify(place)
        await place.settle()
        events: list[Event] = place.told()
        assert events == []
        assert [line.what for line in place.journal()] == ["handed_over"]


async def test_a_notice_that_cannot_be_sent_is_refused(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        assert (await notify(place, to="nobody")).status_code == 422
        assert (await notify(place, text="x" * 20_001)).status_code == 422
        assert (await notify(place, more="x")).status_code == 422
        anonymous = await place.http.post(
            "/api/v1/messages/notices", json=NOTICE, headers={"Authorization": ""}
        )
        assert anonymous.status_code == 401
        assert place.mails() == []


async def test_a_notice_whose_text_is_empty_or_whose_subject_is_blank_still_goes(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await notify(place, subject=" \n", text="x" * 20_000)
        await place.settle()
        (mail,) = place.mails()
        assert mail["Subject"] == "A notice"


async def test_the_orchestrator_asks_as_the_sender_listens(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        notices = HttpNotices(place.http, "http://test", TOKEN)
        for _ in range(2):
            await notices.mail("wh_1", "default", "team@shop.example", "Hello", "An order")
        await place.settle()
        assert [mail["Subject"] for mail in place.mails()] == ["Hello"]
        with pytest.raises(NoticeFailedError, match="422"):
            await notices.mail("wh_2", "default", "nobody", "Hello", "An order")
