"""Shopify's Admin API: read as REST, whose documents are those of its webhooks; write as GraphQL.

GraphQL's orders have no cart token and its abandoned checkouts no token at all (2026-07), and by
those a recovered order finds the cart it ends (docs/adr/0013-pulling-from-shops.md).
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from chappe.http import OutboundAnswer
from chappe_ingest.adapters.shops.asking import REST_SECONDS_MAX, Asker, read
from chappe_ingest.application.pulling_ports import (
    ShopBusy,
    ShopForbids,
    ShopRefuses,
    Told,
)
from chappe_ingest.domain.pulls import (
    CHECKOUTS,
    CUSTOMERS,
    ORDERS,
    SHOPIFY_VERSION,
    Document,
    Found,
    Window,
)
from chappe_ingest.domain.reading import iso, parse_time

PAGE: Final = 50
UNSEEN_AFTER: Final = dt.timedelta(days=60)
"""Without ``read_all_orders`` an app sees no older orders, and is not told so."""

_ADMIN: Final = f"/admin/api/{SHOPIFY_VERSION}"
_SCOPES: Final = "/admin/oauth/access_scopes.json"
_ORDERED: Final = frozenset({ORDERS, CUSTOMERS})
"""Lists that come in the order of ``updated_at`` when asked to; abandoned checkouts do not."""

_FILTERS: Final[Mapping[str, Mapping[str, str]]] = {ORDERS: {"status": "any"}}
_CALLS: Final = re.compile(r"(\d{1,6})/(\d{1,6})")
_LINK: Final = re.compile(r'<([^>]{1,4000})>\s*;\s*rel="?next"?')
_REFILL_SECONDS: Final = 20.0
"""An empty bucket is full again after so long, on every plan."""

CONSENT: Final = """
query ($id: ID!) {
  customer(id: $id) { id defaultEmailAddress { marketingState marketingUpdatedAt } }
}
"""

UNSUBSCRIBE: Final = """
mutation ($input: CustomerEmailMarketingConsentUpdateInput!) {
  customerEmailMarketingConsentUpdate(input: $input) { userErrors { message } }
}
"""


class _Seen(msgspec.Struct):
    id: Any = None
    token: Any = None
    updated_at: Any = None
    created_at: Any = None


class _Count(msgspec.Struct):
    count: int


class _Scope(msgspec.Struct):
    handle: str


class _Scopes(msgspec.Struct):
    access_scopes: list[_Scope]


class _Throttle(msgspec.Struct):
    currentlyAvailable: float = 0.0  # noqa: N815 - Shopify's spelling
    restoreRate: float = 50.0  # noqa: N815 - Shopify's spelling


class _Cost(msgspec.Struct):
    requestedQueryCost: float = 0.0  # noqa: N815 - Shopify's spelling
    throttleStatus: _Throttle = msgspec.field(default_factory=_Throttle)  # noqa: N815


class _Extensions(msgspec.Struct):
    cost: _Cost = msgspec.field(default_factory=_Cost)


class _ErrorCode(msgspec.Struct):
    code: str = ""


class _GraphError(msgspec.Struct):
    message: str = ""
    extensions: _ErrorCode = msgspec.field(default_factory=_ErrorCode)


class _Email(msgspec.Struct):
    marketingState: str | None = None  # noqa: N815 - Shopify's spelling
    marketingUpdatedAt: str | None = None  # noqa: N815 - Shopify's spelling


class _Customer(msgspec.Struct):
    defaultEmailAddress: _Email | None = None  # noqa: N815 - Shopify's spelling


class _UserError(msgspec.Struct):
    message: str = ""


class _Updated(msgspec.Struct):
    userErrors: list[_UserError] = []  # noqa: N815 - Shopify's spelling


class _Data(msgspec.Struct):
    customer: _Customer | None = None
    customerEmailMarketingConsentUpdate: _Updated | None = None  # noqa: N815


class _Graph(msgspec.Struct):
    data: _Data | None = None
    errors: list[_GraphError] = []
    extensions: _Extensions = msgspec.field(default_factory=_Extensions)


_rows = msgspec.json.Decoder(dict[str, list[msgspec.Raw]])
_seen = msgspec.json.Decoder(_Seen)
_count = msgspec.json.Decoder(_Count)
_scopes = msgspec.json.Decoder(_Scopes)
_graph = msgspec.json.Decoder(_Graph)
_encode = msgspec.json.Encoder().encode


class ShopifyShop:
    """One shop under its ``myshopify.com`` name."""

    polled: Sequence[str] = (ORDERS, CUSTOMERS, CHECKOUTS)
    backfilled: Sequence[str] = (CUSTOMERS, ORDERS)

    def __init__(self, asker: Asker, token: str) -> None:
        self._asker = asker
        self._headers = {"X-Shopify-Access-Token": token}

    @property
    def host(self) -> str:
        return self._asker.host

    async def page(self, subject: str, window: Window, cursor: str | None) -> Found:
        """``cursor``: the newest change of the pages before, and Shopify's own place."""
        before, _, place = (cursor or "").partition(" ")
        query = {"limit": str(PAGE)}
        query |= {"page_info": place} if place else _asked(subject, window)
        answer = await self._asker.get(
            f"{_ADMIN}/{subject}.json",
            query,
            self._headers,
            in_list=bool(place),
            optional=subject == CHECKOUTS,
        )
        raw = read(answer, _rows).get(subject)
        if raw is None:
            raise ShopRefuses(f"the shop's answer has no {subject}")
        documents = [_document(subject, bytes(each), window.since) for each in raw]
        newest = max(
            (each.at for each in documents), default=parse_time(before) if before else None
        )
        if before and newest is not None:
            newest = max(newest, parse_time(before) or newest)
        following = _place_of_next(answer)
        ordered = subject in _ORDERED or following is None
        return Found(
            documents,
            cursor=f"{iso(newest or window.since)} {following}" if following else None,
            at=newest if ordered else None,
            rest_seconds=_rest(answer),
        )

    async def count(self, subject: str, window: Window) -> int | None:
        query = _asked(subject, window)
        query.pop("order", None)
        answer = await self._asker.get(f"{_ADMIN}/{subject}/count.json", query, self._headers)
        return read(answer, _count).count

    async def leaves_out(self, since: dt.datetime, now: dt.datetime) -> str | None:
        if now - since <= UNSEEN_AFTER:
            return None
        answer = await self._asker.get(_SCOPES, {}, self._headers)
        held = {scope.handle for scope in read(answer, _scopes).access_scopes}
        if "read_all_orders" in held:
            return None
        return (
            "orders older than 60 days are left out: the app needs the permission read_all_orders"
        )

    async def unsubscribe(self, external_id: str, at: dt.datetime) -> Told:
        """Looks first: what the customer said to the shop later than to us stays."""
        if not external_id.isascii() or not external_id.isdigit():
            return Told.NO_CUSTOMER
        gid = f"gid://shopify/Customer/{external_id}"
        found = await self._graph(CONSENT, {"id": gid}, "read_customers")
        customer = found.customer
        if customer is None or customer.defaultEmailAddress is None:
            return Told.NO_CUSTOMER
        held = customer.defaultEmailAddress
        if held.marketingState == "UNSUBSCRIBED":
            return Told.KNOWN
        since = parse_time(held.marketingUpdatedAt)
        if held.marketingState == "SUBSCRIBED" and since is not None and since > at:
            return Told.OVERTAKEN
        consent = {"marketingState": "UNSUBSCRIBED", "consentUpdatedAt": iso(at)}
        wanted = {"input": {"customerId": gid, "emailMarketingConsent": consent}}
        done = await self._graph(UNSUBSCRIBE, wanted, "write_customers")
        outcome = done.customerEmailMarketingConsentUpdate
        return Told.NO_CUSTOMER if outcome is None or outcome.userErrors else Told.WRITTEN

    async def _graph(self, query: str, variables: Mapping[str, Any], scope: str) -> _Data:
        content = _encode({"query": query, "variables": variables})
        answer = await self._asker.post(f"{_ADMIN}/graphql.json", self._headers, content)
        found = read(answer, _graph)
        codes = {each.extensions.code for each in found.errors}
        if "THROTTLED" in codes:
            raise ShopBusy(f"{self.host} asks for patience", _patience(found.extensions.cost))
        if "ACCESS_DENIED" in codes:
            raise ShopForbids(f"the app needs the permission {scope}")
        if found.errors or found.data is None:
            raise ShopBusy(f"{self.host} answers with an error: {', '.join(sorted(codes))[:100]}")
        return found.data


def _asked(subject: str, window: Window) -> dict[str, str]:
    query = {"updated_at_min": iso(window.since), **_FILTERS.get(subject, {})}
    if subject in _ORDERED:
        query["order"] = "updated_at asc"
    if window.until is not None:
        query["updated_at_max"] = iso(window.until)
    return query


def _document(subject: str, body: bytes, otherwise: dt.datetime) -> Document:
    try:
        seen = _seen.decode(body)
    except msgspec.MsgspecError as error:
        raise ShopRefuses(f"the shop's {subject} are no objects") from error
    number = seen.token if subject == CHECKOUTS and seen.token else seen.id
    at = parse_time(seen.updated_at) or parse_time(seen.created_at) or otherwise
    return Document(f"{number}"[:200], at, body)


def _place_of_next(answer: OutboundAnswer) -> str | None:
    """Only the place is taken from the link: its host is the shop's to say, not ours to trust."""
    link = _LINK.search(answer.headers.get("link", ""))
    if link is None:
        return None
    place = parse_qs(urlsplit(link.group(1)).query).get("page_info")
    return place[0] if place else None


def _rest(answer: OutboundAnswer) -> float:
    """The bucket is used to its half, so that the shop's other apps have theirs."""
    calls = _CALLS.fullmatch(answer.headers.get("x-shopify-shop-api-call-limit", "").strip())
    if calls is None:
        return 0.0
    used, size = int(calls.group(1)), max(int(calls.group(2)), 1)
    return max(used - size / 2, 0.0) / size * _REFILL_SECONDS


def _patience(cost: _Cost) -> dt.timedelta:
    """Until so much is restored as the query costs."""
    missing = cost.requestedQueryCost - cost.throttleStatus.currentlyAvailable
    seconds = missing / max(cost.throttleStatus.restoreRate, 1.0)
    return dt.timedelta(seconds=min(max(seconds, 1.0), REST_SECONDS_MAX))
