"""What a shop's first hour relies on: the setup steps and the pages' own programs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from chappe.clock import HandClock
from chappe_ingest.domain.sources import REGISTRY
from chappe_ingest.tryout import try_source
from tests.unit.ingest.shop import NOW, at
from tests.unit.ingest.sources_b.made import hex_hmac

PAGES = Path(__file__).parents[4] / "docs" / "sources"
KINDS = ("saleor", "shopware", "adobe", "cloudevents", "generic")


@pytest.mark.parametrize("kind", KINDS)
def test_the_steps_name_the_address_and_the_source(kind: str) -> None:
    steps = [
        step.format(url="https://in.example/x", name="boutique", secret="s3")
        for step in REGISTRY[kind].setup
    ]
    assert any("https://in.example/x" in step for step in steps)
    assert "boutique" in steps[-1]
    assert not any("{" in step for step in steps)


@pytest.mark.parametrize("kind", [*KINDS, "segment"])
def test_every_kind_has_its_page(kind: str) -> None:
    page = (PAGES / f"{kind}.md").read_text("utf-8")
    assert "## The first hour" in page
    assert f"chappe sources add {kind}" in page


def test_the_registration_that_the_page_shows_is_shopware_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (PAGES / "shopware.md").read_text("utf-8")
    (program,) = re.findall(r"   ```python\n(.*?)   ```", page, re.DOTALL)
    world: dict[str, Any] = {"__name__": "register"}
    exec("\n".join(line[3:] for line in program.splitlines()), world)
    monkeypatch.setenv("APP_SECRET", "app")
    monkeypatch.setenv("SHOP_SECRET", "shop")
    query = "shop-id=s1&shop-url=https%3A%2F%2Fshop.example&timestamp=1"
    answer = world["registration"](query, hex_hmac(query.encode(), "app"))
    assert answer["proof"] == hex_hmac(b"s1https://shop.exampleChappe", "app")
    assert answer["secret"] == "shop"
    assert world["registration"](query, "forged") is None


def test_the_saleor_query_asks_for_what_tells_repeats_apart() -> None:
    page = (PAGES / "saleor.md").read_text("utf-8")
    (query,) = re.findall(r"```graphql\n(.*?)```", page, re.DOTALL)
    assert "issuedAt version" in query
    assert query.count("{") == query.count("}")


DELIVERIES: list[tuple[str, Any, str]] = [
    (
        "saleor",
        {"__typename": "OrderCreated", "order": {"id": "o", "userEmail": "a@b.example"}},
        "saleor-signature",
    ),
    (
        "shopware",
        {
            "data": {
                "event": "checkout.order.placed",
                "payload": {"order": {"id": "o", "orderCustomer": {"email": "a@b.example"}}},
            },
            "timestamp": int(NOW.timestamp()),
        },
        "shopware-shop-signature",
    ),
    (
        "generic",
        {"type": "order.placed", "data": {"id": "o", "email": "a@b.example"}},
        "x-signature",
    ),
]


@pytest.mark.parametrize(("kind", "document", "header"), DELIVERIES)
def test_a_signed_delivery_may_be_tried(kind: str, document: Any, header: str) -> None:
    body = json.dumps(document).encode()
    given = {header: hex_hmac(body, "the secret")}
    shown = try_source(kind, body, given, "the secret", clock=HandClock(NOW))
    assert (shown["verified"], shown["answer"]) == (True, 200)
    assert [event["name"] for event in shown["events"]] == ["order.placed"]
    refused = try_source(kind, body, given, "another", clock=HandClock(NOW))
    assert (refused["verified"], refused["answer"]) == (False, 401)
    assert refused["events"]


def test_a_batch_of_cloudevents_may_be_tried() -> None:
    events = [
        {
            "specversion": "1.0",
            "id": str(number),
            "source": "/s",
            "type": "order.placed",
            "time": at(-1),
            "data": {"order_id": number, "email": "a@b.example"},
        }
        for number in (1, 2)
    ]
    headers = {
        "content-type": "application/cloudevents-batch+json",
        "authorization": "Bearer the secret",
    }
    body = json.dumps(events).encode()
    shown = try_source("cloudevents", body, headers, "the secret", clock=HandClock(NOW))
    assert shown["verified"]
    assert [event["data"]["order_id"] for event in shown["events"]] == ["1", "2"]
