"""The outgoing webhook of "Cart Abandonment Recovery for WooCommerce", by CartFlows.

A form without signature, id, time or currency. A cart is known by the session inside its
recovery link, of which we keep a hash: the session itself opens the cart.
"""

import base64
import hashlib
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from chappe.events import RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.reading import Json, Reader
from chappe_ingest.domain.sources.facts import (
    NOTHING,
    Happening,
    Meant,
    email_of,
    happened_at,
    object_ref,
    phone_of,
    some,
)

NAMES_MAX: Final = 50
_TOKEN_CHARS: Final = 32
_MEANS: Final = {
    "abandoned": "checkout.updated",
    "completed": "order.placed",
    "lost": "checkout.expired",
}


def is_cart(fields: Json) -> bool:
    return "order_status" in fields and ("checkout_url" in fields or "cart_total" in fields)


def cart(raw: RawRecord, body: Reader, links: Links) -> Meant:
    status = (body.text("order_status") or "").lower()
    name = _MEANS.get(status)
    if name is None:
        body.note("order_status", "neither abandoned, completed nor lost; it is stored")
        return NOTHING
    found = token(body.text("checkout_url") or "")
    subject = f"cartflows {found}" if found and name != "checkout.updated" else None
    return Meant(
        happenings=(Happening(name, happened_at(raw), subject),),
        identifiers=ids.distinct(
            email_of(body, "email"),
            phone_of(body, "phone_number"),
            ids.token(ids.CHECKOUT_TOKEN, found),
        ),
        object=object_ref("checkout", found, None),
        traits=some(first_name=body.text("first_name"), last_name=body.text("last_name")),
        data={
            "checkout_token": found,
            "total": body.money(None, "cart_total"),
            "items": _items(body),
            "discount_codes": [code] if (code := body.text("coupon_code")) else [],
            "recovery_url": links.take(body, "checkout_url"),
        }
        | ({"completed": True} if name == "order.placed" else {}),
    )


def token(url: str) -> str | None:
    """The same for every link to one cart; a link without a session is its own token."""
    if not url:
        return None
    secret = _session(url) or url
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:_TOKEN_CHARS]


def _session(url: str) -> str | None:
    """``wcf_ac_token`` is base64 of a query that holds the session, and perhaps a coupon."""
    try:
        given = parse_qs(urlsplit(url).query, max_num_fields=NAMES_MAX).get("wcf_ac_token", [""])
        inner = base64.b64decode(unquote(given[0])).decode("utf-8")
        return parse_qs(inner, max_num_fields=NAMES_MAX).get("wcf_session_id", [""])[0] or None
    except ValueError:
        return None


def _items(body: Reader) -> list[Json]:
    """Names are all there is, joined with commas; the table beside them is HTML and stays out."""
    names = (body.text("product_names") or "").split(",")[:NAMES_MAX]
    return [{"title": name.strip()} for name in names if name.strip()]
