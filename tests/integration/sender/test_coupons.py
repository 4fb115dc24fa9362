"""One code per contact and enrollment; a code that surely went nowhere goes back to its pool."""

from typing import Any

import asyncpg

from chappe.clock import HandClock
from chappe.events import Identifier, Snapshot
from chappe.ids import EnrollmentId
from tests.integration.sender.place import MARKETING, Place, a_sender

PAGE = MARKETING.replace("topic: offers", "topic: offers\ncoupon: winter").replace(
    "<p>Hello", "<p>Code {{ coupon }}! Hello"
)


async def pools(place: Place) -> list[dict[str, Any]]:
    return (await place.http.get("/api/v1/coupons")).json()["items"]


async def fill(place: Place, *codes: str) -> None:
    answer = await place.http.post(
        "/api/v1/coupons?pool=winter", content="code\n" + "\n".join(codes)
    )
    assert answer.status_code == 201, answer.text
    await place.publish("gift", PAGE)


async def test_each_contact_gets_a_code_of_its_own_and_the_same_again_in_one_enrollment(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await fill(place, "A-1", "B-2", "C-3", "A-1")
        for contact in ("ada", "bob"):
            await place.subscribe(contact)
            await place.ask(contact, f"m_{contact}", "gift")
        await place.settle()
        await place.ask("ada", "m_again", "gift")
        await place.settle()
        said = {
            str(mail["Chappe-Message"]): str(mail.get_body(("plain",))).partition("Code ")[2][:3]
            for mail in place.mails()
        }
        assert {said["m_ada"], said["m_bob"]} == {"A-1", "B-2"}
        assert said["m_again"] == said["m_ada"]
        assert await pools(place) == [{"pool": "winter", "codes": 3, "left": 1}]


async def test_without_a_code_the_mail_is_skipped_and_says_why(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await fill(place, "A-1")
        await place.subscribe("ada")
        await place.ask("ada", "m_1", "gift")
        await place.settle()
        await place.ask("ada", "m_2", "gift", enrollment=EnrollmentId("en_other"))
        await place.settle()
        assert await place.state("m_2") == ("skipped", "no_coupon")
        assert place.sent() == ["m_1"]


async def test_a_code_that_was_surely_not_sent_comes_back(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await fill(place, "A-1")
        broken = PAGE.replace("{{ contact.first_name }},", "{{ contact.orders | money }}")
        await place.publish("broken", broken)
        await place.subscribe("ada")
        await place.ask("ada", "m_1", "broken", snapshot=_orders())
        await place.settle()
        assert (await place.state("m_1"))[0] == "skipped"
        assert await pools(place) == [{"pool": "winter", "codes": 1, "left": 1}]


def _orders() -> Snapshot:
    return Snapshot(contact={"orders": "many"})


def _codes(place: Place) -> dict[str, str]:
    return {
        str(mail["Chappe-Message"]): str(mail.get_body(("plain",))).partition("Code ")[2][:3]
        for mail in place.mails()
    }


async def test_whoever_is_merged_keeps_the_code_of_the_enrollment(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await fill(place, "A-1", "B-2", "C-3")
        for contact in ("old", "new"):
            await place.subscribe(contact)
        same = EnrollmentId("en_old")
        await place.ask("old", "m_1", "gift")
        await place.settle()
        for contact in ("old", "new"):
            await place.event(contact, "contact.merged", data={"from": "old", "into": "new"})
        await place.settle()
        await place.ask("new", "m_2", "gift", enrollment=same)
        await place.ask("old", "m_3", "gift", enrollment=same)
        await place.settle()
        assert set(_codes(place)) == {"m_1", "m_2", "m_3"}
        assert set(_codes(place).values()) == {"A-1"}
        assert await pools(place) == [{"pool": "winter", "codes": 3, "left": 2}]


async def test_a_code_comes_back_from_a_mail_that_was_asked_for_before_a_merge(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await fill(place, "A-1")
        broken = PAGE.replace("{{ contact.first_name }},", "{{ contact.orders | money }}")
        await place.publish("broken", broken)
        for contact in ("old", "new"):
            await place.subscribe(contact)
            await place.event(contact, "contact.merged", data={"from": "old", "into": "new"})
        await place.settle()
        await place.ask("old", "m_1", "broken", snapshot=_orders())
        await place.settle()
        assert (await place.state("m_1"))[0] == "skipped"
        assert await pools(place) == [{"pool": "winter", "codes": 1, "left": 1}]


async def test_an_erasure_forgets_whose_a_code_was_and_never_gives_it_to_another(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await fill(place, "A-1", "B-2")
        await place.subscribe("ada")
        await place.ask("ada", "m_1", "gift")
        await place.settle()
        address = Identifier("email", "ada@example.com")
        await place.event("ada", "privacy.erase_requested", identifiers=(address,))
        await place.settle()
        kept = await pool.fetch("SELECT contact, enrollment, messages FROM sender.coupon")
        assert "ada" not in str([dict(row) for row in kept])
        assert await pools(place) == [{"pool": "winter", "codes": 2, "left": 1}]
        await place.subscribe("bob")
        await place.ask("bob", "m_2", "gift")
        await place.settle()
        assert _codes(place)["m_2"] == "B-2"
