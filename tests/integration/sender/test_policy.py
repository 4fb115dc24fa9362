"""What holds for all mail of a workspace: who may be written to, and who is measured."""

import re
from typing import Any

import asyncpg
import pytest

from chappe.clock import HandClock
from chappe.events import Snapshot
from tests.integration.sender.place import Place, a_sender

POLICY = "/api/v1/sending/policy"


async def change(place: Place, body: dict[str, Any]) -> dict[str, Any]:
    answer = await place.http.patch(POLICY, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_under_opt_out_who_said_nothing_is_written_to_and_who_left_is_not(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await change(place, {"consent": "opt_out"})
        await place.event("luc", "email.unsubscribed", data={"address": "luc@example.com"})
        await place.event("ana", "contact.updated", traits={"consent": {"email": "pending"}})
        await place.settle()
        for who, message in (("zoe", "m_1"), ("luc", "m_2"), ("ana", "m_3")):
            await place.ask(who, message)
        await place.settle()
        assert place.sent() == ["m_1"]
        assert await place.state("m_2") == ("skipped", "unsubscribed")
        assert await place.state("m_3") == ("skipped", "no_consent")


async def test_under_opt_out_an_address_that_left_under_another_name_is_not_written_to(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await change(place, {"consent": "opt_out"})
        await place.event("luc", "email.unsubscribed", data={"address": "zoe@example.com"})
        await place.settle()
        await place.ask("zoe", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "unsubscribed")


async def test_a_policy_is_kept_and_what_is_not_named_stays(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        default = (await place.http.get(POLICY)).json()
        assert default == {
            "consent": "opt_in",
            "tracking": {"countries": ["FR"], "refused": "none"},
        }
        await change(place, {"tracking": {"countries": ["FR", "BE"]}})
        held = await change(place, {"consent": "opt_out"})
        assert held["tracking"]["countries"] == ["BE", "FR"]
        for wrong in ({"consent": "maybe"}, {"tracking": {"countries": ["France"]}}, {"x": 1}):
            assert (await place.http.patch(POLICY, json=wrong)).status_code == 422


@pytest.mark.parametrize(
    ("said", "pixel"), [(None, "tally"), ("subscribed", "open"), ("unsubscribed", None)]
)
async def test_what_a_person_in_france_said_of_being_measured_decides_what_the_mail_carries(
    pool: asyncpg.Pool, clock: HandClock, said: str | None, pixel: str | None
) -> None:
    async with a_sender(pool, clock) as place:
        consent = {"email": "subscribed"} | ({"tracking": said} if said else {})
        await place.event("zoe", "contact.updated", traits={"consent": consent})
        await place.settle()
        await place.ask("zoe", "m_1", snapshot=Snapshot(contact={"country": "FR"}))
        await place.settle()
        (mail,) = place.mails()
        page = mail.get_body(("html",))
        assert page is not None
        found = re.search(r'src="[^"]*/o/([^"]+)"', page.get_content())
        kinds = [kind for kind in ("open", "tally") if found and place.tokens.open(kind, found[1])]
        assert kinds == ([pixel] if pixel else [])


async def test_a_refusal_to_be_measured_is_not_undone_by_an_older_word(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        now = clock.now().isoformat()
        for state, at in (("unsubscribed", now), ("subscribed", "2020-01-01T00:00:00Z")):
            await place.event(
                "zoe",
                "contact.updated",
                traits={"consent": {"tracking": {"state": state, "at": at}}},
            )
        await place.settle()
        held = await pool.fetchval("SELECT tracking FROM sender.permission WHERE contact = 'zoe'")
        assert held == "unsubscribed"
