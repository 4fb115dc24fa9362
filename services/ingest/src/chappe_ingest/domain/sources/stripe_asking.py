"""What Stripe's snapshots leave out, and what of the API's answer is taken for it.

The answer is as things stand now and the snapshot as they stood then, so of the answer come only
the line items and the customer.
"""

import re
from typing import Final

from chappe_ingest.domain.normalised import Hydration
from chappe_ingest.domain.reading import Json, Reader
from chappe_ingest.domain.sources.stripe_reading import expanded, reference

_SESSION = re.compile(r"cs_[0-9A-Za-z_]{1,180}")
_CUSTOMER = re.compile(r"cus_[0-9A-Za-z]{1,180}")
_SESSIONS: Final = frozenset(
    f"checkout.session.{end}" for end in ("completed", "async_payment_succeeded", "expired")
)
_OF_CUSTOMERS: Final = ("customer.subscription.", "invoice.", "payment_intent.succeeded")
_EMAILS: Final = ("customer_email", "receipt_email")


def question(kind: str, about: Reader) -> Hydration | None:
    """``kind`` is the event's type, ``about`` its object."""
    if kind in _SESSIONS:
        number = about.id("id") or ""
        if "line_items" in about.fields or not _SESSION.fullmatch(number):
            return None
        expand = "expand%5B%5D=line_items&expand%5B%5D=customer"
        return Hydration(f"/v1/checkout/sessions/{number}?{expand}")
    customer = reference(about, "customer") or ""
    if not kind.startswith(_OF_CUSTOMERS) or not _CUSTOMER.fullmatch(customer):
        return None
    if expanded(about, "customer").text("email") or about.text(*_EMAILS):
        return None
    return Hydration(f"/v1/customers/{customer}")


def filled(about: Reader, answer: Json) -> Reader:
    """``about`` with what the answer adds; as it was when the answer is of something else."""
    more: Json = {}
    if answer.get("object") == "customer" and answer.get("id") == reference(about, "customer"):
        more["customer"] = answer
    elif answer.get("object") == "checkout.session" and answer.get("id") == about.id("id"):
        names = ("line_items", "customer")
        more = {name: answer[name] for name in names if isinstance(answer.get(name), dict)}
    return Reader(about.fields | more, about.warnings, about.where)
