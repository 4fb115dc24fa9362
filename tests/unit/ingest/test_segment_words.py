"""Segment's calls say an order, a page and a person in the words that storefronts do."""

from typing import Any

import pytest

from chappe.events import Event
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.sources import segment as adapter
from tests.unit.ingest.shop import segment


def event(call: str, body: Any) -> Event:
    links = Links(frozenset({"shop.example"}))
    (fact,) = adapter.normalise(segment(call, {"anonymousId": "a1"} | body), links).facts
    return fact.event


def money(amount: str) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def test_an_order_s_parts_are_money_and_its_coupon_a_code() -> None:
    properties = {
        "order_id": "o1",
        "total": 27.5,
        "subtotal": "22.50",
        "shipping": 3,
        "tax": 2,
        "discount": 2.5,
        "coupon": "hasbros",
        "currency": "usd",
    }
    data = event("track", {"event": "Order Completed", "properties": properties}).data
    assert data["total"] == money("27.5")
    assert data["subtotal"] == money("22.50")
    assert (data["shipping"], data["tax"]) == (money("3"), money("2"))
    assert data["discount"] == money("2.5")
    assert data["discount_codes"] == ["hasbros"]


def test_a_page_is_known_by_its_context_where_the_call_does_not_say() -> None:
    page = {"url": "https://shop.example/lampe", "path": "/lampe", "title": "Lampe"}
    seen = event("page", {"context": {"page": page}})
    assert seen.name == "page.viewed"
    assert seen.data == page
    own = event("page", {"context": {"page": page}, "properties": {"title": "Vase"}})
    assert own.data["title"] == "Vase"


@pytest.mark.parametrize(
    ("address", "country"),
    [({"country": "fr"}, "FR"), ({"country": "France"}, None), ("Paris", None), ([], None)],
)
def test_an_address_says_the_country_when_it_is_a_code(address: Any, country: str | None) -> None:
    traits = event("identify", {"traits": {"address": address}}).traits
    assert traits.get("country") == country
