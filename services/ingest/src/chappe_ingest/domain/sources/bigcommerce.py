"""BigCommerce's webhooks: a scope and an id, and nothing about anybody.

What can be said from the ids is said; the rest is asked of the store's API by a hydration, and
``bigcommerce_documents`` reads the answer.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec

from chappe.events import RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain import verify as checks
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Json, Reader, Unreadable, parse, parse_any
from chappe_ingest.domain.sources import bigcommerce_documents as documents
from chappe_ingest.domain.sources import bigcommerce_notices as notices
from chappe_ingest.domain.sources import standard_webhooks
from chappe_ingest.domain.sources.bigcommerce_notices import Notice
from chappe_ingest.domain.sources.facts import Meant, not_understood, told

VENDOR_HOSTS: Final = ("mybigcommerce.com", "bigcommerce.com")
SECRET_HEADER: Final = "x-chappe-secret"  # noqa: S105 - the name of a header
HEADERS: Final = frozenset({"webhook-id", "webhook-timestamp"})
WE_ISSUE_SECRET: Final = False
SCOPES: Final = (
    "store/cart/*",
    "store/order/*",
    "store/shipment/created",
    "store/customer/*",
    "store/subscriber/*",
)
SETUP: Final = (
    "In BigCommerce open Settings > API > Store-level API accounts.",
    "Create one with Carts, Orders, Customers and Information & settings, all read-only.",
    "Keep its client secret, its access token and its store hash.",
    "Give Chappe the client secret: chappe sources set-secret {name} --secret CLIENT_SECRET",
    "Send, once for each scope: POST https://api.bigcommerce.com/stores/STORE_HASH/v3/hooks",
    "its header X-Auth-Token: ACCESS_TOKEN, its type application/json, and its body",
    '{"scope": SCOPE, "destination": "{url}", "is_active": true}',
    f"The scopes: {', '.join(SCOPES)}.",
    f'A secret of your own does too: set it, and add "headers": {{"{SECRET_HEADER}": SECRET}}.',
    "To ask for the rest: chappe sources api-token {name} --token STORE_HASH:ACCESS_TOKEN",
    "Add your shop's own domain, so that its links stay in your mails: --domain SHOP.example",
    "Change an order's status, then look at: chappe sources status {name}",
)

_Scope: TypeAlias = Callable[[Notice], Meant]
_SCOPES: Final[dict[str, _Scope]] = {
    "cart/created": notices.cart,
    "cart/updated": notices.cart,
    "cart/couponApplied": notices.cart,
    "cart/lineItem/created": notices.cart,
    "cart/lineItem/updated": notices.cart,
    "cart/lineItem/deleted": notices.cart,
    "cart/deleted": notices.cart_deleted,
    "cart/abandoned": notices.cart_abandoned,
    "cart/converted": notices.cart_converted,
    "order/created": notices.order,
    "order/updated": notices.order,
    "order/archived": notices.order,
    "order/statusUpdated": notices.order,
    "order/refund/created": notices.refund,
    "shipment/created": notices.shipment,
    "customer/created": notices.customer,
    "customer/updated": notices.customer,
    "customer/deleted": notices.customer,
    "customer/address/created": notices.customer,
    "customer/address/updated": notices.customer,
    "customer/address/deleted": notices.customer,
    "subscriber/created": notices.subscriber,
    "subscriber/updated": notices.subscriber,
    "subscriber/deleted": notices.subscriber,
    "hook/deliveryException": notices.trouble,
    "app/uninstalled": notices.uninstalled,
}
_DOCUMENTS: Final[dict[str, Callable[[Notice, Reader], Meant]]] = {
    "cart": documents.cart,
    "order": documents.order,
    "shipment": documents.order,
    "customer": documents.customer,
    "subscriber": documents.subscriber,
}
_PREFIX = re.compile(r"store/(?:channel/[0-9]+/)?|channel/[0-9]+/")


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """What the ids say; ``hydration`` is what to ask for to say it in full."""
    notice = _notice(raw, links)
    understand = _SCOPES.get(notice.scope)
    if understand is None:
        return not_understood(f"the scope {notice.topic}", _delivery(notice), notice.body.warnings)
    return _told(notice, understand(notice))


def hydrated(raw: RawRecord, document: bytes, links: Links) -> Normalised:
    """As ``normalise``, with the API's answer to its hydration. Raises ``Unreadable``.

    For an answer that is empty or not of this thing the ids have to do.
    """
    notice = _notice(raw, links)
    read = _DOCUMENTS.get(notice.scope.partition("/")[0])
    about = _first(parse_any(document), notice.body.warnings)
    if notice.scope == "order/refund/created":
        read = documents.refund
    if read is None or about is None:
        return normalise(raw, links)
    return _told(notice, read(notice, about))


def _first(document: Any, warnings: list[str]) -> Reader | None:
    """v2 answers with the object, v3 with ``{"data": …}``, for searches with a list of one."""
    found = cast("Json", document).get("data", document) if isinstance(document, dict) else document
    if isinstance(found, list):
        found = next(iter(cast("list[Any]", found)), None)
    return Reader(cast("Json", found), warnings) if isinstance(found, dict) and found else None


def _notice(raw: RawRecord, links: Links) -> Notice:
    warnings: list[str] = []
    body = Reader(parse(raw.body), warnings)
    topic = body.text("scope")
    if topic is None:
        raise Unreadable("no notice of BigCommerce's: its scope is missing")
    return Notice(
        raw=raw,
        topic=topic,
        scope=_PREFIX.sub("", topic, count=1) if _PREFIX.match(topic) else topic,
        body=body,
        about=body.nested("data"),
        links=dataclasses.replace(links, vendor=(*links.vendor, *VENDOR_HOSTS)),
    )


def _told(notice: Notice, meant: Meant) -> Normalised:
    return told(
        notice.raw,
        meant,
        source_event=notice.topic,
        test=False,
        delivery=_delivery(notice),
        warnings=notice.body.warnings,
    )


def _delivery(notice: Notice) -> str | None:
    """The signed id, the same on a retry; without it the payload's hash and second."""
    signed = notice.raw.headers.get("webhook-id")
    if signed:
        return f"webhook {signed[:200]}"
    seen = notice.body.id("hash")
    return f"{notice.topic[:100]} {seen} {notice.body.id('created_at')}" if seen else None


def verify(
    body: bytes, headers: checks.Headers, secrets: Sequence[str], now: dt.datetime
) -> checks.Verdict:
    """Standard Webhooks, whose key is the client secret as it is written, not decoded.

    Or a secret of the shop's own in the header that the webhook was made with: ``X-Chappe-Secret``
    or ``Authorization: Bearer``.
    """
    live = [each for each in secrets if each]
    if not live:
        return checks.Verdict(False, "the source has no secret yet")
    if standard_webhooks.is_signed(headers):
        keys = [each.encode("utf-8", "surrogatepass") for each in live]
        return standard_webhooks.verify_with(body, headers, keys, now)
    given = _own_secrets(headers)
    if not given:
        return checks.Verdict(
            False, "the signature headers webhook-id, -timestamp and -signature are missing"
        )
    matched = False
    for candidate in given[: checks.CANDIDATES_MAX]:
        for secret in live:
            matched |= checks.same(candidate, secret)
    if matched and len(given) == 1:
        return checks.VERIFIED
    return checks.Verdict(False, "the secret in the webhook's own header is not the source's")


def _own_secrets(headers: checks.Headers) -> list[str]:
    bearer = (value.strip().partition(" ") for value in checks.values(headers, "authorization"))
    tokens = [rest.strip() for scheme, _, rest in bearer if scheme.lower() == "bearer"]
    return checks.values(headers, SECRET_HEADER) + tokens


class _About(msgspec.Struct):
    id: Any = None
    cart_id: Any = msgspec.field(default=None, name="cartId")
    order_id: Any = msgspec.field(default=None, name="orderId")


class _Entity(msgspec.Struct):
    data: _About = msgspec.field(default_factory=_About)


_entity = msgspec.json.Decoder(_Entity)


def entity(body: bytes, _headers: checks.Headers) -> str | None:
    """The cart of a line, the order of a parcel, else the thing itself."""
    try:
        seen = _entity.decode(body).data
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    for each in (seen.cart_id, seen.id if seen.cart_id is None else None, seen.order_id):
        if isinstance(each, str | int) and not isinstance(each, bool) and each not in ("", 0):
            return str(each)[: ids.VALUE_MAX_CHARS]
    return None
