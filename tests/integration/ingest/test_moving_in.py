"""Tables that come in pieces, sources that share a shop, and how each of them is doing."""

import asyncio
import datetime as dt
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chappe.broker import Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock, WallClock
from chappe.events import RAW_COMMERCE, Stream
from chappe.events.streams import EVENTS, EVENTS_BULK
from chappe.ids import SourceId, WorkspaceId, random_id
from chappe.shards import wrap
from chappe_ingest.adapters.set_aside import SetAsideFiles
from chappe_ingest.adapters.spool import open_volume
from chappe_ingest.application.inlet import Delivered, Inlet
from chappe_ingest.application.set_aside import replay
from chappe_ingest.application.silence import look
from chappe_ingest.application.spool import Spooled
from chappe_ingest.bootstrap import SeenSources, Sources, Tally
from chappe_ingest.domain.source import Source, SourceState
from tests.integration.ingest.test_service import PARTITIONS, TOKEN, Place, place
from tests.unit.ingest.shop import NOW, order, raw
from tests.unit.ingest.test_roles import PAID

__all__ = ["place"]

pytestmark = pytest.mark.integration

HEAD = "email,first_name"


async def piece(place: Place, rows: list[str], **query: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv"}
    content = "\n".join([HEAD, *rows]).encode()
    answer = await place.http.post(
        "/api/v1/imports", content=content, headers=headers, params=query
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_table_in_pieces_is_the_same_table_and_goes_on_where_it_stopped(
    place: Place,
) -> None:
    rows = [f"p{number}@example.com,P{number}" for number in range(6)]
    name = hashlib.sha256("\n".join([HEAD, *rows]).encode()).hexdigest()
    assert (await place.api("GET", f"/api/v1/imports/{name}")).status_code == 404
    first = await piece(place, rows[:4], table=name, more="true")
    standing = (await place.api("GET", f"/api/v1/imports/{name}")).json()
    assert (standing["next_row"], standing["taken"], standing["done"]) == (6, 4, False)
    await piece(place, rows[:4], table=name, more="true")  # its answer was lost
    place.broker.away = True
    stopped = await piece(place, rows[4:], table=name, first_row=6)
    assert stopped["next_row"] == 6
    place.broker.away = False
    last = await piece(place, rows[4:], table=name, first_row=6)
    assert first["id"] == last["id"] == standing["id"]
    whole = await piece(place, rows)
    assert whole["id"] == first["id"]
    standing = (await place.api("GET", f"/api/v1/imports/{name}")).json()
    assert (standing["next_row"], standing["taken"], standing["done"]) == (8, 6, True)
    assert len(await place.bulk()) == 6


async def test_a_consent_of_the_future_is_refused(place: Place) -> None:
    head = "email,consent_email,consent_email_at,consent_email_source"
    content = f"{head}\na@example.com,yes,2099-01-01,fair\n".encode()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    found = (await place.http.post("/api/v1/imports", content=content, headers=headers)).json()
    (error,) = found["errors"]
    assert (error["row"], error["column"], error["cell"]) == (2, "consent_email_at", 3)


def stripe_head(body: bytes, secret: str) -> dict[str, str]:
    stamp = int(WallClock().now().timestamp())
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, "sha256").hexdigest()
    return {"Stripe-Signature": f"t={stamp},v1={digest}", "Content-Type": "application/json"}


async def test_a_payment_service_in_a_shop_s_namespace_does_not_place_its_orders_again(
    place: Place,
) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    pay = await place.source("stripe", "pay", secret="whsec_x", namespace="atelier")
    shown = (await place.api("GET", "/api/v1/sources/pay")).json()
    assert (shown["role"], shown["namespace"]) == ("payments", "atelier")
    assert await place.shopify(shop, "orders/create", order(1, "zoe@example.com")) == 200
    body = json.dumps(PAID).encode()
    path = pay["url"].removeprefix(place.context.public_url)
    answer = await place.http.post(path, content=body, headers=stripe_head(body, "whsec_x"))
    assert answer.status_code == 200
    names = [event.name for event in await place.events()]
    assert names.count("order.placed") == 1
    assert "contact.updated" in names


async def test_a_role_can_be_chosen_and_a_wrong_one_is_refused(place: Place) -> None:
    await place.source("stripe", "pay", secret="whsec_x", role="subscriptions")
    assert (await place.api("GET", "/api/v1/sources/pay")).json()["role"] == "subscriptions"
    wanted = {"kind": "stripe", "name": "b", "role": "boss"}
    assert (await place.api("POST", "/api/v1/sources", wanted)).status_code == 422


async def test_duplicates_dead_letters_and_silence_are_told_of_each_source(
    place: Place, clock: HandClock
) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    sources = Sources(place.context.pool, place.context.vault)
    tally = Tally(SeenSources(sources))
    id_ = SourceId(shop["id"])
    for _ in range(12):
        clock.advance(dt.timedelta(hours=1))
        tally.accepted(id_, clock.now())
        await tally.flush()
    tally.repeated(id_, 2)
    tally.died(id_, clock.now() - dt.timedelta(minutes=1), "no JSON")
    await tally.flush()
    shown = (await place.api("GET", "/api/v1/sources/atelier")).json()
    assert (shown["accepted"], shown["duplicates"], shown["dead"]) == (12, 2, 1)
    assert shown["usual_gap_seconds"] == pytest.approx(3600)
    assert shown["status"].startswith("works")
    clock.advance(dt.timedelta(hours=7))
    shown = (await place.api("GET", "/api/v1/sources/atelier")).json()
    assert shown["status"].startswith("silent: nothing came since")
    assert shown["silent_since"] is not None
    await look(sources, clock)
    metrics = (await place.letters.get("/metrics")).text
    assert f'chappe_ingest_source_silent{{source="{id_}"}} 1.0' in metrics


async def test_a_repeat_is_counted_for_its_source(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    for _ in range(2):
        await place.shopify(shop, "orders/create", order(1, "zoe@example.com"))
    assert len(await place.events())
    metrics = (await place.letters.get("/metrics")).text
    assert f'source="{shop["id"]}"' in metrics
    assert 'outcome="duplicate"' in metrics
    assert f'chappe_ingest_source_lag_seconds{{source="{shop["id"]}"}}' in metrics


async def test_a_batch_that_came_unverified_is_taken_apart_once_it_is_verified(
    place: Place,
) -> None:
    made = await place.source("cloudevents", "erp", secret="token-of-ours")
    items = [
        {
            "specversion": "1.0",
            "id": f"e{number}",
            "source": "/erp",
            "type": "custom.visit",
            "data": {"email": f"p{number}@example.com"},
        }
        for number in (1, 2)
    ]
    stranger = Source(
        id=SourceId(made["id"]),
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
    headers = {
        "check": "1",
        "content-type": "application/cloudevents-batch+json",
        "authorization": "Bearer token-of-ours",
    }
    unchecked = Delivered(
        headers=headers, body=json.dumps(items).encode(), entity=None, verified=None
    )
    await inlet.take(stranger, [unchecked])
    events = await place.events()
    assert len({event.id for event in events}) == 2
    assert {event.identifier("email") for event in events} == {"p1@example.com", "p2@example.com"}


def size(place: Place, stream: Stream) -> int:
    logs = (place.broker.log(stream, partition) for partition in range(PARTITIONS))
    return sum(len(log.slice(0, 20_000)) for log in logs)


async def test_ten_thousand_imported_rows_do_not_delay_a_live_order(place: Place) -> None:
    shop = await place.source("shopify", "atelier", secret="s")
    rows = [f"p{number}@example.com,P{number}" for number in range(10_000)]
    await piece(place, rows)
    await place.shopify(shop, "orders/create", order(1, "zoe@example.com"))
    async with asyncio.timeout(20):
        while not size(place, EVENTS):
            await asyncio.sleep(0.005)
    waiting = 10_000 - size(place, EVENTS_BULK)
    assert waiting > 5_000, "the live order came out before most of the import"


async def test_what_the_log_never_takes_is_listed_shown_replayed_and_discarded(
    tmp_path: Path,
) -> None:
    volume = open_volume(tmp_path / "spool")
    record = raw("shopify", order(1, "zoe@example.com"), headers={"x-shopify-hmac-sha256": "h"})
    value = wrap(msgspec.json.encode(record))
    for number in (1, 2):
        spooled = Spooled(NOW.timestamp() + number, RAW_COMMERCE, Outgoing(0, b"k", value))
        volume.set_aside(spooled, "too large for the log")
    volume.close()
    shelf = SetAsideFiles(tmp_path / "spool" / "set-aside")
    newest, oldest = shelf.all()
    assert newest.at > oldest.at
    assert newest.why == "too large for the log"
    broker = MemoryBroker(PARTITIONS)
    await replay(broker, newest)
    (kept,) = broker.log(RAW_COMMERCE, 0).slice(0, 10)
    assert kept.value == value
    shelf.discard(newest.id)
    assert [each.id for each in shelf.all()] == [oldest.id]
    assert shelf.one("../../etc/passwd") is None


async def test_nothing_set_aside_is_an_empty_list(place: Place) -> None:
    found = await place.api("GET", "/api/v1/dead-letters/ingest")
    assert found.json() == {"items": [], "next": None}
    assert (await place.api("DELETE", "/api/v1/dead-letters/ingest/raw_x")).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/api/v1/sources/a%00b", "/api/v1/identities/email:a%00b", "/api/v1/dead-letters/ingest/a%00"],
)
async def test_a_nul_in_an_address_names_nothing(place: Place, path: str) -> None:
    assert (await place.api("GET", path)).status_code in {404, 422}


async def test_a_nul_in_a_replay_s_filter_is_refused(place: Place) -> None:
    head = {"Authorization": f"Bearer {TOKEN}"}
    path = "/api/v1/dead-letters/resolver/replay"
    found = await place.letters.post(path, json={"reason": "a\x00b"}, headers=head)
    assert found.status_code == 422
