"""Shopify's webhooks, as shopify.dev describes them for API versions 2024-10 to 2026-04.

Since 2025-01 a customer carries no consent any more, and since 2026-04 a checkout has no id:
checkouts and carts are known by their tokens. An order is read for every transition it shows,
each with its own time, whatever the topic that brought it: webhooks come in any order.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, cast

import msgspec

from chappe.events import Event, Flags, Identifier, ObjectRef, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import (
    Fact,
    Normalised,
    event_id,
    is_historical,
    meaning_of,
)
from chappe_ingest.domain.reading import Json, Reader, Times, iso, parse, sortable

VENDOR_HOSTS: Final = ("myshopify.com", "checkout.shopify.com", "cdn.shopify.com")
HEADERS: Final = frozenset(
    {
        f"{prefix}shopify-{name}"
        for prefix in ("x-", "")
        for name in (
            "topic",
            "shop-domain",
            "api-version",
            "webhook-id",
            "event-id",
            "triggered-at",
            "sub-topic",
            "test",
        )
    }
)
"""The headers worth keeping; none of them is signed."""

_PAID = frozenset({"paid", "partially_refunded", "refunded"})
_CONSENT_STATES = {
    "subscribed": "subscribed",
    "pending": "pending",
    "unsubscribed": "unsubscribed",
    "redacted": "unsubscribed",
}
_ANONYMOUS_ID_NOTES = frozenset(
    {"rudderanonymousid", "anonymousid", "segmentanonymousid", "ajs_anonymous_id"}
)


def header(raw: RawRecord, name: str) -> str | None:
    return raw.headers.get(f"x-shopify-{name}") or raw.headers.get(f"shopify-{name}")


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The facts of one webhook; a topic that we do not know gives none, and a warning."""
    topic = (header(raw, "topic") or "").strip().lower()
    warnings: list[str] = []
    body = Reader(parse(raw.body), warnings)
    understand = _TOPICS.get(topic)
    if understand is None:
        warnings.append(f"the topic {topic[:100] or '(none)'} is not understood yet; it is stored")
        return Normalised(delivery=_delivery(raw, topic), warnings=tuple(warnings))
    delivery = _Delivery(
        raw=raw,
        topic=topic,
        body=body,
        links=dataclasses.replace(links, vendor=(*links.vendor, *VENDOR_HOSTS)),
        test=body.flag("test") is True or header(raw, "test") == "true",
    )
    meant = understand(delivery)
    facts = tuple(_facts(delivery, meant))
    return Normalised(facts, meant.identifiers, _delivery(raw, topic), tuple(warnings))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    raw: RawRecord
    topic: str
    body: Reader
    links: Links
    test: bool

    def at(self, *candidates: dt.datetime | None) -> dt.datetime:
        return Times(self.raw.received_at).first(*candidates)


@dataclasses.dataclass(frozen=True, slots=True)
class _Happening:
    name: str
    at: dt.datetime
    subject: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Meant:
    happenings: tuple[_Happening, ...]
    identifiers: tuple[Identifier, ...]
    object: ObjectRef | None
    traits: Json
    data: Json


_Topic: TypeAlias = Callable[[_Delivery], _Meant]


def _facts(delivery: _Delivery, meant: _Meant) -> Iterator[Fact]:
    raw = delivery.raw
    for at, happening in enumerate(meant.happenings):
        meaning = happening.subject and meaning_of(raw, happening.name, happening.subject)
        yield Fact(
            Event(
                id=event_id(raw, meaning, at),
                name=happening.name,
                workspace=raw.workspace,
                source=raw.source,
                source_event=delivery.topic,
                occurred_at=happening.at,
                received_at=raw.received_at,
                identifiers=meant.identifiers,
                object=meant.object,
                traits=meant.traits,
                data=meant.data,
                flags=Flags(
                    test=delivery.test,
                    historical=is_historical(happening.at, raw.received_at),
                    unverified=raw.public or raw.verified is not True,
                ),
            ),
            meaning,
        )


def _checkout(delivery: _Delivery) -> _Meant:
    body = delivery.body
    token = body.id("token")
    customer = body.nested("customer")
    created, updated = body.time("created_at"), body.time("updated_at")
    currency = body.currency("currency", "presentment_currency")
    completed = body.time("completed_at")
    if delivery.topic == "checkouts/create":
        happening = _Happening("checkout.started", delivery.at(created, updated), token)
    else:
        happening = _Happening("checkout.updated", delivery.at(updated, created))
    data: Json = {
        "checkout_token": token,
        "cart_token": body.id("cart_token"),
        "total": body.money(currency, "total_price"),
        "subtotal": body.money(currency, "subtotal_price"),
        "items": _items(delivery, currency),
        "discount_codes": _codes(body),
        "recovery_url": delivery.links.take(body, "abandoned_checkout_url"),
    }
    if completed is not None:
        data["completed"] = True
    return _Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            _customer_id(delivery, customer),
            _email(body, "email") or _email(customer, "email"),
            _phone(body, "phone") or _phone(customer, "phone"),
            _noted_anonymous_id(body),
            ids.token(ids.CHECKOUT_TOKEN, token),
            ids.token(ids.CART_TOKEN, body.id("cart_token")),
        ),
        object=_object("checkout", token, updated),
        traits=_traits(body, customer, granted_at=delivery.at(created, updated)),
        data=data,
    )


def _order(delivery: _Delivery) -> _Meant:
    body = delivery.body
    number = _global_id(body) or body.id("id")
    customer = body.nested("customer")
    created, updated = body.time("created_at"), body.time("updated_at")
    placed = delivery.at(body.time("processed_at"), created, updated)
    currency = body.currency("currency", "presentment_currency")
    named = ids.distinct(
        _customer_id(delivery, customer),
        _email(body, "contact_email") or _email(body, "email") or _email(customer, "email"),
        _phone(body, "phone") or _phone(customer, "phone"),
        _noted_anonymous_id(body),
        ids.token(ids.CHECKOUT_TOKEN, body.id("checkout_token")),
        ids.token(ids.CART_TOKEN, body.id("cart_token")),
    )
    return _Meant(
        happenings=tuple(_transitions(delivery, number, placed=placed, updated=updated)),
        identifiers=named or _only_the_object(delivery, number),
        object=_object("order", number, updated),
        traits=_traits(body, customer, granted_at=placed),
        data={
            "order_id": number,
            "number": body.text("name", "order_number"),
            "total": body.money(currency, "current_total_price", "total_price"),
            "subtotal": body.money(currency, "current_subtotal_price", "subtotal_price"),
            "checkout_token": body.id("checkout_token"),
            "cart_token": body.id("cart_token"),
            "items": _items(delivery, currency),
            "discount_codes": _codes(body),
            "status_url": delivery.links.take(body, "order_status_url"),
        },
    )


def _transitions(
    delivery: _Delivery, number: str | None, *, placed: dt.datetime, updated: dt.datetime | None
) -> Iterator[_Happening]:
    """Every once-only step that the order shows, and the topic's own news last."""
    body = delivery.body
    yield _Happening("order.placed", placed, number)
    if body.text("financial_status") in _PAID or delivery.topic == "orders/paid":
        yield _Happening("order.paid", delivery.at(updated, placed), number)
    if body.text("fulfillment_status") == "fulfilled" or delivery.topic == "orders/fulfilled":
        fulfilled = [each.time("created_at") for each in body.rows("fulfillments")]
        last = max((at for at in fulfilled if at is not None), default=None)
        yield _Happening("order.fulfilled", delivery.at(last, updated), number)
    cancelled = body.time("cancelled_at")
    if cancelled is not None or delivery.topic == "orders/cancelled":
        yield _Happening("order.cancelled", delivery.at(cancelled, updated), number)
    if delivery.topic == "orders/updated":
        yield _Happening("order.updated", delivery.at(updated))


def _customer(delivery: _Delivery) -> _Meant:
    body = delivery.body
    number = _global_id(body) or body.id("id")
    created, updated = body.time("created_at"), body.time("updated_at")
    if delivery.topic == "customers/create":
        happening = _Happening("contact.created", delivery.at(created, updated), number)
    else:
        happening = _Happening("contact.updated", delivery.at(updated, created))
    return _Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            ids.external_id(number, delivery.raw.namespace),
            _email(body, "email"),
            _phone(body, "phone") or _phone(body.nested("default_address"), "phone"),
        ),
        object=_object("customer", number, updated),
        traits=_traits(body, body, granted_at=None),
        data={"customer_id": number},
    )


def _consent(delivery: _Delivery) -> _Meant:
    body = delivery.body
    number = body.id("customer_id")
    stated_at = body.nested("email_marketing_consent").time("consent_updated_at")
    return _Meant(
        happenings=(_Happening("contact.consent_changed", delivery.at(stated_at)),),
        identifiers=ids.distinct(
            ids.external_id(number, delivery.raw.namespace), _email(body, "email_address")
        ),
        object=_object("customer", number, None),
        traits=_stated_consent(body),
        data={"customer_id": number},
    )


_TOPICS: Final[dict[str, _Topic]] = {
    "checkouts/create": _checkout,
    "checkouts/update": _checkout,
    "orders/create": _order,
    "orders/updated": _order,
    "orders/paid": _order,
    "orders/fulfilled": _order,
    "orders/cancelled": _order,
    "customers/create": _customer,
    "customers/update": _customer,
    "customers_email_marketing_consent/update": _consent,
}


def _delivery(raw: RawRecord, topic: str) -> str | None:
    """The event id is shared by several subscriptions to one event, the webhook id by retries."""
    given = header(raw, "event-id") or header(raw, "webhook-id")
    return f"{topic[:100]} {given[:200]}" if given else None


def _global_id(body: Reader) -> str | None:
    """The number at the end of ``gid://shopify/Order/…``: JavaScript tools round the plain one."""
    text = body.fields.get("admin_graphql_api_id")
    if not isinstance(text, str):
        return None
    number = text.rpartition("/")[2]
    return number if number.isascii() and number.isdigit() else None


def _customer_id(delivery: _Delivery, customer: Reader) -> Identifier | None:
    number = _global_id(customer) or customer.id("id")
    return ids.external_id(number, delivery.raw.namespace)


def _email(body: Reader, name: str) -> Identifier | None:
    text = body.text(name)
    found = ids.email(text)
    if text is not None and found is None:
        body.note(name, "no e-mail address, left out")
    return found


def _phone(body: Reader, name: str) -> Identifier | None:
    return ids.phone(body.text(name))


def _noted_anonymous_id(body: Reader) -> Identifier | None:
    """Browser trackers leave their visitor's id in the cart's notes."""
    for note in body.rows("note_attributes"):
        if (note.text("name") or "").lower() in _ANONYMOUS_ID_NOTES:
            return ids.anonymous_id(note.text("value"))
    return None


def _only_the_object(delivery: _Delivery, number: str | None) -> tuple[Identifier, ...]:
    if number is None:
        return ()
    scope = delivery.raw.namespace or delivery.raw.source
    return (Identifier(ids.OBJECT, f"order {scope} {number}"),)


def _object(kind: str, number: str | None, updated: dt.datetime | None) -> ObjectRef | None:
    if number is None:
        return None
    return ObjectRef(kind, number, sortable(updated) if updated else None)


def _traits(body: Reader, customer: Reader, *, granted_at: dt.datetime | None) -> Json:
    shipping, billing = body.nested("shipping_address"), body.nested("billing_address")
    address = customer.nested("default_address")
    traits: Json = {}
    for who in (customer, shipping, billing):
        names = {trait: who.text(trait) for trait in ("first_name", "last_name")}
        if any(names.values()):
            traits |= {trait: name for trait, name in names.items() if name}
            break
    country = address.text("country_code") or shipping.text("country_code")
    if country is not None:
        traits["country"] = country
    if (locale := body.text("customer_locale")) is not None:
        traits["locale"] = locale
    traits |= _stated_consent(customer)
    if granted_at is not None and body.flag("buyer_accepts_marketing") is True:
        traits["consent"] = {"email": {"state": "subscribed", "at": iso(granted_at)}}
    return traits


def _stated_consent(body: Reader) -> Json:
    """What ``email_marketing_consent`` says. "not_subscribed" was never asked: it says nothing."""
    stated = body.nested("email_marketing_consent")
    state = _CONSENT_STATES.get(stated.text("state") or "")
    if state is None:
        return {}
    at = stated.time("consent_updated_at")
    if at is None and state != "unsubscribed":
        stated.note("consent_updated_at", "missing, so the consent is not taken as new")
        return {}
    return {"consent": {"email": {"state": state} | ({"at": iso(at)} if at else {})}}


def _items(delivery: _Delivery, currency: str | None) -> list[Json]:
    links = delivery.links
    return [
        {
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
        }
        for line in delivery.body.rows("line_items")
    ]


def _codes(body: Reader) -> list[str]:
    codes = (each.text("code") for each in body.rows("discount_codes"))
    return [code for code in codes if code is not None]


class _Entity(msgspec.Struct):
    token: Any = None
    checkout_token: Any = None
    cart_token: Any = None
    customer_id: Any = None
    customer: Any = None
    id: Any = None


_entity = msgspec.json.Decoder(_Entity)


def entity(topic: str, body: bytes) -> str | None:
    """What the delivery is about, cheaply, for its place on the stream: token, customer, object."""
    try:
        seen = _entity.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    family = topic.partition("/")[0]
    candidates: tuple[Any, ...] = (seen.checkout_token, seen.cart_token)
    if family in {"checkouts", "carts"}:
        candidates = (seen.token, seen.cart_token)
    elif family == "customers":
        candidates = (seen.id,)
    customer: Any = seen.customer
    number = cast("Json", customer).get("id") if isinstance(customer, dict) else None
    for each in (*candidates, seen.customer_id, number, seen.id):
        if isinstance(each, str | int) and each not in ("", 0):
            return str(each)[: ids.VALUE_MAX_CHARS]
    return None
