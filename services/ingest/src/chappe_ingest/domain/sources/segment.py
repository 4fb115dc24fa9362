"""The Segment spec's calls: track, identify, page, screen, group, alias.

Segment's, RudderStack's and home-made clients all speak it, each a little differently:
RudderStack sends an identify's traits in ``context.traits``, old clients say "Viewed Product".
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Sequence
from typing import Final

from chappe.events import Event, Flags, Identifier, ObjectRef, RawRecord
from chappe_ingest.domain import batches, consent
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain import verify as verifying
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import (
    Fact,
    Normalised,
    event_id,
    is_historical,
    meaning_of,
    scope_of,
)
from chappe_ingest.domain.privacy import free_form, taken_away
from chappe_ingest.domain.reading import Json, Reader, Unreadable, iso, parse

CALLS: Final = ("identify", "track", "page", "screen", "group", "alias")
CALL_HEADER: Final = "call"
"""The edge notes the address that was called here; a batch's items say it in ``type``."""

NAME_MAX_CHARS: Final = 100

_NAMES: Final = {
    "signed up": "contact.created",
    "product viewed": "product.viewed",
    "viewed product": "product.viewed",
    "product added": "cart.updated",
    "added product": "cart.updated",
    "product removed": "cart.updated",
    "removed product": "cart.updated",
    "cart viewed": "cart.updated",
    "viewed cart": "cart.updated",
    "checkout started": "checkout.started",
    "started checkout": "checkout.started",
    "order completed": "order.placed",
    "completed order": "order.placed",
    "order updated": "order.updated",
    "updated order": "order.updated",
    "order cancelled": "order.cancelled",
    "order canceled": "order.cancelled",
    "cancelled order": "order.cancelled",
    "order refunded": "order.refunded",
    "refunded order": "order.refunded",
}
_ONCE: Final = frozenset({"order.placed", "order.cancelled", "checkout.started"})
_PUBLIC: Final = frozenset({"product.viewed", "cart.updated", "checkout.started"})
"""The named facts that a key may state which everybody can read in a browser."""

_OWN_TRAITS: Final = frozenset(
    [
        "email",
        "phone",
        "consent",
        "id",
        "anonymousId",
        "userId",
        "firstName",
        "first_name",
        "lastName",
        "last_name",
        "createdAt",
        "created_at",
        "locale",
        "timezone",
    ]
)
_OWN_PROPERTIES: Final = frozenset(
    [
        "order_id",
        "checkout_id",
        "cart_id",
        "total",
        "revenue",
        "value",
        "currency",
        "products",
        "email",
        "phone",
        "consent",
        "product_id",
        "variant_id",
        "sku",
        "title",
        "price",
        "quantity",
        "url",
        "image_url",
    ]
)
_AMOUNTS: Final = ("subtotal", "discount", "shipping", "tax")
_PAGE: Final = ("url", "path", "title", "referrer", "search")
_ZONE = re.compile(r"[A-Za-z_]+(?:/[A-Za-z0-9_+-]+){0,2}")


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The fact of one call; a batch's items have been taken apart before.

    Raises ``Unreadable`` when the call is of no known type or names nobody.
    """
    warnings: list[str] = []
    body = Reader(parse(raw.body), warnings)
    call = _Call(raw=raw, type=_type_of(raw, body), body=body, links=links)
    said = _CALLS[call.type](call)
    named = ids.distinct(*call.people(said.name), *said.identifiers)
    if not named:
        raise Unreadable("the call names nobody: userId or anonymousId is required")
    meaning = None
    if said.name in _ONCE and said.object is not None:
        meaning = meaning_of(raw, said.name, said.object.id)
    occurred_at = call.occurred_at()
    event = Event(
        id=event_id(raw, meaning, 0),
        name=said.name,
        workspace=raw.workspace,
        source=raw.source,
        source_event=said.source_event[: ids.VALUE_MAX_CHARS],
        occurred_at=occurred_at,
        received_at=raw.received_at,
        identifiers=named,
        object=said.object,
        traits=said.traits,
        data=said.data,
        flags=Flags(
            historical=is_historical(occurred_at, raw.received_at),
            unverified=raw.public or raw.verified is not True,
        ),
    )
    message = body.id("messageId")
    delivery = f"message {message}" if message else None
    return Normalised((Fact(event, meaning),), named, delivery, tuple(warnings))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a call says, before its envelope."""

    name: str
    source_event: str
    data: Json
    traits: Json
    object: ObjectRef | None = None
    identifiers: tuple[Identifier | None, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    raw: RawRecord
    type: str
    body: Reader
    links: Links

    @property
    def properties(self) -> Reader:
        return self.body.nested("properties")

    def known_traits(self) -> Reader:
        """The contact's traits, wherever the client puts them; a group's traits are the group's."""
        context = self.body.nested("context").nested("traits")
        own = {} if self.type == "group" else self.body.nested("traits").fields
        return Reader({**context.fields, **own}, self.body.warnings, "traits.")

    def people(self, name: str) -> tuple[Identifier | None, ...]:
        traits = self.known_traits()
        email, phone = traits.text("email"), traits.text("phone")
        if name.startswith(("contact.", "order.", "checkout.")):
            email = email or self.properties.text("email")
            phone = phone or self.properties.text("phone")
        address = ids.email(email)
        if email is not None and address is None:
            traits.note("email", "no e-mail address, left out")
        return (
            ids.external_id(self.body.id("userId"), self.raw.namespace),
            address,
            ids.phone(phone),
            ids.anonymous_id(self.body.id("anonymousId")),
        )

    def occurred_at(self) -> dt.datetime:
        """Corrected for the client's clock: received - (sent - stamped), never in the future."""
        received = self.raw.received_at
        stamped = self.body.time("originalTimestamp", "timestamp")
        if stamped is None:
            return received
        sent = self.body.time("sentAt")
        try:
            at = stamped if sent is None else received - (sent - stamped)
        except OverflowError:
            return received
        return min(at, received)

    def traits(self, more: Reader | None = None) -> Json:
        """Reserved traits under our names, in camel or snake case; the free ones as they are."""
        reader = self.known_traits()
        if more is not None:
            reader = Reader({**more.fields, **reader.fields}, reader.warnings, reader.where)
        context = self.body.nested("context")
        zone = reader.text("timezone") or context.text("timezone")
        created = reader.time("createdAt", "created_at")
        address = reader.fields.get("address")
        country = reader.nested("address").text("country") if isinstance(address, dict) else None
        own: Json = {
            "country": country.upper() if country and len(country) == len("FR") else None,
            "first_name": reader.text("firstName", "first_name"),
            "last_name": reader.text("lastName", "last_name"),
            "created_at": iso(created) if created else None,
            "locale": reader.text("locale") or context.text("locale"),
            "timezone": zone if zone and _ZONE.fullmatch(zone) else None,
            "consent": consent.stated(reader) or None,
        }
        free = free_form(reader, self.links, without=_OWN_TRAITS)
        if self.type == "identify":
            free |= taken_away(reader, without=_OWN_TRAITS)
        return {name: value for name, value in own.items() if value is not None} | free


def verify(
    body: bytes, headers: verifying.Headers, secrets: Sequence[str], now: dt.datetime
) -> verifying.Verdict:
    """The write key, in ``Authorization`` or in the body, is one of ``secrets``."""
    del now
    _, in_body = batches.single(body)
    keys = verifying.write_keys(headers, in_body)
    if any(verifying.same(key, secret) for key in keys for secret in secrets):
        return verifying.VERIFIED
    reason = "the write key is not the source's" if keys else "no write key was sent"
    return verifying.Verdict(False, reason)


def entity(body: bytes, headers: verifying.Headers) -> str | None:
    """The person the call is about."""
    del headers
    item, _ = batches.single(body)
    return item.entity


def _type_of(raw: RawRecord, body: Reader) -> str:
    """The item's own type inside a batch, else the address that was called."""
    stated = raw.headers.get(CALL_HEADER) or body.text("type") or ""
    if stated.lower() not in CALLS:
        raise Unreadable(f"no call of the Segment spec: {stated[:40] or 'the type is missing'}")
    return stated.lower()


def _track(call: _Call) -> _Said:
    spoken = call.body.text("event") or ""
    name = _NAMES.get(" ".join(spoken.lower().replace("_", " ").split()))
    if name is not None and call.raw.public and name not in _PUBLIC:
        call.body.note("event", "a public key may not state this, taken as a custom event")
        name = None
    if name is None:
        return _Said(
            name=_custom(spoken),
            source_event=spoken or "track",
            data=free_form(call.properties, call.links),
            traits=call.traits(),
        )
    if name == "contact.created":
        return _signed_up(call, spoken)
    return _commerce(call, name, spoken)


def _signed_up(call: _Call, spoken: str) -> _Said:
    """Many clients put the new person's traits into the event's properties."""
    return _Said(
        name="contact.created",
        source_event=spoken,
        data=free_form(call.properties, call.links, without=_OWN_TRAITS),
        traits=call.traits(more=_reserved(call.properties)),
    )


def _commerce(call: _Call, name: str, spoken: str) -> _Said:
    body = call.properties
    currency = body.currency("currency")
    order, checkout, cart = body.id("order_id"), body.id("checkout_id"), body.id("cart_id")
    data = free_form(body, call.links, without=_OWN_PROPERTIES)
    data["items"] = _items(call, currency)
    family = name.partition(".")[0]
    if family == "product":
        data |= data["items"][0] if data["items"] else {}
    else:
        worth = ("total", "value", "revenue") if family == "cart" else ("total", "revenue", "value")
        if name == "checkout.started":
            worth = ("value", "total", "revenue")
        data["total"] = body.money(currency, *worth)
        data["checkout_token"], data["cart_token"] = checkout or order, cart
        data |= {name: body.money(currency, name) for name in _AMOUNTS if name in body.fields}
        if (code := body.text("coupon")) is not None:
            data["discount_codes"] = [code]
    if family == "order":
        data |= {"order_id": order, "number": body.text("order_number")}
    about = {"order": order, "checkout": checkout or order, "cart": cart}.get(family)
    return _Said(
        name=name,
        source_event=spoken,
        data=data,
        traits=call.traits(),
        object=ObjectRef(family, about) if about else None,
        identifiers=(
            ids.token(ids.CHECKOUT_TOKEN, checkout),
            ids.token(ids.CART_TOKEN, cart),
            _order_as_token(call.raw, order),
        ),
    )


def _order_as_token(raw: RawRecord, order: str | None) -> Identifier | None:
    """The spec's Checkout Started is known by the order's id: small numbers, so in our scope."""
    if not ids.usable(order):
        return None
    return ids.token(ids.CHECKOUT_TOKEN, f"{scope_of(raw)}:{order}")


def _items(call: _Call, currency: str | None) -> list[Json]:
    body = call.properties
    lines = list(body.rows("products")) or ([body] if body.id("product_id", "sku") else [])
    return [
        {
            "product_id": line.id("product_id"),
            "variant_id": line.id("variant_id", "variant"),
            "sku": line.text("sku"),
            "title": line.text("name", "title"),
            "quantity": line.number("quantity"),
            "price": line.money(line.currency("currency") or currency, "price"),
            "url": call.links.take(line, "url"),
            "image_url": call.links.take(line, "image_url"),
        }
        for line in lines
    ]


def _identify(call: _Call) -> _Said:
    return _Said(name="contact.updated", source_event="identify", data={}, traits=call.traits())


def _page(call: _Call) -> _Said:
    page = call.body.nested("context").nested("page")
    seen = {name: page.fields[name] for name in _PAGE if page.fields.get(name)}
    shown = call.properties
    data = free_form(shown.having({**seen, **shown.fields}), call.links)
    if (title := call.body.text("name")) is not None:
        data["name"] = title
    return _Said(name="page.viewed", source_event="page", data=data, traits=call.traits())


def _screen(call: _Call) -> _Said:
    said = _page(call)
    return dataclasses.replace(said, name="custom.screen_viewed", source_event="screen")


def _group(call: _Call) -> _Said:
    data = free_form(call.body.nested("traits"), call.links)
    data["group_id"] = call.body.id("groupId")
    return _Said(name="custom.group_joined", source_event="group", data=data, traits=call.traits())


def _alias(call: _Call) -> _Said:
    """Binds the earlier name where it is still nobody's; it never merges two people."""
    return _Said(
        name="contact.updated",
        source_event="alias",
        data={},
        traits=call.traits(),
        identifiers=(ids.anonymous_id(call.body.id("previousId")),),
    )


_CALLS: Final[dict[str, Callable[[_Call], _Said]]] = {
    "track": _track,
    "identify": _identify,
    "page": _page,
    "screen": _screen,
    "group": _group,
    "alias": _alias,
}


def _custom(spoken: str) -> str:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", spoken)
    name = re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")[:NAME_MAX_CHARS]
    return f"custom.{name or 'unnamed'}"


def _reserved(properties: Reader) -> Reader:
    fields = {name: value for name, value in properties.fields.items() if name in _OWN_TRAITS}
    return properties.having(fields)
