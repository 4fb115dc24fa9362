import datetime as dt

import httpx
import pytest

from chappe.clock import UTC
from chappe.events import EVENTS, EVENTS_BULK, JOURNAL, RAW_ENGAGEMENT, Flags
from chappe.ids import ContactId, MessageId
from chappe_analytics.adapters.pruning import prune
from tests.integration.analytics.conftest import World
from tests.unit.analytics.facts import CART_1, NOON, ZOE, decision, event, touch

pytestmark = pytest.mark.integration

JOURNEY = "/api/v1/reports/journeys/abandoned-cart"
EUROS = {"amount": "25.91", "currency": "EUR"}


async def test_a_click_becomes_one_fact_however_often_it_is_repeated(world: World) -> None:
    first = touch(number="raw_1")
    await world.touch(first, first, touch(number="raw_2"), touch("open", number="raw_3"))
    await world.settled()
    await world.touch(first, touch(number="raw_4"))
    await world.settled()
    published = sorted((fact.name, fact.contact) for fact in await world.published())
    assert published == [("email.clicked", ZOE), ("email.opened", ZOE)]
    counted = await world.pool.fetch(
        "SELECT kind, human FROM analytics.engagement ORDER BY kind DESC"
    )
    assert [tuple(row) for row in counted] == [("open", 1), ("click", 3)]


async def test_a_machine_that_comes_first_does_not_hide_the_reader(world: World) -> None:
    await world.touch(touch("open", agent="Mozilla/5.0"), touch("open"))
    await world.settled()
    verdicts = [fact.data["verdict"] for fact in await world.published()]
    assert verdicts == ["machine", "human"]


async def test_the_timeline_says_what_happened_and_why_newest_first(world: World) -> None:
    await world.hear(
        event("checkout.started", at=NOON, email="zoe@example.com", total=EUROS),
        event("email.skipped", at=NOON + dt.timedelta(hours=1), reason="no_consent", step="cart-1"),
    )
    await world.decide(
        decision("entered", at=NOON, key="tok"),
        decision("waiting", at=NOON, step="wait-1", until="2026-11-22T13:00:00Z"),
        contact=ZOE,
    )
    await world.settled()
    page = await world.timeline("email:zoe@example.com")
    assert [item["text"] for item in page["items"]] == [
        "The mail cart-1 was not sent: there is no consent to marketing mail",
        "Waits until 2026-11-22 13:00 at wait-1 of abandoned-cart",
        "Entered abandoned-cart",
        "Started a checkout, 25.91 EUR",
    ]
    assert page["next"] is None
    skipped, *_, started = page["items"]
    assert (skipped["kind"], skipped["reason"], skipped["step"]) == (
        "event",
        "no_consent",
        "cart-1",
    )
    assert started["data"] == {"total": EUROS}
    assert page["items"][2]["data"] == {"key": "tok"}


async def test_a_timeline_is_paged_without_gaps_also_within_one_instant(world: World) -> None:
    await world.hear(*(event("page.viewed", title=f"p{n}", at=NOON) for n in range(7)))
    await world.settled()
    seen: list[str] = []
    cursor: dict[str, str | int] = {}
    for _ in range(4):
        page = await world.timeline(limit=2, **cursor)
        seen += [item["data"]["title"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == ["p6", "p5", "p4", "p3", "p2", "p1", "p0"]


async def test_a_timeline_can_show_events_or_decisions_alone(world: World) -> None:
    await world.hear(event("page.viewed"))
    await world.decide(decision("entered"), contact=ZOE)
    await world.settled()
    for kind, name in (("event", "page.viewed"), ("decision", "entered")):
        page = await world.timeline(kind=kind)
        assert [item["name"] for item in page["items"]] == [name]


async def test_a_reference_that_means_nobody_is_a_problem(world: World) -> None:
    unknown = await world.http.get("/api/v1/contacts/email:nobody@example.com/timeline")
    assert (unknown.status_code, unknown.json()["detail"]) == (
        404, "no contact is known as email:nobody@example.com",
    )  # fmt: skip
    away = await world.http.get("/api/v1/contacts/email:away@example.com/timeline")
    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    odd = await world.http.get("/api/v1/contacts/c_zoe/timeline", params={"cursor": "WzFd"})
    assert odd.status_code == 400
    slash = await world.http.get("/api/v1/contacts/external_id:shop:1%2F2/timeline")
    assert slash.status_code == 200


async def test_without_the_token_nobody_reads(world: World) -> None:
    for path in ("/api/v1/contacts/c_zoe/timeline", JOURNEY, "/api/v1/live?token=wrong"):
        answer = await world.http.get(path, headers={"authorization": ""})
        assert answer.status_code == 401


async def test_events_and_relays_that_come_twice_count_once(world: World) -> None:
    ordered = event("order.placed", event_id="e_order", total=EUROS)
    await world.hear(ordered, ordered)
    await world.decide(decision("entered", number="d_1"), contact=ZOE, repeat=True)
    await world.settled()
    await world.hear(ordered)
    await world.decide(decision("entered", number="d_1"), contact=ZOE)
    await world.settled()
    assert len((await world.timeline())["items"]) == 2
    assert (await world.get(JOURNEY))["totals"]["entered"] == 1


async def test_a_journey_is_reported_in_total_by_step_and_by_reason(world: World) -> None:
    await world.decide(
        decision("entered"),
        decision("asked", step="cart-1", message=CART_1),
        decision("waiting", step="wait-2"),
        decision("not_entered", reason="closed_key"),
        contact=ZOE,
    )
    await world.hear(event("email.accepted", message=CART_1))
    await world.settled()
    await world.touch(touch(at=NOON + dt.timedelta(hours=1)))
    await world.settled()
    await world.hear(event("order.placed", at=NOON + dt.timedelta(days=2), total=EUROS))
    await world.decide(
        decision("exited", reason="order.placed", step="wait-2", at=NOON + dt.timedelta(days=2)),
        contact=ZOE,
    )
    await world.settled()
    found = await world.get(JOURNEY)
    totals = {name: n for name, n in found["totals"].items() if n}
    assert totals == {
        "entered": 1, "exited": 1, "not_entered": 1, "asked": 1, "sent": 1, "opened": 1,
        "clicked": 1, "conversions": 1, "revenue": [EUROS],
    }  # fmt: skip
    assert [(s["step"], s["here"], s["clicked"], s["revenue"]) for s in found["steps"]] == [
        ("cart-1", 0, 1, [EUROS]),
        ("wait-2", 0, 0, []),
    ]
    assert found["reasons"] == {"exited": {"order.placed": 1}, "not_entered": {"closed_key": 1}}
    listed = await world.get("/api/v1/reports/journeys")
    assert [(one["journey"], one["totals"]) for one in listed["items"]] == [
        ("abandoned-cart", found["totals"])
    ]
    assert (await world.get(JOURNEY, version=2))["totals"]["entered"] == 0
    assert (await world.get("/api/v1/reports/journeys/nobody-met-it"))["totals"]["active"] == 0


async def test_contacts_of_several_shards_add_up(world: World) -> None:
    for n in range(8):
        contact = ContactId(f"c_{n}")
        message = MessageId(f"m_{n}")
        await world.decide(
            decision("entered", contact=contact),
            decision("asked", step="s", message=message, contact=contact),
            contact=contact,
        )
        await world.hear(event("email.accepted", contact=contact, message=message))
    await world.settled()
    totals = (await world.get(JOURNEY))["totals"]
    assert (totals["entered"], totals["sent"]) == (8, 8)


async def test_what_came_in_bulk_is_on_the_timeline_too(world: World) -> None:
    old = event("order.placed", at=NOON - dt.timedelta(days=90), flags=Flags(historical=True))
    await world.hear(old, stream=EVENTS_BULK)
    await world.settled()
    (item,) = (await world.timeline())["items"]
    assert item["flags"] == ["historical"]


async def test_records_that_nobody_can_use_are_set_aside_with_the_reason(world: World) -> None:
    await world.append(RAW_ENGAGEMENT, b"m_1", b'{"id":"raw_1"}')
    await world.append(JOURNAL, b"x", b"[]")
    await world.append(EVENTS, b"x", b'{"name":3}')
    await world.hear(event("page.viewed", title="a\x00b"), event("cart.updated\x00"))
    await world.touch(touch(kind="stare"))
    await world.hear(event("contact.created"))
    await world.settled()
    page = await world.get("/api/v1/dead-letters/analytics", limit=3)
    rest = await world.get("/api/v1/dead-letters/analytics", cursor=page["next"])
    letters = [*page["items"], *rest["items"]]
    assert sorted(one["stream"] for one in letters) == [
        "events", "events", "journal", "raw.engagement", "raw.engagement",
    ]  # fmt: skip
    assert "'stare' is neither an open nor a click" in {one["reason"] for one in letters}
    names = {item["name"] for item in (await world.timeline())["items"]}
    assert names == {"contact.created", "page.viewed"}


async def test_raw_events_and_hits_are_forgotten_after_their_time(world: World) -> None:
    await world.hear(event("page.viewed"))
    await world.touch(touch("open"))
    await world.settled()
    await world.pool.execute("UPDATE analytics.hit SET stored_at = now() - interval '8 days'")
    await world.pool.execute("UPDATE analytics.event SET stored_at = now() - interval '13 days'")
    await prune(world.pool)
    assert await world.pool.fetchval("SELECT count(*) FROM analytics.hit") == 0
    assert await world.pool.fetchval("SELECT count(*) FROM analytics.event") == 2
    await world.pool.execute("UPDATE analytics.event SET stored_at = now() - interval '15 days'")
    await prune(world.pool)
    assert await world.pool.fetchval("SELECT count(*) FROM analytics.event") == 0
    assert len((await world.timeline())["items"]) == 2


async def test_the_migrations_are_those_of_the_shards_and_its_own(world: World) -> None:
    tables = await world.pool.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'analytics' ORDER BY 1"
    )
    assert {"entry", "event", "message", "outbox", "shard", "tally"} <= {r[0] for r in tables}
    ready: httpx.Response = await world.http.get("/readyz")
    assert ready.json() == {"status": "ok", "checks": {"shards": "ok"}}
    assert world.clock.now() == dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
