"""What Stripe's objects have in common: money in smallest units, references, people."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Final, cast

from chappe.events import Identifier, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.privacy import free_form
from chappe_ingest.domain.reading import Json, Reader
from chappe_ingest.domain.sources.facts import by_object, customer_of, happened_at, money, some

_NO_DECIMALS: Final = frozenset(
    {
        *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
        *("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"),
    }
)
"""docs.stripe.com/currencies. UGX and ISK have none either, but Stripe writes them with two."""
_THREE_DECIMALS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """``object`` is what the event is about; ``event`` its envelope."""

    raw: RawRecord
    type: str
    event: Reader
    object: Reader
    links: Links

    @property
    def created(self) -> dt.datetime | None:
        """When Stripe wrote the event down: its version of the object."""
        return self.event.time("created")

    def at(self, *candidates: dt.datetime | None) -> dt.datetime:
        return happened_at(self.raw, *candidates, self.created)


def amount(body: Reader, name: str, currency: str | None) -> Json | None:
    """Major units: 1900 is 19.00 EUR, 1900 JPY, and 1.900 KWD."""
    if body.fields.get(name) is None:
        return None
    minor = body.number(name)
    return None if minor is None else major(minor, currency)


def major(minor: int | Decimal, currency: str | None) -> Json:
    places = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    return money(Decimal(minor).scaleb(-places), currency)


def reference(body: Reader, name: str) -> str | None:
    """The id under ``name``, which is a text, or the whole object when it was expanded."""
    if isinstance(body.fields.get(name), dict):
        return body.nested(name).id("id")
    return body.id(name)


def expanded(body: Reader, name: str) -> Reader:
    """The object under ``name`` when it was expanded, else an empty one."""
    value = body.fields.get(name)
    if isinstance(value, dict):
        return Reader(cast("Json", value), body.warnings, f"{body.where}{name}.")
    return Reader({}, body.warnings, f"{body.where}{name}.")


def customer_named(raw: RawRecord, number: str | None) -> Identifier | None:
    return customer_of(raw, number)


def by_reference(raw: RawRecord, kind: str, number: str | None) -> Identifier | None:
    """Joins what names nobody: a refund to its payment, an invoice to its subscription."""
    return by_object(raw, kind, number)


def names(full: str | None) -> Json:
    """Stripe has one field for the whole name."""
    if full is None:
        return {}
    first, _, last = full.partition(" ")
    return some(name=full, first_name=first, last_name=last.strip() or None)


def person(body: Reader, customer: Reader) -> Json:
    """Traits of ``customer_details``, ``billing_details`` or a customer, whichever is there."""
    address = body.nested("address") if "address" in body.fields else customer.nested("address")
    return names(body.text("name") or customer.text("name")) | some(
        country=address.text("country"), locale=first_locale(customer)
    )


def first_locale(customer: Reader) -> str | None:
    given = customer.fields.get("preferred_locales")
    first = cast("list[object]", given)[0] if isinstance(given, list) and given else None
    return first[: ids.VALUE_MAX_CHARS] if isinstance(first, str) and first else None


def metadata(delivery: Delivery, body: Reader) -> Json:
    """The merchant's own, without what looks like a secret."""
    kept = free_form(body.nested("metadata"), delivery.links)
    return {"metadata": kept} if kept else {}
