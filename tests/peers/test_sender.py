"""The whole sender, ledger and all, with a real Postfix as its relay."""

import asyncpg
import pytest

from chappe.clock import HandClock
from chappe_sender import bootstrap
from tests.integration.sender.place import MARKETING, TRANSACTIONAL, sender_at
from tests.peers.postfix import Postfix
from tests.unit.sender.scripted_smtp import Script, ScriptedServer

pytestmark = [pytest.mark.peers, pytest.mark.integration]


async def test_what_postfix_takes_and_what_it_refuses_ends_as_such(
    mx: Postfix, pool: asyncpg.Pool, clock: HandClock
) -> None:
    relay = ScriptedServer(Script(), port=mx.ports["strict"])
    people = {
        "c_well": "zoe@example.com",
        "c_abroad": "zoé@bücher.example",
        "c_nobody": "nobody@example.com",
        "c_full": "full@example.com",
        "c_spam": "spam@example.com",
        "c_later": "later@example.com",
    }
    await bootstrap.migrate(pool)
    async with sender_at(pool, clock, relay) as place:
        await place.publish("cart", MARKETING)
        await place.publish("receipt", TRANSACTIONAL)
        for contact, address in people.items():
            await place.ask(contact, f"m_{contact}", "receipt", address=address)
        await place.settle()
        states = {contact: await place.state(f"m_{contact}") for contact in people}
    assert states["c_well"][0] == states["c_abroad"][0] == "accepted"
    assert states["c_nobody"] == ("bounced", "invalid_recipient")
    assert states["c_spam"] == ("bounced", "spam")
    assert states["c_full"] == states["c_later"] == ("scheduled", "deferred")
    for contact in ("c_well", "c_abroad"):
        assert b"Hello Zo" in mx.delivered(f"m_{contact}")
