import base64
import datetime as dt
import hashlib
import hmac
import json

import httpx

from chappe.clock import UTC, HandClock
from chappe_onebox.shop import Shop

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Desk:
    """Takes what the shop posts."""

    def __init__(self) -> None:
        self.taken: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.taken.append(request)
        return httpx.Response(200)


def _shop(desk: Desk) -> tuple[Shop, httpx.AsyncClient]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(desk))
    numbers = iter(range(1, 100))
    shop = Shop(
        client=client,
        address="http://box.example/in/src_1",
        secret="hush",
        clock=HandClock(NOW),
        new_id=lambda prefix: f"{prefix}{next(numbers)}",
    )
    return shop, client


async def test_the_shop_signs_as_shopify_does() -> None:
    desk = Desk()
    shop, client = _shop(desk)
    async with client:
        await shop.sign_up("zoe@example.com", first_name="Zoé", consent=True)
    (request,) = desk.taken
    digest = hmac.new(b"hush", request.content, hashlib.sha256).digest()
    assert request.headers["X-Shopify-Hmac-Sha256"] == base64.b64encode(digest).decode()
    assert request.headers["X-Shopify-Topic"] == "customers/create"
    body = json.loads(request.content)
    assert body["email_marketing_consent"]["state"] == "subscribed"
    assert body["created_at"] == "2026-11-22T09:00:00Z"


async def test_an_order_has_the_tokens_of_its_cart() -> None:
    desk = Desk()
    shop, client = _shop(desk)
    async with client:
        cart, _ = await shop.fill_cart("zoe@example.com", consent=False)
        await shop.buy(cart, consent=False)
    checkout, order = (json.loads(request.content) for request in desk.taken)
    assert order["checkout_token"] == checkout["token"]
    assert order["cart_token"] == checkout["cart_token"]
    assert order["total_price"] == checkout["total_price"]
    assert checkout["buyer_accepts_marketing"] is False


async def test_a_repeat_has_the_same_delivery_and_a_forgery_another_signature() -> None:
    desk = Desk()
    shop, client = _shop(desk)
    async with client:
        first = await shop.post("carts/update", {"a": 1})
        await shop.post("carts/update", {"a": 1}, delivery=first.delivery)
        await shop.post("carts/update", {"a": 1}, secret="guessed")
    ids = [request.headers["X-Shopify-Webhook-Id"] for request in desk.taken]
    signatures = [request.headers["X-Shopify-Hmac-Sha256"] for request in desk.taken]
    assert ids[0] == ids[1] != ids[2]
    assert signatures[0] == signatures[1] != signatures[2]
