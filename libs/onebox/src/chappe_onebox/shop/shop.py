"""Sign webhooks as Shopify does and post them, nothing else.

Shapes: https://shopify.dev/docs/api/webhooks (customers/create, checkouts/create, orders/create).
The signature is base64 of HMAC-SHA256 over the body, in ``X-Shopify-Hmac-Sha256``.
"""

import base64
import datetime as dt
import hashlib
import hmac
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from chappe.clock import Clock
from chappe.ids import NewId
from chappe_onebox.shop.goods import Product, pick

DOMAIN = "lanterns-and-sons.myshopify.com"
API_VERSION = "2026-04"
SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was posted, and what came back."""

    topic: str
    status: int
    delivery: str


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart of the shop, from the first item to the order."""

    token: str
    email: str | None
    items: tuple[Product, ...]

    @property
    def total(self) -> Decimal:
        return sum((item.price for item in self.items), Decimal())


class Shop:
    """Posts to ``address`` with ``secret``; its clock and its tokens come from what it is given."""

    def __init__(
        self, *, client: httpx.AsyncClient, address: str, secret: str, clock: Clock, new_id: NewId
    ) -> None:
        self._client = client
        self._address = address
        self._secret = secret
        self._clock = clock
        self._new_id = new_id

    async def sign_up(self, email: str, *, first_name: str, consent: bool) -> Answer:
        """A customer makes an account, ticking the box for offers or not."""
        return await self.post(
            "customers/create", self.customer(email, first_name, consent=consent)
        )

    async def fill_cart(self, email: str | None, *, consent: bool) -> tuple[Cart, Answer]:
        """Somebody reaches the checkout with a full cart; ``email`` may not be known yet."""
        token = self._new_id("")
        cart = Cart(token, email, pick(_number(token)))
        return cart, await self.post("checkouts/create", self.checkout(cart, consent=consent))

    async def buy(self, cart: Cart, *, consent: bool) -> Answer:
        """The cart becomes an order."""
        return await self.post("orders/create", self.order(cart, consent=consent))

    async def post(
        self,
        topic: str,
        body: dict[str, Any],
        *,
        delivery: str | None = None,
        secret: str | None = None,
    ) -> Answer:
        """Sign and post. The same ``delivery`` again is a repeat; a wrong ``secret``, a forgery."""
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        delivery = delivery or self._new_id("")
        response = await self._client.post(
            self._address,
            content=raw,
            headers={
                "Content-Type": "application/json",
                "X-Shopify-Topic": topic,
                "X-Shopify-Hmac-Sha256": sign(raw, secret or self._secret),
                "X-Shopify-Webhook-Id": delivery,
                "X-Shopify-Event-Id": delivery,
                "X-Shopify-Shop-Domain": DOMAIN,
                "X-Shopify-Api-Version": API_VERSION,
                "X-Shopify-Triggered-At": self._now(),
            },
            timeout=SECONDS_MAX,
        )
        return Answer(topic, response.status_code, delivery)

    # -- the bodies -----------------------------------------------------------------------------

    def customer(self, email: str, first_name: str, *, consent: bool) -> dict[str, Any]:
        now = self._now()
        state = "subscribed" if consent else "not_subscribed"
        return {
            "id": _number(email),
            "email": email,
            "created_at": now,
            "updated_at": now,
            "first_name": first_name,
            "last_name": None,
            "state": "enabled",
            "verified_email": True,
            "currency": "EUR",
            "phone": None,
            "tags": "",
            "email_marketing_consent": {
                "state": state,
                "opt_in_level": "single_opt_in" if consent else None,
                "consent_updated_at": now if consent else None,
            },
        }

    def checkout(self, cart: Cart, *, consent: bool) -> dict[str, Any]:
        now = self._now()
        return {
            "id": _number(cart.token),
            "token": cart.token,
            "cart_token": f"cart-{cart.token}",
            "email": cart.email,
            "created_at": now,
            "updated_at": now,
            "completed_at": None,
            "buyer_accepts_marketing": consent,
            "currency": "EUR",
            "presentment_currency": "EUR",
            "customer_locale": "en",
            "phone": None,
            "total_price": str(cart.total),
            "subtotal_price": str(cart.total),
            "abandoned_checkout_url": f"https://{DOMAIN}/checkouts/{cart.token}/recover?key=demo",
            "customer": _customer_of(cart.email),
            "line_items": [_line(item) for item in cart.items],
        }

    def order(self, cart: Cart, *, consent: bool) -> dict[str, Any]:
        now = self._now()
        number = _number(f"order {cart.token}")
        return {
            "id": number,
            "admin_graphql_api_id": f"gid://shopify/Order/{number}",
            "name": f"#{number % 10_000}",
            "order_number": number % 10_000,
            "email": cart.email,
            "contact_email": cart.email,
            "checkout_token": cart.token,
            "cart_token": f"cart-{cart.token}",
            "created_at": now,
            "updated_at": now,
            "processed_at": now,
            "currency": "EUR",
            "total_price": str(cart.total),
            "current_total_price": str(cart.total),
            "financial_status": "paid",
            "fulfillment_status": None,
            "test": False,
            "buyer_accepts_marketing": consent,
            "customer": _customer_of(cart.email),
            "line_items": [_line(item) | {"id": item.id * 10} for item in cart.items],
        }

    def _now(self) -> str:
        return self._clock.now().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sign(body: bytes, secret: str) -> str:
    """The value of ``X-Shopify-Hmac-Sha256``."""
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def _customer_of(email: str | None) -> dict[str, Any] | None:
    return None if email is None else {"id": _number(email), "email": email}


def _line(item: Product) -> dict[str, Any]:
    return {
        "product_id": item.id,
        "variant_id": item.id * 100 + 1,
        "sku": item.sku,
        "title": item.title,
        "variant_title": item.variant,
        "name": f"{item.title} - {item.variant}",
        "quantity": 1,
        "price": str(item.price),
        "line_price": str(item.price),
        "vendor": "Lanterns & Sons",
    }


def _number(text: str) -> int:
    """A storefront's number for what it makes: the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:5], "big")
