"""Events whose sender writes our own words: a name, people, money, items.

Senders that follow no vendor's format are asked for this one; common spellings are taken too.
"""

import dataclasses
import datetime as dt
import re
from typing import Final, cast

from chappe.events import Identifier
from chappe_ingest.domain import consent
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.privacy import free_form
from chappe_ingest.domain.reading import Json, Reader
from chappe_ingest.domain.sources import api, facts
from chappe_ingest.domain.sources.facts import Delivery, Happening, Meant

NAMES: Final = api.NAMES | {"contact.deleted"}
NAME_MAX_CHARS: Final = 100
CODES_MAX: Final = 50

_PEOPLE: Final = ("contact", "customer", "user")
_LISTS: Final = ("items", "line_items", "lineItems", "lines", "products")
_EXTERNAL_IDS: Final = (
    "external_id",
    "externalId",
    "user_id",
    "userId",
    "customer_id",
    "customerId",
)
_TOTALS: Final = ("total", "total_price", "totalPrice", "grand_total", "amount", "value", "revenue")
_OWN_DATA: Final = frozenset(
    {
        *_PEOPLE,
        *_LISTS,
        "identifiers",
        "traits",
        "consent",
        "email",
        "phone",
        "first_name",
        "last_name",
        "firstName",
        "lastName",
        "locale",
        "timezone",
        "anonymous_id",
        "anonymousId",
        "currency",
    }
)
_OWN_TRAITS: Final = frozenset({"email", "phone", "consent", "id", "created_at", "createdAt"})
_TRAITS: Final = {
    "first_name": ("first_name", "firstName", "firstname"),
    "last_name": ("last_name", "lastName", "lastname"),
    "locale": ("locale", "language"),
    "timezone": ("timezone",),
    "country": ("country_code", "countryCode"),
}
ONCE: Final = {
    "order.placed": "order_id",
    "order.paid": "order_id",
    "order.fulfilled": "order_id",
    "order.cancelled": "order_id",
    "order.refunded": "refund_id",
    "checkout.started": "checkout_token",
    "subscription.created": "subscription_id",
    "subscription.cancelled": "subscription_id",
}
ABOUT: Final = {
    "order": "order_id",
    "checkout": "checkout_token",
    "cart": "cart_token",
    "subscription": "subscription_id",
    "product": "product_id",
}


def canonical(spoken: str) -> str:
    """Our name for what a sender calls ``spoken``: ``com.shop.order.placed`` is order.placed.

    Anything we do not know is ``custom.NAME`` in snake_case.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", spoken.strip())
    parts = [part for part in re.split(r"[^0-9a-z_]+", words.lower()) if part.strip("_")]
    for candidate in (".".join(parts[-2:]), "_".join(parts).replace("_", ".", 1)):
        if (name := candidate.replace("canceled", "cancelled")) in NAMES:
            return name
    if "custom" in parts[:-1]:
        parts = parts[parts.index("custom") + 1 :]
    name = "_".join(parts).strip("_")[:NAME_MAX_CHARS]
    return f"custom.{name or 'unnamed'}"


def mean(
    delivery: Delivery,
    name: str,
    data: Reader,
    *,
    at: dt.datetime,
    subject: str | None = None,
) -> Meant:
    """The event ``name`` that ``data`` tells of. ``subject`` names whom or what, if known."""
    about = _Told(delivery=delivery, name=name, data=data, subject=subject)
    fields = about.fields()
    family = name.partition(".")[0]
    number = fields.get(ABOUT.get(family, ""))
    once = fields.get(ONCE.get(name, ""))
    named = about.people()
    if name in {"contact.created", "contact.deleted"} and named:
        once = f"{named[0].type}:{named[0].value}"
    if family == "order" and number is not None:
        named = named or facts.itself(delivery.raw, "order", str(number))
    version = data.time("updated_at", "updatedAt")
    return Meant(
        happenings=(Happening(name, at, str(once) if once is not None else None),),
        identifiers=named,
        object=facts.object_ref(family, str(number), version) if number is not None else None,
        traits=about.traits(),
        data=fields,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    delivery: Delivery
    name: str
    data: Reader
    subject: str | None

    @property
    def who(self) -> tuple[Reader, ...]:
        """Where the person may be described, the most explicit place first."""
        named = (n for n in _PEOPLE if isinstance(self.data.fields.get(n), dict))
        inner = (self.data.nested(name) for name in named)
        traits = self.data.fields.get("traits")
        return (*inner, *((self.data.nested("traits"),) if isinstance(traits, dict) else ()))

    def people(self) -> tuple[Identifier, ...]:
        data, who = self.data, self.who
        space = self.delivery.raw.namespace
        numbers = [data.id(*_EXTERNAL_IDS)]
        numbers += [each.id(*_EXTERNAL_IDS[:4], "id") for each in who]
        if self.name.startswith("contact."):
            numbers.append(data.id("id"))
        emails = [facts.email_of(each, "email") for each in (data, *who)]
        emails.append(facts.email_of(data, "customer_email", "user_email"))
        stated = (
            api.identifier(each.text("type"), each.text("value"))
            for each in data.rows("identifiers")
        )
        return ids.distinct(
            *stated,
            ids.external_id(next((n for n in numbers if n is not None), None), space),
            next((each for each in emails if each is not None), None),
            next((p for each in (data, *who) if (p := facts.phone_of(each, "phone"))), None),
            ids.anonymous_id(data.id("anonymous_id", "anonymousId")),
            ids.token(ids.CHECKOUT_TOKEN, self.checkout),
            ids.token(ids.CART_TOKEN, self.cart),
            self._named(),
        )

    def _named(self) -> Identifier | None:
        """A subject that is an address, or ``external_id:…`` and the like."""
        kind, colon, value = (self.subject or "").partition(":")
        if colon:
            return api.identifier(kind, value)
        return ids.email(self.subject)

    @property
    def checkout(self) -> str | None:
        return self.data.id("checkout_token", "checkoutToken", "checkout_id", "checkoutId")

    @property
    def cart(self) -> str | None:
        return self.data.id("cart_token", "cartToken", "cart_id", "cartId")

    def fields(self) -> Json:
        data, links = self.data, self.delivery.links
        family = self.name.partition(".")[0]
        free = free_form(data, links, without=_OWN_DATA)
        inner = data.fields.get("data")
        if isinstance(inner, dict):
            free |= free_form(data.nested("data"), links)
        if family not in {"order", "checkout", "cart", "product", "subscription"}:
            return free
        currency = data.currency("currency", "currency_code", "currencyCode")
        own: Json = {
            "checkout_token": self.checkout,
            "cart_token": self.cart,
            "total": money(data, currency, *_TOTALS),
            "subtotal": money(data, currency, "subtotal", "subtotal_price"),
            "discount": money(data, currency, "discount", "discount_total", "total_discounts"),
            "shipping": money(data, currency, "shipping", "shipping_total"),
            "tax": money(data, currency, "tax", "total_tax"),
            "discount_codes": _codes(data),
            "items": items(self.delivery, data, currency),
        }
        if family == "order":
            own |= {
                "order_id": self._number("order_id", "orderId"),
                "number": data.text("number", "order_number", "orderNumber", "name"),
            }
        if family == "subscription":
            own["subscription_id"] = self._number("subscription_id", "subscriptionId")
        return free | facts.present(own)

    def _number(self, *names: str) -> str | None:
        found = self.data.id(*names, "id")
        if found is None and self.subject and ":" not in self.subject and "@" not in self.subject:
            return self.subject
        return found

    def traits(self) -> Json:
        data, who = self.data, self.who
        traits: Json = {}
        if isinstance(data.fields.get("traits"), dict):
            traits |= free_form(data.nested("traits"), self.delivery.links, without=_OWN_TRAITS)
        for name, spellings in _TRAITS.items():
            said = (each.text(*spellings) for each in (*who, data))
            if (value := next((each for each in said if each is not None), None)) is not None:
                traits[name] = value
        for each in (*who, data):
            if stated := consent.stated(each):
                return traits | {"consent": stated}
        return traits


def _codes(data: Reader) -> list[str] | None:
    """A list, or the one code under any of its usual names; None where none is named."""
    given = data.fields.get("discount_codes")
    if isinstance(given, list):
        rows = cast("list[object]", given)[:CODES_MAX]
        return [each[: ids.VALUE_MAX_CHARS] for each in rows if isinstance(each, str)]
    code = data.text("discount_code", "coupon", "coupon_code", "couponCode", "voucher_code")
    return None if code is None else [code]


def money(body: Reader, currency: str | None, *names: str) -> Json | None:
    """An amount, or ``{amount, currency}``."""
    for name in names:
        if isinstance(body.fields.get(name), dict):
            price = body.nested(name)
            found = price.money(price.currency("currency") or currency, "amount")
        else:
            found = body.money(currency, name)
        if found is not None:
            return found
    return None


def items(delivery: Delivery, body: Reader, currency: str | None) -> list[Json] | None:
    """None where the sender names no list."""
    name = next((n for n in _LISTS if isinstance(body.fields.get(n), list)), None)
    if name is None:
        return None
    return [item(delivery, line, currency) for line in body.rows(name)]


def item(delivery: Delivery, line: Reader, currency: str | None) -> Json:
    currency = line.currency("currency") or currency
    return {
        "product_id": line.id("product_id", "productId", "id"),
        "variant_id": line.id("variant_id", "variantId"),
        "sku": line.text("sku"),
        "title": line.text("title", "name"),
        "quantity": line.number("quantity"),
        "price": money(line, currency, "price", "unit_price", "unitPrice"),
        "url": delivery.links.take(line, "url"),
        "image_url": delivery.links.take(line, "image_url", "imageUrl", "thumbnail"),
    }
