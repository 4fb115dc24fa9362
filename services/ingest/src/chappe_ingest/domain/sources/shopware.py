"""Shopware 6's app webhooks: business events with their order or customer, and thin ``*.written``.

The body names the shop, the event's id and its time, so all three are signed. A ``.written``
event names only what was written: it becomes an event with ids, for a hydrator to fill.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec

from chappe.events import RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Json, Reader, iso, parse, parse_time
from chappe_ingest.domain.sources import generic_facts as facts
from chappe_ingest.domain.sources import generic_signatures as signatures
from chappe_ingest.domain.sources.generic_facts import Delivery, Happening, Meant
from chappe_ingest.domain.verify import Headers, Verdict, values

VENDOR_HOSTS: Final = ()
HEADERS: Final = frozenset(
    {
        "sw-version",
        "sw-context-language",
        "sw-user-language",
        "x-shopware-event-id",
        "x-shopware-sequence",
        "x-shopware-attempt",
    }
)
WE_ISSUE_SECRET: Final = False
SETUP: Final = (
    "Shopware sends webhooks for apps: use your app, or make one (docs/sources/shopware.md).",
    "In its manifest.xml give each <webhook> this url: {url}",
    "Take the events that docs/sources/shopware.md lists; checkout.order.placed is the first.",
    "Install the app. The shop secret is what your app's registration answered with.",
    "Give it to Chappe: chappe sources set-secret {name} --secret SHOP_SECRET",
    "Place a test order, then look at: chappe sources status {name}",
)

REPLAY_AFTER: Final = dt.timedelta(hours=6)
"""Shopware retries for 4.5 hours, always with the first attempt's time."""

_SECONDS_MAX: Final = 100_000_000_000
_SIGNATURES: Final = ("shopware-shop-signature", "shopware-shop-signature-previous")
_NO_PRODUCT: Final = frozenset({"promotion", "discount", "credit", "container"})
_DELETED: Final = "deleted"


def verify(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
    """Hex HMAC-SHA256 of the raw body with the shop's secret, not older than ``REPLAY_AFTER``.

    While a secret is being rotated Shopware also signs with the one before, in
    ``shopware-shop-signature-previous``.
    """
    given = values(headers, *_SIGNATURES)
    keys = [secret.encode("utf-8", "surrogatepass") for secret in secrets]
    matched = signatures.hmac_matches(body, map(signatures.from_hex, given), keys)
    said = signatures.verdict(matched=matched, header=_SIGNATURES[0], given=given, secrets=secrets)
    if not said.verified:
        return said
    at = _signed_time(body)
    if at is not None and abs(now - at) > REPLAY_AFTER:
        return Verdict(False, "the signed timestamp is more than 6 hours away from now")
    return said


def entity(body: bytes, headers: Headers) -> str | None:
    """The order, else the customer, else what was written."""
    del headers
    payload = facts.inside(facts.glance(body), "data", "payload")
    return facts.first_id(
        facts.inside(payload, "order", "id"),
        facts.inside(payload, "customer", "id"),
        facts.inside(payload, "newsletterRecipient", "email"),
        facts.inside(payload, 0, "primaryKey"),
    )


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The facts of one webhook; an event that we do not know gives none, and a warning."""
    warnings: list[str] = []
    body = Reader(parse(raw.body), warnings)
    data, source = body.nested("data"), body.nested("source")
    event = (data.text("event") or "").lower()
    delivery = Delivery(raw=raw, topic=event, warnings=warnings, links=links)
    told = _Shopware(
        delivery=delivery, event=event, data=data, sent_at=parse_time(body.fields.get("timestamp"))
    )
    event_id = source.id("eventId") or raw.headers.get("x-shopware-event-id")
    key = f"{event[:100]} {event_id[:200]}" if event_id else f"{event[:100]} {facts.body_hash(raw)}"
    understand = _understand(event)
    if understand is None:
        delivery.note("not understood yet; it is stored")
        return Normalised(delivery=key, warnings=tuple(warnings))
    return facts.normalised(delivery, understand(told), key)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Shopware:
    delivery: Delivery
    event: str
    data: Reader
    sent_at: dt.datetime | None

    @property
    def payload(self) -> Reader:
        return self.data.nested("payload")

    def version(self, updated: dt.datetime | None) -> str | dt.datetime | None:
        """The shop's own counter sorts best; it sorts after any time, for shops that turn it on."""
        sequence = self.delivery.raw.headers.get("x-shopware-sequence", "")
        if sequence.isascii() and sequence.isdigit() and len(sequence) <= len(str(2**64)):
            return f"s{int(sequence):020d}"
        return self.sent_at or updated


_Understand: TypeAlias = Callable[[_Shopware], Iterable[Meant]]


def _order(told: _Shopware) -> Iterator[Meant]:
    order, at = told.payload.nested("order"), told.delivery.at
    buyer = order.nested("orderCustomer")
    billing = _billing(order)
    number, updated = order.id("id"), order.time("updatedAt")
    currency = order.nested("currency").currency("isoCode", "shortName")
    placed = at(order.time("orderDateTime", "createdAt", "orderDate"), told.sent_at)
    price = order.nested("price")
    named = ids.distinct(
        ids.external_id(buyer.id("customerId"), told.delivery.raw.namespace),
        facts.email(buyer, "email"),
        facts.phone(billing, "phoneNumber"),
    )
    yield Meant(
        happenings=tuple(_transitions(told, order, number, placed)),
        identifiers=named or facts.itself(told.delivery.raw, "order", number),
        object=facts.ref("order", number, told.version(updated)),
        traits=_traits(buyer, billing, order.nested("language")),
        data={
            "order_id": number,
            "number": order.text("orderNumber"),
            "total": order.money(currency, "amountTotal") or price.money(currency, "totalPrice"),
            "subtotal": price.money(currency, "positionPrice"),
            "items": list(_items(told, order, currency)),
            "discount_codes": list(_codes(order)),
        },
    )


def _transitions(
    told: _Shopware, order: Reader, number: str | None, placed: dt.datetime
) -> Iterator[Happening]:
    """Every step that happens once and that the order shows; the event's own news last."""
    event, at = told.event, told.delivery.at
    changed = at(told.sent_at, order.time("updatedAt"))
    yield Happening("order.placed", placed, number)
    states = {_state(each) for each in order.rows("transactions")}
    if event == "state_enter.order_transaction.state.paid" or "paid" in states:
        yield Happening("order.paid", changed, number)
    shipped = {_state(each) for each in order.rows("deliveries")} - {None}
    if event == "state_enter.order_delivery.state.shipped" or shipped == {"shipped"}:
        yield Happening("order.fulfilled", changed, number)
    if event == "state_enter.order.state.cancelled" or _state(order) == "cancelled":
        yield Happening("order.cancelled", changed, number)
    refunded = event.removeprefix("state_enter.order_transaction.state.")
    if refunded in {"refunded", "refunded_partially"}:
        yield _refund(told, number, changed, whole=refunded == "refunded")
    if event in _UPDATES:
        yield Happening("order.updated", changed)


def _refund(told: _Shopware, number: str | None, at: dt.datetime, *, whole: bool) -> Happening:
    """Shopware says that money went back; how much only when all of it did."""
    if whole:
        return Happening("order.refunded", at, number and f"{number} all")
    mark = facts.body_hash(told.delivery.raw)
    return Happening("order.refunded", at, number and f"{number} {mark}", {"total": None})


def _customer(told: _Shopware) -> Iterator[Meant]:
    customer, at = told.payload.nested("customer"), told.delivery.at
    number = customer.id("id")
    created, updated = customer.time("createdAt"), customer.time("updatedAt")
    name = _CUSTOMERS[told.event]
    if name == "contact.created" and customer.flag("guest") is True:
        name = "contact.updated"
    times = (created, told.sent_at) if name == "contact.created" else (told.sent_at, updated)
    billing = customer.nested("defaultBillingAddress")
    yield Meant(
        happenings=(Happening(name, at(*times), None if name == "contact.updated" else number),),
        identifiers=ids.distinct(
            ids.external_id(number, told.delivery.raw.namespace),
            facts.email(customer, "email"),
            facts.phone(billing, "phoneNumber"),
        ),
        object=facts.ref("customer", number, told.version(updated)),
        traits=_traits(customer, billing, customer.nested("language")),
        data={"customer_id": number, "customer_number": customer.text("customerNumber")},
    )


def _newsletter(told: _Shopware) -> Iterator[Meant]:
    """Registering asks for a confirmation, unless the shop takes people at their word."""
    recipient, at = told.payload.nested("newsletterRecipient"), told.delivery.at
    state = _NEWSLETTER[told.event]
    if state == "pending" and recipient.text("status") in {"direct", "optIn"}:
        state = "subscribed"
    when = at(
        recipient.time("confirmedAt") if state == "subscribed" else None,
        recipient.time("updatedAt"),
        told.sent_at,
        recipient.time("createdAt"),
    )
    traits = _traits(recipient, Reader({}, recipient.warnings), recipient.nested("language"))
    yield Meant(
        happenings=(Happening("contact.consent_changed", when),),
        identifiers=ids.distinct(facts.email(recipient, "email")),
        traits=traits | {"consent": {"email": {"state": state, "at": iso(when)}}},
        data={},
    )


def _written(told: _Shopware) -> Iterator[Meant]:
    """One event for each thing that was written, with its id."""
    raw, at = told.delivery.raw, told.delivery.at(told.sent_at)
    for row in told.data.rows("payload"):
        kind = row.text("entity") or told.event.partition(".")[0]
        number = row.id("primaryKey", "id")
        gone = told.event.endswith(f".{_DELETED}") or row.text("operation") == "delete"
        about = facts.ref(kind, number, told.version(None))
        if kind == "product":
            fields = row.fields.get("updatedFields")
            changed = cast("list[Any]", fields) if isinstance(fields, list) else []
            yield Meant(
                happenings=(Happening("custom.product_saved", at),),
                identifiers=facts.shop_itself(raw),
                object=about,
                data={
                    "product_id": number,
                    "operation": row.text("operation"),
                    "deleted": gone,
                    "fields": [each[:100] for each in changed[:200] if isinstance(each, str)],
                },
            )
        elif kind == "customer":
            yield Meant(
                happenings=(
                    Happening("contact.deleted", at, number)
                    if gone
                    else Happening("contact.updated", at),
                ),
                identifiers=ids.distinct(ids.external_id(number, raw.namespace)),
                object=about,
                data={"customer_id": number},
            )
        elif kind == "order" and not gone:
            yield Meant(
                happenings=(Happening("order.updated", at),),
                identifiers=facts.itself(raw, "order", number),
                object=about,
                data={"order_id": number},
            )


_CUSTOMERS: Final = {
    "checkout.customer.register": "contact.created",
    "customer.register": "contact.created",
    "checkout.customer.guest_register": "contact.updated",
    "checkout.customer.double_opt_in_registration": "contact.updated",
    "checkout.customer.double_opt_in_guest_order": "contact.updated",
    "checkout.customer.changed-payment-method": "contact.updated",
    "checkout.customer.login": "contact.updated",
    "checkout.customer.deleted": "contact.deleted",
}
_NEWSLETTER: Final = {
    "newsletter.register": "pending",
    "newsletter.confirm": "subscribed",
    "newsletter.unsubscribe": "unsubscribed",
}
_UPDATES: Final = frozenset(
    f"state_enter.{machine}.state.{state}"
    for machine, states in (
        ("order", ("open", "in_progress", "completed")),
        ("order_delivery", ("open", "cancelled", "returned", "returned_partially")),
        ("order_delivery", ("shipped_partially",)),
        ("order_transaction", ("open", "authorized", "in_progress", "paid_partially", "failed")),
        ("order_transaction", ("cancelled", "reminded", "chargeback", "unconfirmed")),
    )
    for state in states
)
_THIN: Final = frozenset(
    f"{name}.{end}" for name in ("product", "customer", "order") for end in ("written", _DELETED)
)


def _understand(event: str) -> _Understand | None:
    if event in _CUSTOMERS:
        return _customer
    if event in _NEWSLETTER:
        return _newsletter
    if event in _THIN:
        return _written
    if event == "checkout.order.placed" or event.startswith("state_enter.order"):
        return _order
    return None


class _Stamped(msgspec.Struct):
    timestamp: Any = None


_stamped = msgspec.json.Decoder(_Stamped)


def _signed_time(body: bytes) -> dt.datetime | None:
    try:
        seconds = _stamped.decode(body).timestamp
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    known = isinstance(seconds, int) and abs(seconds) < _SECONDS_MAX
    return parse_time(seconds) if known else None


def _state(body: Reader) -> str | None:
    return body.nested("stateMachineState").text("technicalName")


def _billing(order: Reader) -> Reader:
    """The billing address, or the only one that came, or that of the first delivery."""
    if isinstance(order.fields.get("billingAddress"), dict):
        return order.nested("billingAddress")
    wanted = order.id("billingAddressId")
    addresses = list(order.rows("addresses"))
    for address in addresses:
        if wanted is not None and address.id("id") == wanted:
            return address
    shipped = (each.nested("shippingOrderAddress") for each in order.rows("deliveries"))
    return next(iter([*addresses, *shipped]), Reader({}, order.warnings))


def _traits(who: Reader, address: Reader, language: Reader) -> Json:
    country = address.nested("country").text("iso")
    locale = language.nested("locale").text("code") or language.nested("translationCode").text(
        "code"
    )
    return facts.present(
        {
            "first_name": who.text("firstName") or address.text("firstName"),
            "last_name": who.text("lastName") or address.text("lastName"),
            "country": country.upper() if country and len(country) == len("FR") else None,
            "locale": locale,
        }
    )


def _items(told: _Shopware, order: Reader, currency: str | None) -> Iterator[Json]:
    for line in order.rows("lineItems"):
        if line.text("type") in _NO_PRODUCT:
            continue
        about = line.nested("payload")
        yield {
            "product_id": about.id("parentId") or line.id("productId", "referencedId"),
            "variant_id": line.id("productId", "referencedId"),
            "sku": about.text("productNumber"),
            "title": line.text("label"),
            "quantity": line.number("quantity"),
            "price": line.money(currency, "unitPrice"),
            "image_url": told.delivery.links.take(line.nested("cover"), "url"),
        }


def _codes(order: Reader) -> Iterator[str]:
    for line in order.rows("lineItems"):
        code = line.nested("payload").text("code") if line.text("type") == "promotion" else None
        if code is not None:
            yield code
