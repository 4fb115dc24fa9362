import asyncio
import datetime as dt
from typing import Any

import pytest

from chappe.clock import HandClock
from chappe.events import Event
from chappe.events.streams import EVENTS, EVENTS_BULK, RAW_BULK
from chappe.ids import DEFAULT_WORKSPACE, ContactId, random_id
from chappe.tokens import Vault
from chappe_ingest.adapters.identities import PostgresIdentities
from chappe_ingest.adapters.privacy import PostgresPrivacy
from chappe_ingest.adapters.quarantine import PostgresQuarantine
from chappe_ingest.adapters.sweeping import PostgresKept
from chappe_ingest.application.forgetting import ForgetShops
from chappe_ingest.application.inlet import Inlet
from chappe_ingest.application.refs import find
from chappe_ingest.application.sweeping import Sweep
from tests.integration.ingest.test_resolver import World, names, until, world
from tests.unit.ingest.shop import NOW, customer, order, segment, shopify

__all__ = ["world"]
pytestmark = pytest.mark.integration

PREFIX = "gid://shopify/Customer/"


def merge(gone: int, into: int) -> Any:
    return shopify(
        "customers/merge",
        {
            "admin_graphql_api_id_customer_kept": f"{PREFIX}{into}",
            "admin_graphql_api_id_customer_deleted": f"{PREFIX}{gone}",
            "status": "completed",
        },
    )


def redact(number: int, email: str) -> Any:
    return shopify(
        "customers/redact",
        {"shop_id": 1, "customer": {"id": number, "email": email}, "orders_to_redact": []},
    )


async def of(world: World, ref: str) -> str | None:
    return await find(PostgresIdentities(world.pool), DEFAULT_WORKSPACE, ref)


async def wish(world: World, contact: str | None) -> None:
    """What a shop is to be told of somebody who left."""
    await world.pool.execute(
        "INSERT INTO ingest.source (id, workspace, kind, name, namespace, state, created_at) "
        "VALUES ('src_shop', 'default', 'shopify', 'atelier', 'atelier', 'active', now()) "
        "ON CONFLICT DO NOTHING"
    )
    await world.pool.execute(
        "INSERT INTO ingest.write_back (source, contact, workspace, wanted, at, state, changed_at) "
        "VALUES ('src_shop', $1, 'default', 'unsubscribed', now(), 'pending', now())",
        contact,
    )


def named(events: list[Event], name: str) -> list[Event]:
    return [event for event in events if event.name == name]


async def test_a_shop_merges_two_customers_and_both_hear_of_it(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.send(shopify("customers/create", customer(2, "b@x.example")))
    await world.settled(runner)
    gone, into = await of(world, "email:a@x.example"), await of(world, "email:b@x.example")
    assert gone != into
    await world.send(merge(1, 2))
    told = named(await world.settled(runner), "contact.merged")
    assert {event.contact for event in told} == {gone, into}
    assert [event.data for event in told] == [{"from": gone, "into": into}] * 2
    assert len({event.id for event in told}) == 2
    assert await of(world, "email:a@x.example") == into
    assert await of(world, str(gone)) == into
    await world.send(shopify("orders/create", order(9, "a@x.example")))
    (placed,) = named(await world.settled(runner), "order.placed")
    assert placed.contact == into


async def test_a_merge_told_again_is_told_once(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.send(shopify("customers/create", customer(2, "b@x.example")))
    await world.send(merge(1, 2), merge(1, 2))
    assert len(named(await world.settled(runner), "contact.merged")) == 2


async def test_merges_in_a_chain_and_in_a_circle_end_in_one_contact(world: World) -> None:
    runner = await world.start()
    people = {1: "a@x.example", 2: "b@x.example", 3: "c@x.example"}
    for number, email in people.items():
        await world.send(shopify("customers/create", customer(number, email)))
    await world.settled(runner)
    before = {await of(world, f"email:{email}") for email in people.values()}
    await asyncio.gather(*(world.send(merge(*pair)) for pair in ((1, 2), (2, 3), (3, 1), (2, 1))))
    await world.settled(runner)
    after = {await of(world, f"email:{email}") for email in people.values()}
    after |= {await of(world, str(contact)) for contact in before}
    assert len(after) == 1
    assert after <= before


async def test_a_visitor_becomes_the_known_person_whose_server_names_both(world: World) -> None:
    runner = await world.start()
    await world.send(segment("track", {"anonymousId": "v1", "event": "Seen"}))
    await world.send(segment("identify", {"userId": "u1", "traits": {"email": "zoe@example.com"}}))
    await world.settled(runner)
    visitor = await of(world, "anonymous_id:v1")
    known = await of(world, "email:zoe@example.com")
    assert visitor != known
    await world.send(segment("identify", {"userId": "u1", "anonymousId": "v1"}))
    told = named(await world.settled(runner), "contact.merged")
    assert {event.contact for event in told} == {visitor, known}
    assert await of(world, "anonymous_id:v1") == known


async def test_a_public_key_merges_nobody(world: World) -> None:
    runner = await world.start()
    await world.send(segment("track", {"anonymousId": "v1", "event": "Seen"}))
    await world.send(segment("identify", {"userId": "u1", "traits": {"email": "z@x.example"}}))
    await world.send(segment("alias", {"userId": "u1", "previousId": "v1"}, public=True))
    assert not named(await world.settled(runner), "contact.merged")


async def test_an_alias_of_two_users_by_a_secret_key_is_a_merge(world: World) -> None:
    runner = await world.start()
    await world.send(segment("identify", {"userId": "u1", "traits": {"email": "a@x.example"}}))
    await world.send(segment("identify", {"userId": "u2", "traits": {"email": "b@x.example"}}))
    await world.send(segment("alias", {"userId": "u2", "previousId": "u1"}))
    assert len(named(await world.settled(runner), "contact.merged")) == 2
    assert await of(world, "email:a@x.example") == await of(world, "email:b@x.example")


async def test_an_erased_person_is_not_brought_back_by_what_is_old(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.settled(runner)
    contact = await of(world, "email:a@x.example")
    await world.send(redact(1, "a@x.example"))
    (told,) = named(await world.settled(runner), "privacy.erase_requested")
    assert told.contact == contact
    assert told.identifier("email") == "a@x.example"
    left = await world.pool.fetch("SELECT value FROM ingest.identifier")
    assert not any("a@x.example" in row["value"] for row in left)
    old = shopify("customers/update", customer(1, "a@x.example"))
    old.headers["historical"] = "1"
    await world.send(old, stream=RAW_BULK)
    await world.settled(runner)
    assert world.events(EVENTS_BULK) == []
    assert await of(world, "email:a@x.example") is None
    left = await world.pool.fetch("SELECT value FROM ingest.identifier")
    assert not any("a@x.example" in row["value"] for row in left)
    assert await world.pool.fetchval("SELECT sum(n) FROM ingest.erased_dropped") == 1


async def test_a_fresh_order_after_an_erasure_is_somebody_new(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.send(redact(1, "a@x.example"))
    await world.settled(runner)
    erased = named(world.events(EVENTS), "privacy.erase_requested")[0].contact
    await world.send(shopify("orders/create", order(9, "a@x.example")))
    (placed,) = named(await world.settled(runner), "order.placed")
    assert placed.contact is not None
    assert placed.contact != erased
    assert await of(world, "email:a@x.example") == placed.contact


async def test_a_request_about_somebody_unknown_makes_nobody_known(world: World) -> None:
    runner = await world.start()
    await world.send(redact(5, "nobody@x.example"))
    assert names(await world.settled(runner)) == []
    assert await world.pool.fetchval("SELECT count(*) FROM ingest.contact") == 0
    assert await world.pool.fetchval("SELECT count(*) FROM ingest.identifier") == 0
    assert await world.pool.fetchval("SELECT count(*) FROM ingest.erased_identifier") == 2


async def test_a_shop_that_left_waits_for_an_operator(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("shop/redact", {"shop_id": 7, "shop_domain": "atelier.example"}))
    assert names(await world.settled(runner)) == []
    row = await world.pool.fetchrow("SELECT * FROM ingest.shop_erasure")
    assert row is not None
    assert (row["state"], row["shop"]) == ("waiting", "atelier.example")
    assert (row["due_at"] - row["asked_at"]).days == 30


async def test_a_person_s_export_has_names_consent_and_former_ids(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.send(shopify("customers/create", customer(2, "b@x.example")))
    await world.send(merge(1, 2))
    await world.settled(runner)
    contact = await of(world, "email:b@x.example")
    assert contact is not None
    document = await PostgresPrivacy(world.pool).export(DEFAULT_WORKSPACE, ContactId(contact))
    values = {each["value"] for each in document["identifiers"]}
    assert {"a@x.example", "b@x.example"} <= values
    assert len(document["former_ids"]) == 1


async def test_set_aside_deliveries_of_an_erased_person_lose_their_content(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.send(shopify("customers/create", b'["a@x.example"]'))
    await world.send(shopify("customers/create", b'["b@x.example"]'))
    await world.settled(runner)
    await world.send(redact(1, "a@x.example"))
    await world.settled(runner)
    vault = Vault(b"0123456789abcdef")
    sweep = Sweep(
        kept=PostgresKept(world.pool, vault.fingerprint),
        quarantine=PostgresQuarantine(world.pool, vault),
    )
    assert await sweep.once() == 1
    assert await sweep.once() == 0
    sizes = await world.pool.fetch("SELECT octet_length(value) AS n FROM ingest.dead_letter")
    assert sorted(row["n"] > 0 for row in sizes) == [False, True]


async def test_everybody_whom_only_the_shop_has_named_is_erased(
    world: World, clock: HandClock
) -> None:
    runner = await world.start()
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.send(shopify("customers/create", customer(2, "b@x.example")))
    call = {"userId": "u2", "traits": {"email": "b@x.example"}}
    await world.send(segment("identify", call, namespace="app"))
    await world.send(shopify("shop/redact", {"shop_id": 7, "shop_domain": "atelier.example"}))
    await world.settled(runner)
    tasks = PostgresPrivacy(world.pool)
    forget = ForgetShops(
        tasks=tasks,
        inlet=Inlet(broker=world.broker, business=clock, wall=clock, new_id=random_id),
        business=clock,
    )
    assert not await forget.once()
    await world.settled(runner)
    assert await of(world, "email:a@x.example") is not None
    (task,) = await tasks.tasks(DEFAULT_WORKSPACE, None)
    assert await tasks.confirm(DEFAULT_WORKSPACE, task["source"], task["id"], clock.now())
    await forget.once()
    await world.settled(runner)
    assert await of(world, "email:a@x.example") is None
    assert await of(world, "email:b@x.example") is not None
    (task,) = await tasks.tasks(DEFAULT_WORKSPACE, None)
    assert (task["state"], task["erased"], task["kept"]) == ("done", 1, 1)


async def test_what_had_come_before_an_erasure_and_was_on_its_way_brings_nobody_back(
    world: World,
) -> None:
    """As a spool, the quarantine or a wait for the shop's API gives it back: with its own time."""
    runner = await world.start()
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.send(redact(1, "a@x.example"))
    await world.settled(runner)
    before = NOW - dt.timedelta(seconds=1)
    late = shopify("orders/create", order(9, "a@x.example"), received_at=before)
    await world.send(late)
    assert not named(await world.settled(runner), "order.placed")
    assert await of(world, "email:a@x.example") is None
    await world.send(shopify("orders/create", order(10, "a@x.example")))
    assert len(named(await world.settled(runner), "order.placed")) == 1
    sources = PostgresPrivacy(world.pool)
    (touched,) = (await sources.erasing([late.source])).values()
    assert touched.dropped == 1


async def test_what_is_kept_for_ever_names_nobody(world: World) -> None:
    runner = await world.start()
    signed_up = {"userId": "zoe@example.com", "traits": {"email": "zoe@example.com"}}
    await world.send(segment("identify", signed_up))
    await world.send(segment("track", {"userId": "zoe@example.com", "event": "Signed Up"}))
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    created = named(await world.settled(runner), "contact.created")
    assert len({event.contact for event in created}) == len(created)
    keys = await world.pool.fetch("SELECT key FROM ingest.semantic_key")
    objects = await world.pool.fetch("SELECT id FROM ingest.object_version")
    assert keys
    assert not any("@" in row[0] or row[0].startswith("contact.") for row in [*keys, *objects])


async def test_merges_told_at_once_to_two_processes_end_in_one_contact(world: World) -> None:
    people = {number: f"p{number}@x.example" for number in range(1, 7)}

    async def known() -> set[str | None]:
        return {await of(world, f"email:{email}") for email in people.values()}

    async def all_apart() -> bool:
        return None not in (found := await known()) and len(found) == len(people)

    async def all_one() -> bool:
        return len(await known()) == 1

    await world.start()
    await world.start("two")
    for number, email in people.items():
        await world.send(shopify("customers/create", customer(number, email)))
    await until(all_apart)
    circle = [(n, n % 6 + 1) for n in people]
    await asyncio.gather(*(world.send(merge(*pair)) for pair in circle + circle[::-1]))
    await until(all_one)
    hops = await world.pool.fetchval(
        "SELECT count(*) FROM ingest.contact_redirect r "
        'JOIN ingest.contact_redirect again ON again.contact = r."into"'
    )
    assert hops == 0


async def test_a_shop_is_not_told_twice_of_one_person_nor_of_an_erased_one(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("customers/create", customer(1, "a@x.example")))
    await world.send(shopify("customers/create", customer(2, "b@x.example")))
    await world.settled(runner)
    gone, into = await of(world, "email:a@x.example"), await of(world, "email:b@x.example")
    for contact in (gone, into):
        await wish(world, contact)
    await world.send(merge(1, 2))
    await world.settled(runner)
    rows = await world.pool.fetch("SELECT contact FROM ingest.write_back")
    assert [row["contact"] for row in rows] == [into]
    await world.send(redact(2, "b@x.example"))
    await world.settled(runner)
    assert await world.pool.fetchval("SELECT count(*) FROM ingest.write_back") == 0
