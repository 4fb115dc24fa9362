"""What Saleor's objects have in common, in GraphQL's spelling and in the older one."""

import binascii
import dataclasses
import datetime as dt
from base64 import b64decode
from decimal import Decimal
from typing import Any, Final

from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.reading import Json, Reader, iso
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.facts import Delivery

_PLACES_MAX: Final = 4
_CONSENT_KEYS: Final = (
    "consent.email",
    "email_consent",
    "marketing_consent",
    "accepts_marketing",
    "newsletter",
)

_CONSENT_STATES: Final = {
    "subscribed": "subscribed",
    "unsubscribed": "unsubscribed",
    "pending": "pending",
    "true": "subscribed",
    "yes": "subscribed",
    "1": "subscribed",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """``about`` is the order, checkout or user; ``issued_at`` when Saleor made the payload."""

    delivery: Delivery
    topic: str
    about: Reader
    whole: Reader
    issued_at: dt.datetime | None
    recovery_url: str | None

    @property
    def number(self) -> str | None:
        return self.about.id("id")


def updated_at(told: Told) -> dt.datetime | None:
    return told.about.time("updatedAt", "updated_at", "lastChange", "last_change") or told.issued_at


def version_of(told: Told) -> dt.datetime | None:
    return told.issued_at or updated_at(told)


def money_in(body: Reader, currency: str | None, *names: str) -> Json | None:
    """``{gross: {amount, currency}}`` or ``{amount, currency}`` as GraphQL says, or bare."""
    for name in names:
        value = body.fields.get(name)
        if isinstance(value, dict):
            taxed = body.nested(name)
            price = taxed.nested("gross") if "gross" in taxed.fields else taxed
            found = price.money(price.currency("currency") or currency, "amount")
        else:
            found = body.money(currency, name)
        if found is not None:
            return found
    return None


def items_of(told: Told, currency: str | None) -> list[Json]:
    return [_item(told, line, currency) for line in told.about.rows("lines")]


def _item(told: Told, line: Reader, currency: str | None) -> Json:
    variant = line.nested("variant")
    product = variant.nested("product") if "product" in variant.fields else line.nested("product")
    currency = line.currency("currency") or currency
    unit = ("unitPrice", "unit_price_gross_amount", "undiscountedUnitPrice", "base_price")
    total = money_in(line, currency, "totalPrice", "total_price_gross_amount")
    quantity = line.number("quantity")
    image = line.nested("thumbnail")
    if not image.fields:
        image = product.nested("thumbnail")
    return {
        "product_id": line.id("productId", "product_id") or product.id("id"),
        "variant_id": line.id("variantId", "variant_id", "productVariantId", "product_variant_id")
        or variant.id("id"),
        "sku": line.text("productSku", "product_sku", "sku") or variant.text("sku"),
        "title": line.text("productName", "product_name") or product.text("name"),
        "variant_title": line.text("variantName", "variant_name") or variant.text("name"),
        "quantity": quantity,
        "price": money_in(line, currency, *unit) or _share(total, quantity),
        "image_url": told.delivery.links.take(image, "url"),
    } | facts.some(total=total)


def _share(total: Json | None, quantity: int | None) -> Json | None:
    """A checkout's line may say only what all its pieces cost."""
    if total is None or quantity is None or quantity < 1:
        return None
    amount = Decimal(str(total["amount"]))
    piece = amount / quantity
    if piece * quantity != amount or piece.as_tuple().exponent not in range(-_PLACES_MAX, 1):
        piece = piece.quantize(Decimal(1).scaleb(-_PLACES_MAX))
    return facts.money(piece, total["currency"])


def codes_of(body: Reader) -> list[str]:
    voucher = body.fields.get("voucher")
    named = body.nested("voucher").text("code") if isinstance(voucher, dict) else None
    code = body.text("voucherCode", "voucher_code") or named
    return [] if code is None else [code]


def address_of(body: Reader, *names: str) -> Reader:
    name = next((n for n in names if isinstance(body.fields.get(n), dict)), names[0])
    return body.nested(name)


def traits_of(told: Told, user: Reader, billing: Reader, *, granted_at: dt.datetime | None) -> Json:
    about, traits = told.about, dict[str, Any]()
    for who in (user, billing, address_of(about, "shippingAddress", "shipping_address")):
        names = {
            "first_name": who.text("firstName", "first_name"),
            "last_name": who.text("lastName", "last_name"),
        }
        if any(names.values()):
            traits |= facts.present(names)
            break
    country = billing.fields.get("country")
    if isinstance(country, dict):
        code = billing.nested("country").text("code")
    else:
        code = billing.text("country")
    language = about.text("languageCodeEnum", "languageCode", "language_code") or user.text(
        "languageCode", "language_code"
    )
    return traits | facts.present(
        {
            "country": code.upper() if code and len(code) == len("FR") else None,
            "locale": _locale(language),
            "consent": _consent(about, granted_at) or _consent(user, granted_at),
        }
    )


def _consent(body: Reader, granted_at: dt.datetime | None) -> Json | None:
    """Saleor knows no consent; by convention it stands in the public metadata.

    "true" was given with the order or checkout; a plain no says nothing.
    """
    said = _metadata(body)
    key = next((name for name in _CONSENT_KEYS if name in said), None)
    state = _CONSENT_STATES.get(str(said.get(key or "", "")).strip().lower())
    if key is None or state is None:
        return None
    at = Reader(said, body.warnings, "metadata.").time(f"{key}_at") or granted_at
    return {"email": {"state": state} | ({"at": iso(at)} if at else {})}


def _metadata(body: Reader) -> Json:
    given = body.fields.get("metadata")
    if isinstance(given, list):
        rows = [(row.text("key"), row.text("value")) for row in body.rows("metadata")]
        return {key.lower(): value for key, value in rows if key is not None}
    return {str(key).lower(): value for key, value in body.nested("metadata").fields.items()}


def _locale(code: str | None) -> str | None:
    """``EN_US`` as GraphQL's enumeration writes it becomes ``en-US``."""
    if code is None:
        return None
    language, *rest = code.replace("_", "-").split("-")
    tail = [each.title() if len(each) == len("Hans") else each.upper() for each in rest]
    return "-".join([language.lower(), *tail])[: ids.VALUE_MAX_CHARS]


def checkout_token(value: str | None) -> str | None:
    """The same for GraphQL's ``token``, its ``id`` and an order's ``checkoutId``."""
    return local_id(value, "Checkout")


def local_id(value: str | None, kind: str | None = None) -> str | None:
    """What a global id names: ``base64("Checkout:…")``; anything else stays as it is."""
    if value is None:
        return None
    try:
        name, colon, local = b64decode(value, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        return value
    if not colon or not name.isalnum() or (kind is not None and name != kind):
        return value
    return local or value
