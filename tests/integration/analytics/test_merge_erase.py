import pytest

from chappe.events import EVENTS, contact_key, encode_event, rename
from chappe.ids import DEFAULT_WORKSPACE, ContactId, EventId
from tests.integration.analytics.conftest import World
from tests.unit.analytics.facts import NOON, ZOE, decision, event

pytestmark = pytest.mark.integration

OLD = ContactId("c_old")


async def merge(world: World, gone: ContactId, into: ContactId) -> None:
    for contact in (gone, into):
        said = rename(
            event("contact.merged", at=NOON),
            id=EventId(f"e_merged_{contact}"),
            contact=contact,
            data={"from": gone, "into": into},
        )
        await world.append(EVENTS, contact_key(DEFAULT_WORKSPACE, contact), encode_event(said))
    await world.settled()


async def hear_of_old(world: World, name: str) -> None:
    said = rename(event(name, at=NOON), id=EventId(f"e_{name}"), contact=OLD)
    await world.append(EVENTS, contact_key(DEFAULT_WORKSPACE, OLD), encode_event(said))


async def test_a_merged_contact_shows_what_happened_before_under_its_old_id(world: World) -> None:
    await hear_of_old(world, "checkout.started")
    await world.hear(event("order.placed", at=NOON))
    await merge(world, OLD, ZOE)
    names = [item["name"] for item in (await world.timeline())["items"]]
    assert sorted(names) == ["checkout.started", "contact.merged", "order.placed"]


async def test_what_is_sent_on_after_a_merge_counts_once(world: World) -> None:
    await hear_of_old(world, "checkout.started")
    await merge(world, OLD, ZOE)
    again = rename(
        event("checkout.started", at=NOON),
        id=EventId("e_checkout.started"),
        contact=ZOE,
        data={"forwarded": {"from": OLD, "hops": 1}},
    )
    await world.append(EVENTS, contact_key(DEFAULT_WORKSPACE, ZOE), encode_event(again))
    await world.settled()
    counted = await world.pool.fetchval(
        "SELECT sum(n) FROM analytics.tally WHERE measure = 'events' AND reason = $1",
        "checkout.started",
    )
    assert counted == 1


async def test_an_erasure_leaves_bare_lines_and_the_counts(world: World) -> None:
    await world.hear(event("order.placed", at=NOON, email="zoe@example.com", note="private"))
    await world.decide(decision("entered", at=NOON, key="private"), contact=ZOE)
    await world.settled()
    await world.hear(event("privacy.erase_requested", at=NOON, email="zoe@example.com"))
    await world.settled()
    await world.hear(event("email.cancelled", at=NOON, address="zoe@example.com"))
    await world.settled()
    everything = str(await world.timeline())
    assert "private" not in everything
    assert "zoe@example.com" not in everything
    left = await world.pool.fetch("SELECT body FROM analytics.event")
    assert not any(b"zoe@example.com" in row["body"] for row in left)
    counted = await world.pool.fetchval(
        "SELECT sum(n) FROM analytics.tally WHERE measure = 'events' AND reason = 'order.placed'"
    )
    assert counted == 1


async def test_an_export_has_the_whole_timeline(world: World) -> None:
    await hear_of_old(world, "checkout.started")
    await world.hear(event("order.placed", at=NOON))
    await merge(world, OLD, ZOE)
    document = await world.get("/api/v1/contacts/c_zoe/timeline/export")
    assert len(document["timeline"]) == 3
    assert document["next"] is None


async def test_an_erasure_blanks_the_dead_letters_of_the_contact(world: World) -> None:
    for contact in (ZOE, OLD):
        await world.pool.execute(
            """INSERT INTO analytics.dead_letter
                   (id, shard, stream, "offset", key, value, reason, at)
               VALUES ($1, 0, 'events', 0, $2, 'zoe@example.com', 'no event', now())""",
            contact,
            contact_key(DEFAULT_WORKSPACE, contact),
        )
    await world.hear(event("privacy.erase_requested", at=NOON))
    await world.settled()
    left = await world.pool.fetch("SELECT id FROM analytics.dead_letter WHERE value <> ''")
    assert [row["id"] for row in left] == [OLD]
