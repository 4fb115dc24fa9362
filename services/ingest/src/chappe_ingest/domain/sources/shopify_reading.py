"""The parts that Shopify's payloads have in common: who, consent, lines, codes."""

import dataclasses
import datetime as dt
from typing import Final

from chappe.events import Identifier, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.reading import Json, Reader, iso, parse_time
from chappe_ingest.domain.sources.facts import by_object, customer_of, happened_at, some

_CONSENT_STATES: Final = {
    "subscribed": "subscribed",
    "pending": "pending",
    "unsubscribed": "unsubscribed",
    "redacted": "unsubscribed",
}
_ANONYMOUS_ID_NOTES: Final = frozenset(
    {"rudderanonymousid", "anonymousid", "segmentanonymousid", "ajs_anonymous_id"}
)
_CART_TOKEN_NOTES: Final = frozenset({"carttoken", "cart_token"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    raw: RawRecord
    topic: str
    body: Reader
    links: Links
    test: bool

    def at(self, *candidates: dt.datetime | None) -> dt.datetime:
        """Where the body has no time: when Shopify triggered it, which nobody signed."""
        triggered = parse_time(header(self.raw, "triggered-at"))
        return happened_at(self.raw, *candidates, triggered)


def header(raw: RawRecord, name: str) -> str | None:
    """With ``X-``, and without as Shopify's coming Events send them."""
    return raw.headers.get(f"x-shopify-{name}") or raw.headers.get(f"shopify-{name}")


def number_of(body: Reader) -> str | None:
    """The object's own number, from its global id first: JavaScript tools round the plain one."""
    return global_number(body, "admin_graphql_api_id") or body.id("id")


def global_number(body: Reader, name: str) -> str | None:
    """The number at the end of ``gid://shopify/Order/…``, or a plain one."""
    text = body.fields.get(name)
    if not isinstance(text, str):
        return None
    number = text.rpartition("/")[2].partition("?")[0]
    return number if number.isascii() and number.isdigit() else None


def customer_id(delivery: Delivery, customer: Reader) -> Identifier | None:
    return customer_of(delivery.raw, number_of(customer))


def order_key(delivery: Delivery, number: str | None) -> Identifier | None:
    return by_object(delivery.raw, "order", number)


def noted_anonymous_id(body: Reader) -> Identifier | None:
    """Browser trackers leave their visitor's id in the cart's notes."""
    return ids.anonymous_id(_noted(body, _ANONYMOUS_ID_NOTES))


def cart_token(body: Reader) -> str | None:
    return body.id("cart_token") or _noted(body, _CART_TOKEN_NOTES)


def _noted(body: Reader, wanted: frozenset[str]) -> str | None:
    """From ``note_attributes`` of a checkout or order, or a cart's ``attributes``."""
    for note in body.rows("note_attributes"):
        if (note.text("name") or "").lower() in wanted:
            return note.id("value")
    attributes = body.nested("attributes")
    name = next((each for each in attributes.fields if each.lower() in wanted), None)
    return attributes.id(name) if name else None


def traits(body: Reader, customer: Reader, *, granted_at: dt.datetime | None) -> Json:
    """``granted_at``: when the boxes of a checkout or order were ticked, if it has boxes."""
    shipping, billing = body.nested("shipping_address"), body.nested("billing_address")
    address = customer.nested("default_address")
    found: Json = {}
    for who in (customer, shipping, billing):
        names = {trait: who.text(trait) for trait in ("first_name", "last_name")}
        if any(names.values()):
            found |= {trait: name for trait, name in names.items() if name}
            break
    country = address.text("country_code") or shipping.text("country_code")
    found |= some(country=country, locale=body.text("customer_locale"), **_history(customer))
    consent = stated_consent(customer)
    if granted_at is not None:
        consent = _later(consent, _ticked(body, granted_at))
    return found | ({"consent": consent} if consent else {})


def stated_consent(body: Reader) -> Json:
    """By channel, as the customer's record states it.

    "not_subscribed" and "invalid" were never asked: they say nothing.
    """
    email = _claim(body.nested("email_marketing_consent")) or _accepts_marketing(body)
    return some(email=email, sms=_claim(body.nested("sms_marketing_consent")))


def _claim(stated: Reader) -> Json | None:
    state = _CONSENT_STATES.get((stated.text("state") or "").lower())
    if state is None:
        return None
    at = stated.time("consent_updated_at")
    if at is None and state != "unsubscribed":
        stated.note("consent_updated_at", "missing, so the consent is not taken as new")
        return None
    return {"state": state} | ({"at": iso(at)} if at else {})


def _accepts_marketing(body: Reader) -> Json | None:
    """Until 2023-10. False is an unsubscribe only when it changed after the customer was made."""
    if "email_marketing_consent" in body.fields:
        return None
    accepts, at = body.flag("accepts_marketing"), body.time("accepts_marketing_updated_at")
    if accepts is None or at is None:
        return None
    if accepts:
        return {"state": "subscribed", "at": iso(at)}
    created = body.time("created_at")
    if created is not None and at - created > dt.timedelta(minutes=1):
        return {"state": "unsubscribed", "at": iso(at)}
    return None


def _ticked(body: Reader, at: dt.datetime) -> Json:
    """Only a ticked box says something."""
    granted = {"state": "subscribed", "at": iso(at)}
    return some(
        email=granted if body.flag("buyer_accepts_marketing") is True else None,
        sms=granted if body.flag("buyer_accepts_sms_marketing") is True else None,
    )


def _later(stated: Json, ticked: Json) -> Json:
    """Of two claims for a channel the later one; one without a time is of now."""
    both = {**ticked, **stated}
    for channel in stated.keys() & ticked.keys():
        since = parse_time(stated[channel].get("at"))
        ticked_at = parse_time(ticked[channel]["at"])
        if since is not None and ticked_at is not None and since < ticked_at:
            both[channel] = ticked[channel]
    return both


def _history(customer: Reader) -> Json:
    """Until 2024-10 a customer says what they have bought, and their tags."""
    tags = customer.text("tags")
    return some(
        tags=[tag for each in tags.split(",") if (tag := each.strip())] if tags else None,
        orders_count=customer.number("orders_count"),
        total_spent=customer.money(customer.currency("currency"), "total_spent"),
    )


def items(delivery: Delivery, body: Reader, currency: str | None) -> list[Json]:
    return [item(delivery, line, currency) for line in body.rows("line_items")]


def item(delivery: Delivery, line: Reader, currency: str | None) -> Json:
    links = delivery.links
    return {
        "product_id": line.id("product_id"),
        "variant_id": line.id("variant_id"),
        "sku": line.text("sku"),
        "title": line.text("title", "presentment_title", "name"),
        "variant_title": line.text("variant_title", "presentment_variant_title"),
        "quantity": line.number("quantity"),
        "price": line.money(currency, "price", "variant_price"),
        "vendor": line.text("vendor"),
        "url": links.take(line, "url"),
        "image_url": links.take(line, "image_url"),
    } | some(
        total=line.money(currency, "line_price"),
        current_quantity=line.number("current_quantity"),
    )


def codes(body: Reader) -> list[str]:
    found = (each.text("code") for each in body.rows("discount_codes"))
    return [code for code in found if code is not None]


def shop_currency(prices: Reader) -> str | None:
    """Of a ``…_set``: the shop's own, not the buyer's."""
    return prices.nested("shop_money").currency("currency_code", "currency")
