"""Two contacts are one person: the more careful of both holds. One wants to be nobody: so it is."""

import datetime as dt

import asyncpg

from chappe.clock import HandClock
from chappe.events import Identifier, contact_key
from chappe.ids import DEFAULT_WORKSPACE, ContactId
from tests.integration.sender.place import Place, a_sender

MINUTE = dt.timedelta(minutes=1)


async def merge(place: Place, gone: str, into: str) -> None:
    for contact in (gone, into):
        await place.event(contact, "contact.merged", data={"from": gone, "into": into})
    await place.settle()


async def erase(place: Place, contact: str) -> None:
    address = Identifier("email", f"{contact}@example.com")
    await place.event(contact, "privacy.erase_requested", identifiers=(address,))
    await place.settle()


async def test_unsubscribed_wins_whichever_of_the_two_said_it(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.event("old", "email.unsubscribed", at=clock.now() - MINUTE)
        await place.subscribe("new")
        await place.settle()
        await merge(place, "old", "new")
        await place.ask("new", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "unsubscribed")


async def test_what_was_asked_for_the_old_contact_is_checked_against_the_new_one(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("old")
        await place.subscribe("new")
        await merge(place, "old", "new")
        await place.event("new", "email.unsubscribed")
        await place.settle()
        await place.ask("old", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "unsubscribed")


async def test_leaving_under_the_old_id_leaves_for_both(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("old")
        await place.subscribe("new")
        await merge(place, "old", "new")
        await place.event("old", "email.unsubscribed")
        await place.settle()
        await place.ask("new", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "unsubscribed")


async def test_a_chain_of_merges_ends_at_the_last(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        await place.event("a", "email.unsubscribed")
        await place.subscribe("c")
        await place.settle()
        await merge(place, "b", "c")
        await merge(place, "a", "b")
        await place.ask("c", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "unsubscribed")


async def test_the_mails_of_both_are_listed_and_exported(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        for contact, message in (("old", "m_1"), ("new", "m_2")):
            await place.subscribe(contact)
            await place.ask(contact, message)
        await place.settle()
        await merge(place, "old", "new")
        listed = (await place.http.get("/api/v1/messages", params={"contact": "new"})).json()
        assert {item["id"] for item in listed["items"]} == {"m_1", "m_2"}
        document = (await place.http.get("/api/v1/messages/export/new")).json()
        assert {item["id"] for item in document["messages"]["items"]} == {"m_1", "m_2"}
        assert document["permission"]["state"] == "subscribed"


async def test_an_erasure_keeps_that_a_mail_was_and_not_whose(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.settle()
        await erase(place, "zoe")
        row = await pool.fetchrow("SELECT * FROM sender.message WHERE id = 'm_1'")
        assert row is not None
        assert (row["state"], row["accepted_at"] is not None) == ("accepted", True)
        assert "example.com" not in str(row["address"])
        assert (row["subject"], row["snapshot"], row["address_key"]) == (None, None, None)
        closed = await pool.fetch("SELECT address, reason FROM sender.suppression")
        assert [row["reason"] for row in closed] == ["erased"]
        assert "zoe" not in str(closed)


async def test_an_erased_address_gets_no_marketing_under_another_contact(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.settle()
        await erase(place, "zoe")
        await place.event("zoe2", "contact.created", at=clock.now() - MINUTE,
                          traits={"consent": {"email": "subscribed"}})  # fmt: skip
        await place.ask("zoe2", "m_1", address="zoe@example.com")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "unsubscribed")


async def test_a_newer_consent_of_their_own_opens_the_address_again(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.settle()
        await erase(place, "zoe")
        clock.advance(MINUTE)
        await place.event("zoe2", "contact.created",
                          identifiers=(Identifier("email", "zoe@example.com"),),
                          traits={"consent": {"email": "subscribed"}})  # fmt: skip
        await place.ask("zoe2", "m_1", address="zoe@example.com")
        await place.settle()
        assert await place.state("m_1") == ("accepted", None)


async def test_a_complaint_survives_an_erasure_as_a_hash(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        address = Identifier("email", "zoe@example.com")
        await place.event("zoe", "email.complained", identifiers=(address,))
        await place.settle()
        await erase(place, "zoe")
        rows = await pool.fetch("SELECT address, reason FROM sender.suppression")
        assert [row["reason"] for row in rows] == ["complained"]
        assert "zoe" not in rows[0]["address"]
        await place.ask("zoe2", "m_1", "receipt", address="zoe@example.com")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "suppressed")


async def test_an_erasure_blanks_the_dead_letters_of_the_contact(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await merge(place, "old", "zoe")
        for contact in ("old", "zoe", "other"):
            await pool.execute(
                """INSERT INTO sender.dead_letter
                       (id, shard, stream, "offset", key, value, reason, at)
                   VALUES ($1, 0, 'sends', 0, $2, 'zoe@example.com', 'no send', now())""",
                contact,
                contact_key(DEFAULT_WORKSPACE, ContactId(contact)),
            )
        await erase(place, "zoe")
        left = await pool.fetch("SELECT id FROM sender.dead_letter WHERE value <> ''")
        assert [row["id"] for row in left] == ["other"]
