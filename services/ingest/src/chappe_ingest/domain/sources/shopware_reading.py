"""What Shopware's objects have in common."""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Final

from chappe_ingest.domain.reading import Json, Reader
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.facts import Delivery

DELETED: Final = "deleted"
WRITTEN: Final = frozenset(
    f"{name}.{end}" for name in ("product", "customer", "order") for end in ("written", DELETED)
)
"""Events that name ids alone."""

_NO_PRODUCT: Final = frozenset({"promotion", "discount", "credit", "container"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    delivery: Delivery
    event: str
    data: Reader
    sent_at: dt.datetime | None
    found: Mapping[str, Reader]

    @property
    def payload(self) -> Reader:
        return self.data.nested("payload")

    def version(self, updated: dt.datetime | None) -> str | dt.datetime | None:
        """The shop's own counter sorts best; it sorts after any time, for shops that turn it on."""
        sequence = self.delivery.raw.headers.get("x-shopware-sequence", "")
        if sequence.isascii() and sequence.isdigit() and len(sequence) <= len(str(2**64)):
            return f"s{int(sequence):020d}"
        return self.sent_at or updated


def state_of(body: Reader) -> str | None:
    return body.nested("stateMachineState").text("technicalName")


def billing_of(order: Reader) -> Reader:
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


def traits_of(who: Reader, address: Reader, language: Reader) -> Json:
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


def items_of(told: Told, order: Reader, currency: str | None) -> Iterator[Json]:
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


def codes_of(order: Reader) -> Iterator[str]:
    for line in order.rows("lineItems"):
        code = line.nested("payload").text("code") if line.text("type") == "promotion" else None
        if code is not None:
            yield code
