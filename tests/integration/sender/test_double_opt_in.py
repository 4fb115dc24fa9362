"""Somebody pending is asked by mail; only a POST confirms, and at most two mails ask."""

import datetime as dt
import re

import asyncpg

from chappe.clock import HandClock
from chappe.events import Identifier
from tests.integration.sender.place import Place, a_sender


async def pending(place: Place, locale: str = "en") -> None:
    place.clock.advance(dt.timedelta(seconds=1))
    await place.event(
        "ada",
        "contact.consent_changed",
        identifiers=(Identifier("email", "ada@example.com"),),
        traits={"consent": {"email": "pending"}, "locale": locale},
    )
    await place.settle()


async def test_a_link_shows_a_question_and_the_button_confirms(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await pending(place, "fr-CA")
        mail = place.mails()[0]
        assert str(mail["Subject"]) == "Confirmez votre inscription"
        body = mail.get_body(("plain",))
        assert body is not None
        found = re.search(r"https://mail\.example(/p/[\w-]+)", str(body.get_content()))
        assert found is not None
        shown = await place.http.get(found[1])
        assert "ada@example.com" in shown.text
        await place.ask("ada", "m_early")
        await place.settle()
        assert await place.state("m_early") == ("skipped", "no_consent")
        place.clock.advance(dt.timedelta(seconds=1))
        assert (await place.http.post(found[1])).status_code == 200
        await place.settle()
        await place.ask("ada", "m_after")
        await place.settle()
        assert (await place.state("m_after"))[0] == "accepted"


async def test_two_mails_ask_a_day_apart_and_no_more(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        for _ in range(3):
            await pending(place)
        assert len(place.mails()) == 1
        for _ in range(3):
            place.clock.advance(dt.timedelta(days=2))
            await pending(place)
        assert len(place.mails()) == 2


async def test_a_stale_or_forged_link_confirms_nothing(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        old = place.tokens.seal("confirm", ["default", "ada", "ada@example.com", "m_1", 1_000])
        for token in (old, old[:-4] + "AAAA"):
            assert (await place.http.post(f"/p/{token}")).status_code == 404
        assert "has expired" in (await place.http.get(f"/p/{old}")).text
        assert "does not work" in (await place.http.get(f"/p/{old[:-4]}AAAA")).text
