"""What is asked of a shop's API, how patiently, and what an answer means."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from chappe.clock import HandClock
from chappe.events import RAW_COMMERCE
from chappe.http import OutboundAnswer
from chappe.ids import SourceId
from chappe_ingest.adapters.hydration_shops import Access, VendorApis
from chappe_ingest.application.hydrating import (
    FIRST_RETRY,
    LAST_RETRY,
    Document,
    Later,
    Nothing,
    backoff,
)
from chappe_ingest.application.hydration import Asking
from chappe_ingest.application.resolving import Known, Refused, understand
from chappe_ingest.domain import marks
from chappe_ingest.domain.api_tokens import SHAPES, wrong_token
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Hydration
from chappe_ingest.domain.sources import shopware, stripe
from tests.unit.ingest.shop import NOW, raw

TOKENS = {"bigcommerce": "abc:b1gt0k3n", "stripe": "rk_live_1", "shopware": "SWIA1:5w5ecr3t"}


@dataclass
class Way:
    """The way out, to a server that answers what it is told to."""

    answers: list[OutboundAnswer] = field(default_factory=list[OutboundAnswer])
    asked: list[str] = field(default_factory=list[str])

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None,
        limit_bytes: int,
    ) -> OutboundAnswer:
        assert limit_bytes > 0
        assert (content is None) == (method == "GET")
        assert headers["Accept"] == "application/json"
        self.asked.append(f"{method} {url}")
        return self.answers.pop(0)


def answer(
    status: int, body: bytes = b"{}", *, cut: bool = False, **headers: str
) -> OutboundAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return OutboundAnswer(status, named, body, cut)


def apis(
    way: Way, *domains: str, token: str | None = None, kind: str = "bigcommerce"
) -> VendorApis:
    async def access_of(_: SourceId) -> Access:
        return Access(domains, token or TOKENS[kind], "http://127.0.0.1:1")

    return VendorApis(way, access_of, HandClock(NOW))  # type: ignore[arg-type]


def asking(kind: str = "bigcommerce", path: str = "/v2/orders/1") -> Asking:
    return Asking(
        source=SourceId("src_1"),
        kind=kind,
        key=b"k",
        stream=RAW_COMMERCE,
        record=b"{}",
        question=Hydration(path),
        deadline=NOW,
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(204, "gone"), (404, "gone"), (410, "gone"), (400, "refused"), (422, "refused")],
)
async def test_some_answers_say_that_there_will_be_none(status: int, outcome: str) -> None:
    found = await apis(Way([answer(status)])).ask(asking())
    assert isinstance(found, Nothing)
    assert found.outcome == outcome


@pytest.mark.parametrize("status", [401, 403, 301, 302, 429, 408, 500, 503])
async def test_some_answers_say_to_ask_again(status: int) -> None:
    assert isinstance(await apis(Way([answer(status)])).ask(asking()), Later)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "30"}, 30),
        ({"retry_after": "Sun, 22 Nov 2026 09:01:00 GMT"}, 60),
        ({"retry_after": "Sun, 22 Nov 2026 08:00:00 GMT"}, 0),
        ({"x_rate_limit_time_reset_ms": "15000"}, 15),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "9" * 400}, 86_400),
        ({}, None),
    ],
)
async def test_a_shop_says_in_several_ways_how_long_to_wait(
    headers: dict[str, str], seconds: int | None
) -> None:
    found = await apis(Way([answer(429, b"", cut=False, **headers)])).ask(asking())
    assert isinstance(found, Later)
    assert found.after == (None if seconds is None else dt.timedelta(seconds=seconds))


async def test_an_answer_that_is_cut_or_no_text_is_none() -> None:
    way = Way([answer(200, b"{", cut=True), answer(200, b"\xff"), answer(200, b"[1]")])
    found = [await apis(way).ask(asking()) for _ in range(3)]
    assert [type(each) for each in found] == [Nothing, Nothing, Document]


async def test_each_vendor_is_asked_at_its_own_address() -> None:
    way = Way([answer(200), answer(200)])
    await apis(way).ask(asking())
    await apis(way, kind="stripe").ask(asking("stripe", "/v1/customers/cus_1"))
    assert way.asked == [
        "GET https://api.bigcommerce.com/stores/abc/v2/orders/1",
        "GET https://api.stripe.com/v1/customers/cus_1",
    ]


async def test_shopware_is_asked_at_the_source_s_first_domain() -> None:
    bearer = json.dumps({"access_token": "b", "expires_in": 600}).encode()
    way = Way([answer(200, bearer), answer(200)])
    shop = apis(way, "shop.example", "cdn.example", kind="shopware")
    assert isinstance(await shop.ask(asking("shopware", "/api/x")), Document)
    assert way.asked == [
        "POST https://shop.example/api/oauth/token",
        "GET https://shop.example/api/x",
    ]


async def test_shopware_without_a_domain_waits_for_one() -> None:
    found = await apis(Way(), kind="shopware").ask(asking("shopware"))
    assert isinstance(found, Later)
    assert "domains" in found.why


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b'{"access_token": 5}', b"[" * 9_000])
async def test_a_token_that_is_none_is_waited_for(body: bytes) -> None:
    way = Way([answer(200, body)])
    found = await apis(way, "shop.example", kind="shopware").ask(asking("shopware"))
    assert isinstance(found, Later)


@pytest.mark.parametrize(("kind", "token"), TOKENS.items())
async def test_no_reason_repeats_a_token(kind: str, token: str) -> None:
    shop = apis(Way([answer(401)]), "shop.example", kind=kind)
    found = await shop.ask(asking(kind))
    assert isinstance(found, Later)
    assert token.rpartition(":")[2] not in found.why


def test_patience_doubles_up_to_ten_minutes() -> None:
    waits = [backoff(attempt, 0.0) for attempt in range(1, 20)]
    assert waits[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert waits[-1] == LAST_RETRY
    assert backoff(1, 0.5) == FIRST_RETRY * 0.75
    assert backoff(10**9, 0.0) == LAST_RETRY


@pytest.mark.parametrize("kind", SHAPES)
def test_a_token_of_the_wrong_shape_is_refused_in_words_that_do_not_repeat_it(kind: str) -> None:
    why = wrong_token(kind, "pass word\n")
    assert why is not None
    assert kind in why
    assert "pass" not in why


@pytest.mark.parametrize(
    ("kind", "token"),
    [
        ("shopify", "shpat_0a1b"),
        ("woocommerce", "ck_1a:cs_2b"),
        ("stripe", "rk_live_abc"),
        ("bigcommerce", "a1b2:token9"),
        ("shopware", "SWIAABC:c2VjcmV0"),
        ("segment", "anything"),
    ],
)
def test_a_token_of_the_right_shape_is_taken(kind: str, token: str) -> None:
    assert wrong_token(kind, token) is None


def event(kind: str, about: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "type": kind,
        "created": int(NOW.timestamp()),
        "livemode": True,
        "data": {"object": about},
    }


@pytest.mark.parametrize(
    ("kind", "about", "path"),
    [
        (
            "checkout.session.completed",
            {"id": "cs_1", "payment_status": "paid"},
            "/v1/checkout/sessions/cs_1?expand%5B%5D=line_items&expand%5B%5D=customer",
        ),
        ("checkout.session.completed", {"id": "cs_1/../x", "payment_status": "paid"}, None),
        ("checkout.session.completed", {"id": "cs_1", "line_items": {"data": []}}, None),
        (
            "customer.subscription.deleted",
            {"id": "sub_1", "customer": "cus_1"},
            "/v1/customers/cus_1",
        ),
        ("invoice.upcoming", {"customer": "cus_1", "customer_email": "a@x.example"}, None),
        ("payment_intent.succeeded", {"id": "pi_1", "customer": "cus_1"}, "/v1/customers/cus_1"),
        (
            "payment_intent.succeeded",
            {"id": "pi_1", "customer": {"id": "cus_1", "email": "a@x.example"}},
            None,
        ),
        ("customer.created", {"id": "cus_1"}, None),
        ("invoice.created", {"id": "in_1", "customer": "cus_1"}, None),
    ],
)
def test_of_stripe_is_asked_what_an_event_leaves_out(
    kind: str, about: dict[str, Any], path: str | None
) -> None:
    found = stripe.normalise(raw("stripe", event(kind, about), headers={}), Links())
    assert found.hydration == (Hydration(path) if path else None)


def test_a_customer_of_somebody_else_s_is_not_taken_for_the_buyer() -> None:
    delivery = raw(
        "stripe", event("payment_intent.succeeded", {"id": "pi_1", "customer": "cus_1"}), headers={}
    )
    other = {"object": "customer", "id": "cus_2", "email": "eve@example.com"}
    found = stripe.hydrated(delivery, json.dumps(other).encode(), Links())
    assert [each.type for each in found.identifiers if each.type == "email"] == []


def test_deleted_things_of_shopware_are_not_asked_for() -> None:
    rows = [
        {"entity": "customer", "operation": "delete", "primaryKey": "a" * 32},
        {"entity": "customer", "operation": "update", "primaryKey": "b" * 32},
    ]
    body = {
        "data": {"payload": rows, "event": "customer.written"},
        "timestamp": int(NOW.timestamp()),
    }
    found = shopware.normalise(raw("shopware", body, headers={}), Links())
    assert found.hydration is not None
    assert json.loads(found.hydration.content or "")["ids"] == ["b" * 32]
    assert [fact.event.name for fact in found.facts] == ["contact.deleted", "contact.updated"]


def test_an_answer_that_cannot_be_read_leaves_the_ids_and_a_warning() -> None:
    body = {"scope": "store/order/updated", "data": {"id": 250}, "created_at": int(NOW.timestamp())}
    delivery = raw("bigcommerce", body, headers={marks.DOCUMENT: "<html>"})
    found = understand(delivery, lambda _: Known(can_ask=True))
    assert not isinstance(found, Refused)
    assert [fact.event.name for fact in found.meant.facts] == ["order.updated"]
    assert any("cannot be read" in each for each in found.meant.warnings)
