"""What Commerce's objects have in common."""

import dataclasses
import datetime as dt

from chappe.events import RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.normalised import scope_of
from chappe_ingest.domain.reading import Json, Reader, decimal_of
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.facts import Delivery


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
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


def address_of(body: Reader) -> Reader:
    """Billing, else the first that came."""
    for name in ("billing_address", "shipping_address"):
        if isinstance(body.fields.get(name), dict):
            return body.nested(name)
    rows = list(body.rows("addresses")) if isinstance(body.fields.get("addresses"), list) else []
    return rows[0] if rows else Reader({}, body.warnings)


def traits_of(who: Reader, address: Reader, *, prefix: str = "") -> Json:
    country = address.text("country_id")
    return facts.present(
        {
            "first_name": who.text(f"{prefix}firstname") or address.text("firstname"),
            "last_name": who.text(f"{prefix}lastname") or address.text("lastname"),
            "country": country.upper() if country and len(country) == len("FR") else None,
        }
    )


def items_of(body: Reader, currency: str | None) -> list[Json]:
    """A configurable product and its chosen child are two lines with one sku: the parent stays."""
    lines = [line for line in body.rows("items") if line.id("parent_item_id") is None]
    return [item_of(line, currency) for line in lines]


def item_of(line: Reader, currency: str | None) -> Json:
    quantity = decimal_of(line.fields.get("qty_ordered") or line.fields.get("qty"))
    return {
        "product_id": line.id("product_id"),
        "variant_id": None,
        "sku": line.text("sku"),
        "title": line.text("name"),
        "quantity": None if quantity is None else int(quantity),
        "price": money_in(line, currency, "price", "base_price"),
    }


def money_in(body: Reader, currency: str | None, *names: str) -> Json | None:
    """Magento writes 49.9000; two decimals say the same."""
    found = body.money(currency, *names)
    if found is None:
        return None
    whole, _, decimals = str(found["amount"]).partition(".")
    decimals = decimals.rstrip("0").ljust(2, "0") if decimals else ""
    return found | {"amount": f"{whole}.{decimals}" if decimals else whole}


def discount_of(body: Reader, currency: str | None) -> Json | None:
    """Magento writes a discount as a negative amount."""
    found = money_in(body, currency, "discount_amount")
    return found and found | {"amount": str(found["amount"]).removeprefix("-")}


def codes_of(body: Reader) -> list[str]:
    code = body.text("coupon_code")
    return [] if code is None else [code]
