"""Templates, brand, messages, suppressions and preferences over HTTP."""

import datetime as dt
from typing import Any

import asyncpg

from chappe.clock import HandClock
from tests.integration.sender.place import MARKETING, a_sender


async def test_a_template_is_published_listed_and_shown(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        answer = await place.http.post(
            "/api/v1/templates", json={"name": "cart", "files": {"cart.html": MARKETING}}
        )
        assert answer.status_code == 201
        version = answer.json()["version"]
        assert answer.json() == {
            "name": "cart", "version": version, "class": "marketing", "topic": "offers",
            "warnings": answer.json()["warnings"],
        }  # fmt: skip
        first = (await place.http.get("/api/v1/templates?limit=1")).json()
        rest = (await place.http.get(f"/api/v1/templates?cursor={first['next']}")).json()
        assert [item["name"] for item in first["items"] + rest["items"]] == ["cart", "receipt"]
        assert rest["next"] is None
        shown = (await place.http.get("/api/v1/templates/cart")).json()
        assert shown["files"] == {"cart.html": MARKETING}
        assert shown["versions"] == [version]
        assert (await place.http.get("/api/v1/templates/nothing")).status_code == 404


async def test_a_template_that_is_wrong_gets_every_reason(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        answer = await place.http.post(
            "/api/v1/templates", json={"name": "cart", "files": {"cart.html": "{{ x | y }}"}}
        )
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        where = {error["where"] for error in answer.json()["errors"]}
        assert where == {"cart.html", "cart.html:1"}
        assert len(answer.json()["errors"]) >= 4


async def test_without_the_token_there_is_nothing(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        answer = await place.http.get("/api/v1/templates", headers={"Authorization": "Bearer no"})
        assert answer.status_code == 401


async def test_the_brand_kit_is_kept_and_used(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        bad = await place.http.put("/api/v1/brand", json={"from": "nobody"})
        assert bad.status_code == 422
        kit: dict[str, Any] = {
            "name": "Shop",
            "from": "Shop <hi@shop.example>",
            "address": "1 rue X",
            "colors": {},
        }
        assert (await place.http.put("/api/v1/brand", json=kit)).status_code == 200
        assert (await place.http.get("/api/v1/brand")).json()["from"] == "Shop <hi@shop.example>"
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        (mail,) = place.mails()
        assert mail["From"] == "Shop <hi@shop.example>"
        assert mail["Message-ID"] == "<m_1@shop.example>"


async def test_messages_are_found_by_contact_address_and_state(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        for n in range(3):
            await place.ask("zoe", f"m_{n}", "receipt")
        await place.ask("zoe", "m_3")
        await place.ask("ann", "m_4", "receipt")
        await place.settle()

        async def found(query: str) -> list[str]:
            answer = await place.http.get(f"/api/v1/messages?{query}")
            assert answer.status_code == 200, answer.text
            return [item["id"] for item in answer.json()["items"]]

        assert await found("contact=zoe&state=accepted") == ["m_2", "m_1", "m_0"]
        assert await found("contact=email:Zoe@example.com&state=skipped") == ["m_3"]
        assert await found("state=accepted&limit=500") == ["m_4", "m_2", "m_1", "m_0"]
        page = (await place.http.get("/api/v1/messages?limit=2")).json()
        assert await found(f"limit=500&cursor={page['next']}") == ["m_2", "m_1", "m_0"]
        assert (await place.http.get("/api/v1/messages?contact=phone:1")).status_code == 422
        assert (await place.http.get("/api/v1/messages?state=lost")).status_code == 422
        assert (await place.http.get("/api/v1/messages?cursor=x")).status_code == 400
        assert (await place.http.get("/api/v1/messages/nothing")).status_code == 404


async def test_a_suppression_by_hand_stops_every_mail_and_can_be_lifted(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        added = await place.http.post("/api/v1/suppressions", json={"address": "Zoe@example.com"})
        assert added.status_code == 201
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "suppressed")
        listed = (await place.http.get("/api/v1/suppressions")).json()["items"]
        assert [(item["address"], item["reason"]) for item in listed] == [
            ("zoe@example.com", "manual")
        ]
        gone = await place.http.delete("/api/v1/suppressions/zoe@example.com")
        assert gone.status_code == 204
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert place.sent() == ["m_2"]


async def test_the_preferences_page_opts_out_of_a_topic_and_of_everything(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        token = place.tokens.seal("preferences", ["default", "zoe", "zoe@example.com", "m_0", None])
        shown = await place.http.get(f"/p/{token}", headers={"Accept-Language": "fr"})
        assert shown.status_code == 200
        assert "zoe@example.com" in shown.text
        assert "Vos préférences" in shown.text
        await place.settle()
        await place.ask("zoe", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("accepted", None)

        saved = await place.http.post(f"/p/{token}", data={"do": "save"})
        assert saved.status_code == 200
        assert "checked" not in saved.text
        await place.settle()
        await place.ask("zoe", "m_2")
        await place.settle()
        assert await place.state("m_2") == ("skipped", "topic_opted_out")

        await place.http.post(f"/p/{token}", data={"do": "save", "topic": "offers"})
        await place.http.post(f"/p/{token}", data={"do": "unsubscribe"})
        await place.settle()
        await place.ask("zoe", "m_3")
        await place.settle()
        assert await place.state("m_3") == ("skipped", "unsubscribed")

        clock.advance(dt.timedelta(minutes=1))
        again = await place.http.post(f"/p/{token}", data={"do": "subscribe"})
        assert "checked" in again.text
        await place.settle()
        await place.ask("zoe", "m_4")
        await place.settle()
        assert await place.state("m_4") == ("accepted", None)


async def test_the_preferences_page_wears_the_brand_and_names_topics_for_people(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        kit: dict[str, Any] = {
            "name": "Lanterns & Sons",
            "address": "Lanterns & Sons, 12 Tower Street",
            "logo_url": "https://cdn.example/logo.png",
            "colors": {"primary": "#8a2be2"},
            "topics": {"offers": {"en": "News & offers", "fr": "Nouvelles et offres"}},
        }
        assert (await place.http.put("/api/v1/brand", json=kit)).status_code == 200
        assert (await place.http.get("/api/v1/brand")).json()["topics"] == kit["topics"]
        await place.subscribe("zoe")
        await place.settle()
        token = place.tokens.seal("preferences", ["default", "zoe", "zoe@example.com", "m_0", None])
        page = (await place.http.get(f"/p/{token}")).text
        assert "News &amp; offers" in page
        assert 'src="https://cdn.example/logo.png" alt="Lanterns &amp; Sons"' in page
        assert "#8a2be2" in page
        assert "<footer>Lanterns &amp; Sons, 12 Tower Street</footer>" in page
        french = await place.http.get(f"/p/{token}", headers={"Accept-Language": "fr"})
        assert "Nouvelles et offres" in french.text
        assert french.text.count('class="main"') == 1


async def test_whoever_never_agreed_is_told_so_and_may_subscribe(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        token = place.tokens.seal("preferences", ["default", "zoe", "zoe@example.com", "m_0", None])
        shown = await place.http.get(f"/p/{token}")
        assert "You are not subscribed" in shown.text
        assert 'type="checkbox"' not in shown.text
        agreed = await place.http.post(f"/p/{token}", data={"do": "subscribe"})
        assert 'type="checkbox"' in agreed.text


async def test_the_preferences_link_of_a_test_mail_says_that_it_was_one(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        for answer in (await place.http.get("/p/test"), await place.http.post("/p/test")):
            assert answer.status_code == 404
            assert "test mail" in answer.text


async def test_a_forged_preferences_link_shows_nothing(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        token = place.tokens.seal("unsubscribe", ["default", "zoe", "z@e.com", "m_0", None])
        assert (await place.http.get(f"/p/{token}")).status_code == 404
        assert (await place.http.post(f"/p/{token}")).status_code == 404


async def test_preferences_that_cannot_be_saved_say_so(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        token = place.tokens.seal("preferences", ["default", "zoe", "z@e.com", "m_0", None])
        await place.settle()
        place.broker.away = True
        answer = await place.http.post(f"/p/{token}", data={"do": "unsubscribe"})
        place.broker.away = False
        assert answer.status_code == 503
