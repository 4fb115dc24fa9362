"""Adobe Commerce (Magento): I/O Events, and the signature of its synchronous webhooks.

I/O Events are CloudEvents whose ``data.value`` is the saved object, with the fields the merchant
picked: every one may be missing. Adobe signs for all its customers with the same keys, so a
source should also name its own ``client_id``.
"""

import base64
import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from chappe.events import Identifier, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.kind import Verify
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised, scope_of
from chappe_ingest.domain.reading import Json, Reader, decimal_of, iso, parse
from chappe_ingest.domain.sources import cloudevents_batch as batches
from chappe_ingest.domain.sources import generic_facts as facts
from chappe_ingest.domain.sources import generic_signatures as signatures
from chappe_ingest.domain.sources.generic_facts import Delivery, Happening, Meant
from chappe_ingest.domain.verify import CANDIDATES_MAX, Headers, Verdict, values

VENDOR_HOSTS: Final = ()
HEADERS: Final = frozenset(
    {"content-type", "x-adobe-event-id", "x-adobe-event-code", "x-adobe-retry-count"}
)
CONTENT_TYPES: Final = frozenset(
    {
        "",
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    }
)
WE_ISSUE_SECRET: Final = False
SETUP: Final = (
    "In the Adobe Developer Console add I/O Events for Commerce to your project.",
    "Under 'How to receive events' choose webhook, one event at a time, with this URL: {url}",
    "Subscribe: observer.sales_order_save_after, observer.customer_save_commit_after,",
    "observer.sales_quote_save_after, observer.newsletter_subscriber_save_commit_after.",
    "The public keys: x-adobe-public-key1-path and 2 of a delivery, on static.adobeioevents.com.",
    'Give both to Chappe: chappe sources set-secret {name} --secret "$(cat key1.pem key2.pem)"',
    "Place a test order, then look at: chappe sources status {name}",
)

_EVENT_SIGNATURES: Final = ("x-adobe-digital-signature-1", "x-adobe-digital-signature-2")
_WEBHOOK_SIGNATURE: Final = "x-adobe-commerce-webhook-signature"
_TOKENS_MAX: Final = 4
_CHALLENGE = re.compile(r"[A-Za-z0-9_.~=+-]{1,200}")
_NEW: Final = dt.timedelta(seconds=2)
"""A customer changed this soon after being made was only being made."""

_NOT_PLACED: Final = {"pending_payment", "canceled"}
_SUBSCRIBER_STATES: Final = {
    "1": "subscribed",
    "2": "pending",
    "3": "unsubscribed",
    "4": "pending",
}


def verify(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
    """RSA-SHA256 by a key whose PEM is among ``secrets``; several may stand in one secret.

    I/O Events sign the raw body, each delivery once per live key; Commerce's own webhooks sign
    the base64 of it. No time is signed.
    """
    del now
    events = values(headers, *_EVENT_SIGNATURES)[:CANDIDATES_MAX]
    webhooks = values(headers, _WEBHOOK_SIGNATURE)[:CANDIDATES_MAX]
    keys = [key for secret in secrets for key in signatures.rsa_keys(secret)]
    signed = [(body, each) for each in events[:_TOKENS_MAX]]
    signed += [(base64.b64encode(body), each) for each in webhooks[:_TOKENS_MAX]]
    matched = False
    for message, text in signed:
        for key in keys:
            matched |= signatures.rsa_matches(message, signatures.from_base64(text), key)
    if not keys and any(secrets):
        return Verdict(False, "the source's secret is no PEM public key")
    return signatures.verdict(
        matched=matched,
        header=_EVENT_SIGNATURES[0],
        given=[*events, *webhooks],
        secrets=secrets,
    )


def make_verify(config: Mapping[str, Any]) -> Verify:
    """As ``verify``; with ``{"client_id": …}`` only what Adobe addressed to that project."""
    wanted = config.get("client_id")

    def check(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
        said = verify(body, headers, secrets, now)
        if not said.verified or not wanted:
            return said
        seen: Any = facts.glance(body)
        addressed = [facts.inside(each, "recipient_client_id") for each in _each(seen)]
        if any(client != wanted for client in addressed):
            return Verdict(False, "the event is addressed to another project's client id")
        return said

    return check


def _each(seen: Any) -> list[Any]:
    return cast("list[Any]", seen) if isinstance(seen, list) else [seen]


def handshake(
    method: str, headers: Headers, query: str
) -> tuple[int, bytes, Mapping[str, str]] | None:
    """Adobe registers an address by asking for its ``challenge`` back."""
    del headers
    if method != "GET":
        return None
    for part in query[:1_000].split("&"):
        name, _, value = part.partition("=")
        if name == "challenge" and _CHALLENGE.fullmatch(value):
            return 200, value.encode(), {"content-type": "text/plain; charset=utf-8"}
    return None


def split(body: bytes, headers: Headers) -> Sequence[tuple[bytes, Mapping[str, str]]]:
    """Adobe's batch delivery sends an array of events."""
    return batches.split(body, headers)


def entity(body: bytes, headers: Headers) -> str | None:
    """The cart, also of an order, else the order or customer."""
    del headers
    value = facts.inside(facts.glance(body), "data", "value")
    names = ("quote_id", "order_id", "entity_id", "id", "increment_id", "sku")
    return facts.first_id(*(facts.inside(value, name) for name in names))


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The facts of one event; a type that we do not know gives none, and a warning."""
    warnings: list[str] = []
    body = Reader(parse(raw.body), warnings)
    type_, value = _told(body)
    delivery = Delivery(raw=raw, topic=type_, warnings=warnings, links=links)
    event_id = body.id("id", "event_id", "eventid")
    key = f"{body.id('source') or ''} {event_id}" if event_id else facts.body_hash(raw)
    understand = next((how for pattern, how in _TYPES if pattern.search(type_)), None)
    if understand is None:
        delivery.note("not understood yet; it is stored")
        return Normalised(delivery=key, warnings=tuple(warnings))
    told = _Adobe(delivery=delivery, type=type_, value=value, sent_at=body.time("time"))
    return facts.normalised(delivery, understand(told), key)


def _told(body: Reader) -> tuple[str, Reader]:
    """The type without Adobe's prefix, and the object; a webhook is known by what it carries."""
    full = (body.text("type") or "").lower()
    if full:
        data = body.nested("data")
        place = max(full.find("observer."), full.find("plugin."))
        value = data.nested("value") if "value" in data.fields else data
        return full[place:] if place >= 0 else full, value
    for name, meant in _WEBHOOK_OBJECTS.items():
        if isinstance(body.fields.get(name), dict):
            return f"webhook.{meant}", body.nested(name)
    return "webhook", body


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Adobe:
    delivery: Delivery
    type: str
    value: Reader
    sent_at: dt.datetime | None

    @property
    def raw(self) -> RawRecord:
        return self.delivery.raw

    @property
    def order(self) -> Reader:
        """Some events carry the order beside the quote it came from."""
        inner = isinstance(self.value.fields.get("order"), dict)
        return self.value.nested("order") if inner else self.value

    def cart(self, number: str | None) -> str | None:
        """A quote's small number, made unique by its shop."""
        return f"{scope_of(self.raw)}:{number}" if ids.usable(number) else None


_Understand: TypeAlias = Callable[[_Adobe], Iterator[Meant]]


def _order(told: _Adobe) -> Iterator[Meant]:
    order, at = told.order, told.delivery.at
    number, updated = order.id("entity_id", "id"), order.time("updated_at")
    if number is None:
        number = order.id("real_order_id", "increment_id")
    currency = order.currency("order_currency_code", "base_currency_code")
    billing = _address(order)
    cart = told.cart(order.id("quote_id"))
    named = ids.distinct(
        ids.external_id(order.id("customer_id"), told.raw.namespace),
        facts.email(order, "customer_email") or facts.email(billing, "email"),
        facts.phone(billing, "telephone"),
        ids.token(ids.CART_TOKEN, cart),
    )
    traits = _traits(order, billing, prefix="customer_")
    yield Meant(
        happenings=tuple(_transitions(told, number, at(updated, told.sent_at))),
        identifiers=named or facts.itself(told.raw, "order", number),
        object=facts.ref("order", number, updated or told.sent_at),
        traits=traits,
        data={
            "order_id": number,
            "number": order.text("increment_id", "real_order_id"),
            "total": _money(order, currency, "grand_total"),
            "subtotal": _money(order, currency, "subtotal"),
            "cart_token": cart,
            "items": _items(order, currency),
            "discount_codes": _codes(order),
        },
    )


def _transitions(told: _Adobe, number: str | None, changed: dt.datetime) -> Iterator[Happening]:
    """Every step that happens once and that the order shows; its own news last."""
    order, at = told.order, told.delivery.at
    state = (order.text("state", "status") or "").lower()
    created = at(order.time("created_at"), told.sent_at)
    placing = "place" in told.type
    if placing or state not in _NOT_PLACED:
        yield Happening("order.placed", created, number)
    if state != "canceled" and _is_paid(order, state):
        yield Happening("order.paid", changed, number)
    if state == "complete":
        yield Happening("order.fulfilled", changed, number)
    if state == "canceled" or "cancel" in told.type:
        yield Happening("order.cancelled", changed, number)
    if not placing:
        yield Happening("order.updated", changed)


def _is_paid(order: Reader, state: str) -> bool:
    total, paid, due = (
        decimal_of(order.fields.get(name)) for name in ("grand_total", "total_paid", "total_due")
    )
    if paid is not None and total is not None:
        return paid >= total
    return state == "complete" or (due is not None and due <= 0 and state == "processing")


def _invoice(told: _Adobe) -> Iterator[Meant]:
    """An invoice in state 2 is paid."""
    invoice = told.value
    paid = "invoice_pay" in told.type or invoice.text("state") == "2"
    name = "order.paid" if paid else "order.updated"
    yield _of_order(told, name, once=paid)


def _shipment(told: _Adobe) -> Iterator[Meant]:
    yield _of_order(told, "order.fulfilled", once=True)


def _of_order(told: _Adobe, name: str, *, once: bool) -> Meant:
    """A paper of an order: it names the order, and perhaps the customer."""
    paper = told.value
    number = paper.id("order_id")
    at = told.delivery.at(paper.time("created_at", "updated_at"), told.sent_at)
    return Meant(
        happenings=(Happening(name, at, number if once else None),),
        identifiers=_of_paper(told, number),
        object=facts.ref("order", number),
        data={"order_id": number, "number": paper.text("order_increment_id")},
    )


def _refund(told: _Adobe) -> Iterator[Meant]:
    memo = told.value
    number, order = memo.id("entity_id", "increment_id"), memo.id("order_id")
    currency = memo.currency("order_currency_code", "base_currency_code")
    at = told.delivery.at(memo.time("created_at", "updated_at"), told.sent_at)
    yield Meant(
        happenings=(Happening("order.refunded", at, number),),
        identifiers=_of_paper(told, order),
        object=facts.ref("order", order),
        data={
            "order_id": order,
            "refund_id": number,
            "total": _money(memo, currency, "grand_total"),
        },
    )


def _of_paper(told: _Adobe, order: str | None) -> tuple[Identifier, ...]:
    named = ids.distinct(
        ids.external_id(told.value.id("customer_id"), told.raw.namespace),
        facts.email(told.value, "customer_email"),
    )
    return named or facts.itself(told.raw, "order", order)


def _customer(told: _Adobe) -> Iterator[Meant]:
    value = told.value
    inner = next((n for n in _CUSTOMER_UNDER if isinstance(value.fields.get(n), dict)), None)
    customer = value.nested(inner) if inner else value
    number = customer.id("entity_id", "id", "customer_id")
    created, updated = customer.time("created_at"), customer.time("updated_at")
    at, gone = told.delivery.at, "delete" in told.type
    new = created is not None and updated is not None and abs(updated - created) <= _NEW
    if gone:
        happening = Happening("contact.deleted", at(told.sent_at), number)
    elif new or "register" in told.type:
        happening = Happening("contact.created", at(created, told.sent_at), number)
    else:
        happening = Happening("contact.updated", at(updated, told.sent_at))
    billing = _address(customer)
    yield Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            ids.external_id(number, told.raw.namespace),
            facts.email(customer, "email"),
            facts.phone(billing, "telephone"),
        ),
        object=facts.ref("customer", number, updated or told.sent_at),
        traits=_traits(customer, billing),
        data={"customer_id": number},
    )


def _subscriber(told: _Adobe) -> Iterator[Meant]:
    subscriber = told.value
    state = _SUBSCRIBER_STATES.get(subscriber.text("subscriber_status", "status") or "")
    if state is None:
        subscriber.note("subscriber_status", "missing or unknown, so nothing is said")
        return
    at = told.delivery.at(subscriber.time("change_status_at"), told.sent_at)
    yield Meant(
        happenings=(Happening("contact.consent_changed", at),),
        identifiers=ids.distinct(
            ids.external_id(subscriber.id("customer_id"), told.raw.namespace),
            facts.email(subscriber, "subscriber_email", "email"),
        ),
        traits={"consent": {"email": {"state": state, "at": iso(at)}}},
    )


def _quote(told: _Adobe) -> Iterator[Meant]:
    quote = told.value
    number, updated = quote.id("entity_id", "id", "quote_id"), quote.time("updated_at")
    currency = quote.currency("quote_currency_code", "store_currency_code", "base_currency_code")
    cart, billing = told.cart(number), _address(quote)
    ordered = str(quote.fields.get("is_active")).lower() in {"0", "false"}
    yield Meant(
        happenings=(Happening("cart.updated", told.delivery.at(updated, told.sent_at)),),
        identifiers=ids.distinct(
            ids.external_id(quote.id("customer_id"), told.raw.namespace),
            facts.email(quote, "customer_email"),
            facts.phone(billing, "telephone"),
            ids.token(ids.CART_TOKEN, cart),
        ),
        object=facts.ref("cart", cart, updated or told.sent_at),
        traits=_traits(quote, billing, prefix="customer_"),
        data={
            "cart_token": cart,
            "total": _money(quote, currency, "grand_total"),
            "subtotal": _money(quote, currency, "subtotal"),
            "items": _items(quote, currency),
            "discount_codes": _codes(quote),
        }
        | ({"completed": True} if ordered else {}),
    )


def _cart_item(told: _Adobe) -> Iterator[Meant]:
    """One product put into a cart."""
    value = told.value
    item = value.nested("quote_item") if "quote_item" in value.fields else value
    cart = told.cart(item.id("quote_id"))
    currency = value.currency("quote_currency_code")
    yield Meant(
        happenings=(Happening("cart.updated", told.delivery.at(told.sent_at)),),
        identifiers=ids.distinct(
            ids.external_id(item.id("customer_id"), told.raw.namespace),
            ids.token(ids.CART_TOKEN, cart),
        ),
        object=facts.ref("cart", cart),
        data={"cart_token": cart, "items": [_item(item, currency)]},
    )


def _product(told: _Adobe) -> Iterator[Meant]:
    value = told.value
    product = value.nested("product") if isinstance(value.fields.get("product"), dict) else value
    number, updated = product.id("entity_id", "id"), product.time("updated_at")
    sku = product.text("sku")
    yield Meant(
        happenings=(Happening("custom.product_saved", told.delivery.at(updated, told.sent_at)),),
        identifiers=facts.shop_itself(told.raw),
        object=facts.ref("product", number or sku, updated or told.sent_at),
        data={
            "product_id": number,
            "sku": sku,
            "title": product.text("name"),
            "price": _money(product, None, "price"),
            "quantity": product.nested("stock_data").text("qty"),
            "deleted": "delete" in told.type,
        },
    )


_CUSTOMER_UNDER: Final = ("customer", "customer_data_object")
_WEBHOOK_OBJECTS: Final = {
    "order": "sales_order_save",
    "customer": "customer_save",
    "quote": "sales_quote_save",
    "cart": "sales_quote_save",
    "product": "catalog_product_save",
}
_TYPES: Final[tuple[tuple[re.Pattern[str], _Understand], ...]] = (
    (re.compile(r"creditmemo(_repository)?[._](save|refund)|order_creditmemo_refund"), _refund),
    (re.compile(r"invoice(_repository)?[._](save|pay|register)"), _invoice),
    (re.compile(r"shipment(_repository)?[._]save"), _shipment),
    (
        re.compile(
            r"sales_order(_(save|place|cancel)|_save_commit)|order_cancel_after"
            r"|order_management\.(place|cancel)|order_repository\.save|checkout_submit_all_after"
        ),
        _order,
    ),
    (re.compile(r"newsletter.*subscriber.*(save|subscribe)"), _subscriber),
    (
        re.compile(
            r"customer_(save|delete|register)|customer_data_object"
            r"|customer_repository\.(save|delete)|account_management\.create"
        ),
        _customer,
    ),
    (re.compile(r"quote_save|cart_repository\.save"), _quote),
    (re.compile(r"cart_product_add|quote_add_item"), _cart_item),
    (re.compile(r"catalog_product_(save|delete)|product_repository\.(save|delete)"), _product),
)
"""Observers say ``sales_order_save_after``, plugins ``…order_repository.save``."""


def _address(body: Reader) -> Reader:
    """Billing, else the first that came."""
    for name in ("billing_address", "shipping_address"):
        if isinstance(body.fields.get(name), dict):
            return body.nested(name)
    rows = list(body.rows("addresses")) if isinstance(body.fields.get("addresses"), list) else []
    return rows[0] if rows else Reader({}, body.warnings)


def _traits(who: Reader, address: Reader, *, prefix: str = "") -> Json:
    country = address.text("country_id")
    return facts.present(
        {
            "first_name": who.text(f"{prefix}firstname") or address.text("firstname"),
            "last_name": who.text(f"{prefix}lastname") or address.text("lastname"),
            "country": country.upper() if country and len(country) == len("FR") else None,
        }
    )


def _items(body: Reader, currency: str | None) -> list[Json]:
    """A configurable product and its chosen child are two lines with one sku: the parent stays."""
    lines = [line for line in body.rows("items") if line.id("parent_item_id") is None]
    return [_item(line, currency) for line in lines]


def _item(line: Reader, currency: str | None) -> Json:
    quantity = decimal_of(line.fields.get("qty_ordered") or line.fields.get("qty"))
    return {
        "product_id": line.id("product_id"),
        "variant_id": None,
        "sku": line.text("sku"),
        "title": line.text("name"),
        "quantity": None if quantity is None else int(quantity),
        "price": _money(line, currency, "price", "base_price"),
    }


def _money(body: Reader, currency: str | None, *names: str) -> Json | None:
    """Magento writes 49.9000; two decimals say the same."""
    found = body.money(currency, *names)
    if found is None:
        return None
    whole, _, decimals = str(found["amount"]).partition(".")
    decimals = decimals.rstrip("0").ljust(2, "0") if decimals else ""
    return found | {"amount": f"{whole}.{decimals}" if decimals else whole}


def _codes(body: Reader) -> list[str]:
    code = body.text("coupon_code")
    return [] if code is None else [code]
