"""Somebody and something to try a template with, before there is anybody."""

from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import override

from chappe_sender.domain.brand import Brand


class Coupon(Mapping[str, str]):
    """``{{ coupon }}`` and ``{{ coupon.code }}`` both show the code."""

    def __init__(self, code: str) -> None:
        self._code = code

    @override
    def __getitem__(self, key: str) -> str:
        if key != "code":
            raise KeyError(key)
        return self._code

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(("code",))

    @override
    def __len__(self) -> int:
        return 1

    @override
    def __str__(self) -> str:
        return self._code


BRAND = Brand(
    name="Maison Claude",
    from_="Maison Claude <bonjour@shop.example>",
    reply_to="bonjour@shop.example",
    address="Maison Claude, 12 rue des Signaux, 59000 Lille, France",
    url="https://shop.example/",
    logo_url="https://shop.example/logo.png",
    footer="Made slowly, sent fast.",
    sender_domain="shop.example",
)


def _money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def _item(number: int, title: str, amount: str) -> dict[str, Any]:
    return {
        "product_id": f"p{number}",
        "variant_id": f"v{number}",
        "sku": f"SKU-{number}",
        "title": title,
        "variant_title": "Blue",
        "quantity": number,
        "price": _money(amount),
        "total": _money(amount),
        "url": f"https://shop.example/products/{number}",
        "image_url": f"https://shop.example/products/{number}.jpg",
    }


CONTACT: dict[str, Any] = {
    "id": "c_sample",
    "first_name": "Zoé",
    "last_name": "Durand",
    "name": "Zoé Durand",
    "email": "zoe@example.com",
    "phone": "+33612345678",
    "external_id": "my-shop:123",
    "locale": "fr-FR",
    "timezone": "Europe/Paris",
    "country": "FR",
    "city": "Lille",
    "postal_code": "59000",
    "birthday": "1990-04-01",
    "company": "Zoé & Co",
    "tags": ["vip"],
    "score": 12,
    "orders_count": 2,
    "total_spent": _money("51.82"),
    "consent": {"email": "subscribed"},
}

EVENT: dict[str, Any] = {
    "order_id": "820982911946154508",
    "number": "#1001",
    "checkout_token": "chk_1",
    "cart_token": "cart_1",
    "recovery_url": "https://shop.example/checkout/chk_1",
    "url": "https://shop.example/orders/1001",
    "status_url": "https://shop.example/orders/1001",
    "total": _money("64.91"),
    "subtotal": _money("59.91"),
    "tax": _money("10.82"),
    "shipping": _money("5.00"),
    "discount": _money("0.00"),
    "discount_codes": [],
    "currency": "EUR",
    "items": [
        _item(1, "Linen notebook with a title that is longer than most", "25.91"),
        _item(2, "Crème brûlée torch", "17.00"),
    ],
    "tracking_number": "FR123",
    "tracking_url": "https://shop.example/track/FR123",
    "shipping_address": {"city": "Lille", "country": "FR"},
    "placed_at": "2026-11-22T09:30:00Z",
}


def values(
    *,
    contact: Mapping[str, Any] | None = None,
    event: Mapping[str, Any] | None = None,
    brand: Brand = BRAND,
) -> dict[str, Any]:
    """What a template is given, all of it there but what is handed in."""
    return {
        "contact": dict(CONTACT if contact is None else contact),
        "event": dict(EVENT if event is None else event),
        "entry": {"key": "chk_1", "variant": "a"},
        "brand": brand.values(),
        "workspace": {"name": "default"},
        "coupon": Coupon("SAMPLE-10"),
        "confirm_url": "https://shop.example/p/sample",
        "now": "2026-11-22T09:30:00+00:00",
    }
