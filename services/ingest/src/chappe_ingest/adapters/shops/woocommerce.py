"""WooCommerce's REST API v3, whose documents are those of its webhooks.

Its lists are counted from the front, and a list may shift while it is read: so orders are asked
for by the time of the last one seen, and neighbouring pages overlap where times are equal.
Customers cannot be asked for by their last change; they are read from the newest backwards.
"""

import base64
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from chappe.http import OutboundAnswer
from chappe_ingest.adapters.shops.asking import Asker, read
from chappe_ingest.application.pulling_ports import ShopRefuses, Told
from chappe_ingest.domain.pulls import CUSTOMERS, ORDERS, Document, Found, Window
from chappe_ingest.domain.reading import iso, parse_time

PAGE: Final = 50
SHIFT: Final = 10
"""So many may vanish from a list between two of its pages without one being missed."""

REST_SECONDS: Final = 0.25
"""Between two pages: the shop's own buyers share its PHP workers."""

_API: Final = "/wp-json/wc/v3"
_SECOND: Final = dt.timedelta(seconds=1)
_ORDER_LIST: Final[Mapping[str, str]] = {"orderby": "modified", "order": "asc", "status": "any"}
_CUSTOMER_LIST: Final[Mapping[str, str]] = {"orderby": "registered_date", "order": "desc"}


class _Seen(msgspec.Struct):
    id: Any = None
    date_modified_gmt: Any = None
    date_created_gmt: Any = None


_rows = msgspec.json.Decoder(list[msgspec.Raw])
_seen = msgspec.json.Decoder(_Seen)


class WooShop:
    """One site, at the root of its host."""

    polled: Sequence[str] = (ORDERS, CUSTOMERS)
    backfilled: Sequence[str] = (CUSTOMERS, ORDERS)

    def __init__(self, asker: Asker, token: str) -> None:
        self._asker = asker
        self._headers = {"Authorization": f"Basic {base64.b64encode(token.encode()).decode()}"}

    @property
    def host(self) -> str:
        return self._asker.host

    async def page(self, subject: str, window: Window, cursor: str | None) -> Found:
        if subject == CUSTOMERS:
            return await self._customers(window, cursor)
        since, offset = _place(cursor, window.since)
        answer, documents = await self._list(
            ORDERS, _orders_asked(Window(since, window.until)), offset, window.since
        )
        newest = max((each.at for each in documents), default=None)
        following = None
        if documents and _more(answer, offset, len(documents)):
            behind = (newest or since) - _SECOND
            if behind > since:
                following = f"{iso(behind)} 0"
            else:  # more of one second than a page holds
                following = f"{iso(since)} {offset + max(len(documents) - SHIFT, 1)}"
        return Found(documents, following, newest, REST_SECONDS if following else 0.0)

    async def _customers(self, window: Window, cursor: str | None) -> Found:
        """``cursor``: the newest of all pages, and how many were read."""
        newest, offset = _place(cursor, window.since)
        answer, listed = await self._list(CUSTOMERS, dict(_CUSTOMER_LIST), offset, window.since)
        documents = [each for each in listed if each.at >= window.since]
        newest = max((newest, *(each.at for each in documents)))
        at_end = len(documents) < len(listed) or not _more(answer, offset, len(listed))
        if at_end or not listed:
            return Found(documents, None, newest)
        place = f"{iso(newest)} {offset + max(len(listed) - SHIFT, 1)}"
        return Found(documents, place, None, REST_SECONDS)

    async def count(self, subject: str, window: Window) -> int | None:
        """Of customers all, however long they have been there."""
        asked = dict(_CUSTOMER_LIST) if subject == CUSTOMERS else _orders_asked(window)
        query = {**asked, "per_page": "1"}
        answer = await self._asker.get(f"{_API}/{subject}", query, self._headers)
        return _total(answer)

    async def leaves_out(self, since: dt.datetime, now: dt.datetime) -> str | None:  # noqa: ARG002
        """A consumer key that may read sees everything."""
        return None

    async def unsubscribe(self, external_id: str, at: dt.datetime) -> Told:  # noqa: ARG002
        """WooCommerce's core has no consent; what plugins hold has no common API."""
        return Told.NO_FIELD

    async def _list(
        self, subject: str, asked: Mapping[str, str], offset: int, otherwise: dt.datetime
    ) -> tuple[OutboundAnswer, list[Document]]:
        query = {**asked, "per_page": str(PAGE), "offset": str(offset)}
        answer = await self._asker.get(f"{_API}/{subject}", query, self._headers)
        rows = read(answer, _rows)
        return answer, [_document(subject, bytes(each), otherwise) for each in rows]


def _orders_asked(window: Window) -> dict[str, str]:
    asked = {**_ORDER_LIST, "dates_are_gmt": "true", "modified_after": _gmt(window.since)}
    if window.until is not None:
        asked["modified_before"] = _gmt(window.until + _SECOND)
    return asked


def _gmt(at: dt.datetime) -> str:
    """Without a zone, as WooCommerce writes it."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _place(cursor: str | None, otherwise: dt.datetime) -> tuple[dt.datetime, int]:
    if cursor is None:
        return otherwise, 0
    at, _, offset = cursor.partition(" ")
    return parse_time(at) or otherwise, int(offset)


def _document(subject: str, body: bytes, otherwise: dt.datetime) -> Document:
    """A customer's time is when they registered: the list is by that."""
    try:
        seen = _seen.decode(body)
    except msgspec.MsgspecError as error:
        raise ShopRefuses(f"the shop's {subject} are no objects") from error
    changed = None if subject == CUSTOMERS else parse_time(seen.date_modified_gmt)
    at = changed or parse_time(seen.date_created_gmt) or otherwise
    return Document(f"{seen.id}"[:200], at, body)


def _total(answer: OutboundAnswer) -> int | None:
    said = answer.headers.get("x-wp-total", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 12 else None  # noqa: PLR2004


def _more(answer: OutboundAnswer, offset: int, got: int) -> bool:
    total = _total(answer)
    return got >= PAGE if total is None else offset + got < total
