"""The edge and the resolver as processes get them: through bootstrap, and spoken to over HTTP."""

import asyncio
import base64
import datetime as dt
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock, WallClock
from chappe.events import Event, Stream, decode_event
from chappe.events.streams import EVENTS, EVENTS_BULK
from chappe.ids import WorkspaceId, random_id
from chappe.service import Context, Service
from chappe.settings import load_settings
from chappe.shards import unwrap
from chappe.tokens import Tokens, Vault
from chappe_ingest.adapters.sources import Sources
from chappe_ingest.application.inlet import Delivered, Inlet
from chappe_ingest.bootstrap import edge, migrate, resolver
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import KINDS
from tests.unit.ingest.shop import checkout, order, signature

pytestmark = pytest.mark.integration

PARTITIONS = 4
PATIENCE_SECONDS = 10
TOKEN = "admin-token"


@dataclass
class Place:
    broker: MemoryBroker
    context: Context
    edge: Service
    resolver: Service
    http: httpx.AsyncClient
    letters: httpx.AsyncClient

    async def api(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"} | more.pop("headers", {})
        return await self.http.request(method, path, json=body, headers=headers, **more)

    async def source(self, kind: str, name: str, **fields: Any) -> dict[str, Any]:
        answer = await self.api("POST", "/api/v1/sources", {"kind": kind, "name": name} | fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def shopify(self, source: dict[str, Any], topic: str, body: Any) -> int:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": signature(content, source["secret"]),
        }
        path = source["url"].removeprefix(self.context.public_url)
        return (await self.http.post(path, content=content, headers=headers)).status_code

    async def segment(self, key: str, call: str, body: Any) -> int:
        basic = base64.b64encode(f"{key}:".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"}
        return (await self.http.post(f"/v1/{call}", json=body, headers=headers)).status_code

    async def events(self) -> list[Event]:
        """Everything published, once all that was sent is applied."""
        return await self._published(EVENTS)

    async def bulk(self) -> list[Event]:
        return await self._published(EVENTS_BULK)

    async def _published(self, stream: Stream) -> list[Event]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.resolver.busy() is not None:
                await asyncio.sleep(0.01)
        return [
            decode_event(unwrap(record.value)[1])
            for partition in range(PARTITIONS)
            for record in self.broker.log(stream, partition).slice(0, 10_000)
        ]


@pytest.fixture
async def place(pool: asyncpg.Pool, clock: HandClock) -> AsyncIterator[Place]:
    await migrate(pool)
    broker = MemoryBroker(PARTITIONS)
    context = Context(
        settings=load_settings({}),
        pool=pool,
        broker=broker,
        business=clock,
        wall=WallClock(),
        tokens=Tokens(b"k" * 32),
        vault=Vault(b"k" * 32),
        me="one",
        admin_token=TOKEN,
        public_url="http://shop.test",
        api_url="http://shop.test",
        smtp_url=None,
        exclusive=True,
    )
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(edge(context))
        behind = await stack.enter_async_context(resolver(context))
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(service.app), base_url=context.public_url
                )
            )
            for service in (door, behind)
        ]
        tasks = [asyncio.ensure_future(service.run()) for service in (door, behind)]
        yield Place(broker, context, door, behind, *clients)
        await door.stop()
        await behind.stop()
        await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
        for task in tasks:
            task.result()


async def test_a_signed_webhook_becomes_an_event(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="shpss_1")
    assert await place.shopify(shop, "orders/create", order(1, "zoe@example.com")) == 200
    (event,) = await place.events()
    assert event.name == "order.placed"
    assert event.source == shop["id"]


async def test_a_batch_of_an_sdk_becomes_events_of_one_contact_in_order(place: Place) -> None:
    key = (await place.source("segment", "web"))["secret"]
    batch = [
        {"type": "identify", "userId": "u", "traits": {"email": "u@example.com"}, "messageId": "a"},
        {"type": "track", "userId": "u", "event": "Signed Up", "messageId": "b"},
    ]
    assert await place.segment(key, "batch", {"batch": batch}) == 200
    assert await place.segment(key, "batch", {"batch": batch}) == 200
    events = await place.events()
    assert [event.name for event in events] == ["contact.updated", "contact.created"]
    assert len({event.contact for event in events}) == 1


async def test_a_source_says_what_to_paste_where_and_shows_its_secret_once(place: Place) -> None:
    shop = await place.source("shopify", "atelier")
    assert shop["secret"] is None
    assert any(shop["url"] in step for step in shop["setup"])
    assert any("set-secret" in step for step in shop["setup"])
    web = await place.source("segment", "web")
    assert len(web["secret"]) > 20
    listed = (await place.api("GET", "/api/v1/sources")).json()["items"]
    assert [source["name"] for source in listed] == ["atelier", "web"]
    assert web["secret"] not in json.dumps(listed)


async def test_a_vendor_s_secret_may_come_later(place: Place) -> None:
    shop = await place.source("shopify", "atelier")
    body = order(1, "a@example.com")
    assert await place.shopify(shop | {"secret": "late"}, "orders/create", body) == 200
    assert await place.shopify(shop | {"secret": "forged"}, "orders/create", {"id": 2}) == 200
    assert await place.events() == []
    rows = await place.context.pool.fetch("SELECT sealed FROM ingest.quarantine")
    assert len(rows) == 2
    assert all(b"a@example.com" not in row["sealed"] for row in rows)
    shown = (await place.api("GET", "/api/v1/sources/atelier")).json()
    assert (shown["state"], "set-secret" in shown["status"]) == ("awaiting_secret", True)
    done = await place.api("POST", "/api/v1/sources/atelier/secret", {"secret": "late"})
    assert done.status_code == 200
    (event,) = await place.events()
    assert (event.name, event.flags.unverified) == ("order.placed", False)
    assert await place.shopify(shop | {"secret": "late"}, "checkouts/create", checkout("t")) == 200
    assert len(await place.events()) == 2


async def test_a_disabled_source_says_what_the_vendor_will_do(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    answer = await place.api("POST", "/api/v1/sources/atelier/disable")
    assert "Shopify tries again for 4 hours" in answer.json()["warning"]
    assert await place.shopify(shop, "orders/create", {"id": 1}) == 403
    await place.api("POST", "/api/v1/sources/atelier/resume")
    assert await place.shopify(shop, "orders/create", {"id": 1}) == 200


async def test_an_old_secret_can_be_ended_at_once(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="one")
    wanted = {"secret": "two", "old_lives_seconds": 0}
    await place.api("POST", "/api/v1/sources/atelier/secret", wanted)
    assert await place.shopify(shop | {"secret": "one"}, "orders/create", {"id": 1}) == 401
    assert await place.shopify(shop | {"secret": "two"}, "orders/create", {"id": 1}) == 200


async def test_a_shop_s_api_token_is_sealed_and_never_shown(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s", api_token="shpat_1")
    store = Sources(place.context.pool, place.context.vault)
    assert await store.api_token(shop["id"]) == "shpat_1"
    sealed = await place.context.pool.fetchval("SELECT api_token FROM ingest.source")
    assert b"shpat_1" not in sealed
    assert "shpat_1" not in (await place.api("GET", "/api/v1/sources/atelier")).text
    path = "/api/v1/sources/atelier/api-token"
    assert (await place.api("PUT", path, {"api_token": None})).status_code == 204
    assert await store.api_token(shop["id"]) is None


async def test_a_source_s_domains_can_change(place: Place) -> None:
    await place.source("shopify", "atelier", secret="s")
    path = "/api/v1/sources/atelier/domains"
    assert (await place.api("PUT", path, {"domains": ["Shop.Example"]})).status_code == 204
    assert (await place.api("PUT", path, {"domains": ["https://x"]})).status_code == 422
    assert (await place.api("GET", "/api/v1/sources/atelier")).json()["domains"] == ["shop.example"]


async def test_a_rotated_secret_leaves_the_old_one_a_day(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="one")
    for secret in ("two", "three"):
        await place.api("POST", "/api/v1/sources/atelier/secret", {"secret": secret})
    answers = [
        await place.shopify(shop | {"secret": secret}, "orders/create", {"id": 1})
        for secret in ("three", "two", "one")
    ]
    assert answers == [200, 200, 401]


async def test_how_a_source_is_doing_is_told_in_words(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    status = "/api/v1/sources/atelier"
    assert (await place.api("GET", status)).json()["status"] == "no delivery yet"
    await place.shopify(shop | {"secret": "wrong"}, "orders/create", {"id": 1})
    await place.edge.stop()  # flushes what was counted

    async def words() -> str:
        return (await place.api("GET", status)).json()["status"]

    async with asyncio.timeout(PATIENCE_SECONDS):
        while await words() == "no delivery yet":
            await asyncio.sleep(0.01)
    assert "check the secret" in await words()


async def test_a_paused_source_keeps_what_comes_and_resolves_nothing(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    assert (await place.api("POST", "/api/v1/sources/atelier/pause")).status_code == 204
    assert await place.shopify(shop, "checkouts/create", checkout("t1")) == 200
    assert await place.events() == []
    await place.api("POST", "/api/v1/sources/atelier/resume")
    assert await place.shopify(shop, "checkouts/create", checkout("t2")) == 200
    assert len(await place.events()) == 1


async def test_a_deleted_source_is_gone_and_its_name_free(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    assert (await place.api("DELETE", f"/api/v1/sources/{shop['id']}")).status_code == 204
    assert await place.shopify(shop, "orders/create", {"id": 1}) == 410
    assert (await place.api("GET", "/api/v1/sources/atelier")).status_code == 404
    await place.source("shopify", "atelier", secret="s")


@pytest.mark.parametrize(
    ("body", "status", "hint"),
    [
        ({"kind": "nonesuch", "name": "w"}, 422, "shopify"),
        ({"kind": "shopify"}, 422, "name"),
        ({"kind": "shopify", "name": "a", "config": {"x": 1}}, 422, "takes none"),
        ({"kind": "segment", "name": "a", "secret": "two words"}, 422, "write key"),
        ({"kind": "shopify", "name": "a b"}, 422, "name"),
        ({"kind": "shopify", "name": "a", "domains": ["https://x"]}, 422, "shop.example.com"),
        ({"kind": "shopify", "name": "a", "secret": ""}, 422, "secret"),
        ({"kind": "shopify", "name": "a", "colour": 1}, 422, "colour"),
    ],
)
async def test_a_source_that_cannot_be_is_refused_with_what_is_wrong(
    place: Place, body: Any, status: int, hint: str
) -> None:
    answer = await place.api("POST", "/api/v1/sources", body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert hint in answer.text


async def test_names_and_write_keys_are_unique(place: Place) -> None:
    await place.source("segment", "web", secret="wk")
    again = await place.api("POST", "/api/v1/sources", {"kind": "segment", "name": "web"})
    assert again.status_code == 409
    shared = {"kind": "segment", "name": "app", "secret": "wk"}
    assert (await place.api("POST", "/api/v1/sources", shared)).status_code == 409


async def test_the_api_asks_for_its_token_and_keeps_workspaces_apart(place: Place) -> None:
    assert (await place.http.get("/api/v1/sources")).status_code == 401
    await place.source("segment", "web")
    other = await place.api("GET", "/api/v1/sources", headers={"Chappe-Workspace": "other"})
    assert other.json()["items"] == []


async def test_secrets_are_sealed_at_rest(place: Place) -> None:
    secret = (await place.source("segment", "web"))["secret"]
    (row,) = await place.context.pool.fetch("SELECT sealed FROM ingest.source_secret")
    assert secret.encode() not in row["sealed"]


async def test_an_event_put_in_by_hand_is_applied_under_the_id_it_was_given(place: Place) -> None:
    body = {"name": "custom.demo_asked", "contact": "email:Zoe@Example.com", "data": {"n": 1}}
    answer = await place.api("POST", "/api/v1/events", body)
    assert answer.status_code == 202
    (event,) = await place.events()
    assert event.id == answer.json()["id"]
    assert (event.name, event.data) == ("custom.demo_asked", {"n": 1})
    identity = (await place.api("GET", "/api/v1/identities/email:zoe@example.com")).json()
    assert identity["contact"] == event.contact
    assert identity["identifiers"] == [{"type": "email", "value": "zoe@example.com"}]
    by_id = await place.api("GET", f"/api/v1/identities/{event.contact}")
    assert by_id.json() == identity


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "custom.x"}, 422),
        ({"name": "email.opened", "contact": "email:a@x.example"}, 422),
        ({"name": "Signed Up", "contact": "email:a@x.example"}, 422),
        ({"name": "custom.x", "contact": "nobody"}, 422),
        ({"name": "custom.x", "contact": "email:nobody"}, 422),
        ({"name": "custom.x", "contact": "c_nobody"}, 404),
        ({"name": "custom.x", "contact": "external_id:1", "data": {"x": "y" * 40_000}}, 413),
        ({"name": "custom.x", "identifiers": [{"type": "shoe", "value": "42"}]}, 422),
    ],
)
async def test_an_event_that_cannot_be_is_refused(place: Place, body: Any, status: int) -> None:
    assert (await place.api("POST", "/api/v1/events", body)).status_code == status


@pytest.mark.parametrize(
    "ref", ["email:nobody@x.example", "c_nobody", "nobody", "email:%00", "phone:1", "a/b", "'%20or"]
)
async def test_who_nobody_is_is_not_found(place: Place, ref: str) -> None:
    assert (await place.api("GET", f"/api/v1/identities/{ref}")).status_code == 404


async def test_dead_letters_are_listed_by_their_service_newest_first(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    for number in range(3):
        await place.shopify(shop, "orders/create", b"{" * (number + 1))
    await place.events()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    path = "/api/v1/dead-letters/resolver?limit=2"
    page = (await place.letters.get(path, headers=headers)).json()
    assert len(page["items"]) == 2
    assert "not JSON" in page["items"][0]["reason"]
    assert page["items"][0]["source"] == shop["id"]
    rest = (await place.letters.get(f"{path}&cursor={page['next']}", headers=headers)).json()
    assert len(rest["items"]) == 1
    assert rest["next"] is None
    assert (await place.letters.get(f"{path}&cursor=x", headers=headers)).status_code == 400


async def test_both_processes_say_whether_they_are_ready(place: Place) -> None:
    await place.events()
    assert (await place.http.get("/readyz")).status_code == 200
    assert (await place.letters.get("/readyz")).status_code == 200
    place.broker.away = True
    answer = await place.http.get("/readyz")
    assert answer.status_code == 503
    assert "log" in answer.json()["checks"]
    place.broker.away = False


async def test_metrics_are_exposed(place: Place) -> None:
    assert "chappe_ingest_deliveries_total" in (await place.http.get("/metrics")).text


async def letters_of(place: Place) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    path = "/api/v1/dead-letters/resolver"
    return (await place.letters.get(path, headers=headers)).json()["items"]


async def replay(place: Place, path: str, body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    path = f"/api/v1/dead-letters/resolver/{path}"
    return await place.letters.post(path, json=body, headers=headers)


async def test_a_dead_letter_is_shown_without_the_person_in_it(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    await place.api("POST", "/api/v1/sources/atelier/pause")
    await place.shopify(shop, "orders/create", order(7, "zoe@example.com"))
    await place.events()
    (letter,) = await letters_of(place)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    path = f"/api/v1/dead-letters/resolver/{letter['id']}"
    shown = await place.letters.get(path, headers=headers)
    assert "zoe@example.com" not in shown.text
    assert shown.json()["headers"]["x-shopify-topic"] == "orders/create"
    assert shown.json()["body"]["id"] == "7"
    assert (await place.letters.get(f"{path}x", headers=headers)).status_code == 404
    other = headers | {"Chappe-Workspace": "other"}
    assert (await place.letters.get(path, headers=other)).status_code == 404


async def test_what_a_paused_source_kept_is_replayed_in_order_and_once(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    await place.api("POST", "/api/v1/sources/atelier/pause")
    for number in range(3):
        await place.shopify(shop, "checkouts/update", checkout("t", f"a{number}@example.com"))
    await place.shopify(shop, "orders/create", order(1, "a@example.com"))
    assert await place.events() == []
    await place.api("POST", "/api/v1/sources/atelier/resume")
    answer = await replay(place, "replay", {"source": "atelier"})
    assert answer.json() == {"replayed": 4, "unusable": 0, "more": False}
    events = await place.events()
    assert sorted(e.name for e in events) == ["checkout.updated"] * 3 + ["order.placed"]
    assert not any(event.flags.historical for event in events)
    updates = [e.identifiers for e in events if e.name == "checkout.updated"]
    assert len(updates) == 3
    again = await replay(place, "replay", {"all": True})
    assert again.json()["replayed"] == 0
    assert all(letter["replayed_at"] for letter in await letters_of(place))


async def test_a_letter_replayed_without_effects_is_history(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    await place.api("POST", "/api/v1/sources/atelier/pause")
    await place.shopify(shop, "orders/create", order(1, "a@example.com"))
    await place.events()
    (letter,) = await letters_of(place)
    answer = await replay(place, f"{letter['id']}/replay", {"effects": False})
    assert answer.json()["replayed"] == 1
    assert await place.events() == []
    (event,) = await place.bulk()
    assert event.flags.historical


async def test_a_letter_that_still_means_nothing_comes_back(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    await place.shopify(shop, "orders/create", b"{")
    await place.events()
    answer = await replay(place, "replay", {"reason": "not json"})
    assert answer.json()["replayed"] == 1
    await place.events()
    assert len(await letters_of(place)) == 2


async def test_a_replay_says_which(place: Place) -> None:
    for body in ({}, {"all": True, "source": "x"}, {"effects": False}):
        assert (await replay(place, "replay", body)).status_code == 422
    assert (await replay(place, "nobody/replay", {})).status_code == 404


async def test_an_uninstalled_app_pauses_its_source_and_says_so(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    assert (
        await place.shopify(shop, "app/uninstalled", {"id": 1, "domain": "a.myshopify.com"}) == 200
    )
    await place.events()
    shown = (await place.api("GET", "/api/v1/sources/atelier")).json()
    assert shown["state"] == "paused"
    assert "uninstalled" in shown["status"]
    await place.api("POST", "/api/v1/sources/atelier/resume")
    shown = (await place.api("GET", "/api/v1/sources/atelier")).json()
    assert (shown["state"], "uninstalled" in shown["status"]) == ("active", False)


async def test_each_kind_s_secret_is_made_or_awaited_as_its_vendor_wants(place: Place) -> None:
    states: dict[str, str] = {}
    for kind in KINDS:
        made = await place.source(kind, kind)
        shown = (await place.api("GET", f"/api/v1/sources/{kind}")).json()
        states[kind] = shown["state"]
        assert (made["secret"] is None) == (shown["state"] == "awaiting_secret")
        if made["secret"] and kind != "segment":
            assert any(made["secret"] in step for step in made["setup"])
    ours = {kind for kind, state in states.items() if state == "active"}
    assert {"woocommerce", "segment", "cloudevents", "generic"} <= ours
    assert states["shopify"] == states["stripe"] == "awaiting_secret"


async def test_a_woocommerce_ping_is_answered_and_means_nothing(place: Place) -> None:
    shop = await place.source("woocommerce", "boutique")
    path = shop["url"].removeprefix(place.context.public_url)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await place.http.post(path, content=b"webhook_id=7", headers=form)
    assert (answer.status_code, answer.content) == (200, b"")
    assert await place.events() == []


async def test_a_standard_webhooks_sender_signs_with_the_secret_of_ours(place: Place) -> None:
    made = await place.source("cloudevents", "events")
    body = json.dumps(
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/shop",
            "type": "order.placed",
            "data": {"email": "a@example.com", "order_id": "7"},
        }
    )
    at = str(int(dt.datetime.now(dt.UTC).timestamp()))
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    digest = hmac.digest(key, f"msg_1.{at}.{body}".encode(), "sha256")
    signed = "v1," + base64.b64encode(digest).decode()
    headers = {
        "Content-Type": "application/cloudevents+json",
        "webhook-id": "msg_1",
        "webhook-timestamp": at,
        "webhook-signature": signed,
    }
    path = made["url"].removeprefix(place.context.public_url)
    assert (await place.http.post(path, content=body, headers=headers)).status_code == 200
    (event,) = await place.events()
    assert event.name == "order.placed"


async def test_a_generic_source_is_read_by_its_mapping_and_a_bad_one_is_refused(
    place: Place,
) -> None:
    wanted = {"kind": "generic", "name": "g", "config": {"colour": "red"}}
    answer = await place.api("POST", "/api/v1/sources", wanted)
    assert answer.status_code == 422
    assert "body.config" in answer.text


async def imported(place: Place, content: str, query: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv"}
    path = f"/api/v1/imports{query}"
    return await place.http.post(path, content=content.encode(), headers=headers)


TABLE = """email;first_name;consent_email;consent_email_at;consent_email_source
a@example.com;Ann;yes;2024-05-01T10:00:00Z;shop
nobody;Bob;;;
c@example.com;Cy;;;
"""


async def test_a_table_of_contacts_comes_in_as_history_once(place: Place) -> None:
    dry = (await imported(place, TABLE, "?dry_run=true")).json()
    assert (dry["taken"], dry["refused"], dry["errors"][0]["row"]) == (2, 1, 3)
    assert await place.bulk() == []
    for _ in range(2):
        assert (await imported(place, TABLE)).json()["next_row"] is None
    assert await place.events() == []
    events = sorted(await place.bulk(), key=lambda event: event.identifiers[0].value)
    assert [event.name for event in events] == ["contact.updated"] * 2
    assert all(event.flags.historical for event in events)
    assert events[0].traits == {
        "first_name": "Ann",
        "consent": {
            "email": {"state": "subscribed", "at": "2024-05-01T10:00:00Z", "source": "shop"}
        },
    }


async def test_an_import_that_the_log_interrupts_says_where_to_go_on(place: Place) -> None:
    place.broker.away = True
    stopped = (await imported(place, TABLE)).json()
    assert (stopped["taken"], stopped["next_row"]) == (0, 2)
    place.broker.away = False
    done = (await imported(place, TABLE, f"?from_row={stopped['next_row']}")).json()
    assert (done["taken"], done["next_row"]) == (2, None)


async def test_what_is_no_table_is_refused(place: Place) -> None:
    assert (await imported(place, "name\nA\n")).status_code == 422
    assert (await imported(place, "")).status_code == 422
    assert (await place.http.post("/api/v1/imports", content=b"email")).status_code == 401


async def test_what_came_while_the_database_was_away_is_verified_by_the_resolver(
    place: Place,
) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    stranger = Source(
        id=shop["id"],
        workspace=WorkspaceId(""),
        kind="",
        name="",
        namespace="",
        state=SourceState.ACTIVE,
        created_at=place.context.business.now(),
    )
    inlet = Inlet(
        broker=place.broker,
        business=place.context.business,
        wall=place.context.wall,
        new_id=random_id,
    )
    for number, secret in ((1, "s"), (2, "forged")):
        body = json.dumps(order(number, f"a{number}@example.com")).encode()
        headers = {
            "check": "1",
            "x-shopify-topic": "orders/create",
            "x-shopify-hmac-sha256": signature(body, secret),
        }
        unchecked = Delivered(headers=headers, body=body, entity=None, verified=None)
        await inlet.take(stranger, [unchecked])
    (event,) = await place.events()
    assert event.identifiers[0].value == "a1@example.com"
    assert not event.flags.unverified
    (letter,) = await letters_of(place)
    assert "does not match" in letter["reason"]
