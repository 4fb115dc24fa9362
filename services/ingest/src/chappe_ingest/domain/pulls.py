"""What is fetched from a shop, and how it becomes deliveries like those that the shop sends.

A fetched document takes the way of a webhook: the same kind reads it, the same keys know it
again. Only a mark says that it was fetched, so that a state which was told already is no news.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chappe_ingest.domain import marks
from chappe_ingest.domain.reading import sortable
from chappe_ingest.domain.source import Source

SHOPIFY: Final = "shopify"
WOOCOMMERCE: Final = "woocommerce"
PULLED_KINDS: Final = (SHOPIFY, WOOCOMMERCE)
SHOPIFY_VERSION: Final = "2026-07"
"""The Admin API's version that is asked for; its documents are those of the webhooks."""

ORDERS: Final = "orders"
CUSTOMERS: Final = "customers"
CHECKOUTS: Final = "checkouts"

OVERLAP: Final = dt.timedelta(minutes=10)
"""Read again at each poll: a shop's copies lag, and clocks differ."""

FIRST_LOOK_BACK: Final = dt.timedelta(hours=4)
"""How far the first poll looks back: as long as a shop repeats its webhooks. What is older is for
a backfill, which leaves these hours alone: what they hold may yet come live.
"""

TAIL_MAX: Final = 2_000
POLL_EVERY: Final = dt.timedelta(minutes=5)
POLL_SPREAD_SECONDS: Final = 60
BACKOFF_MIN: Final = dt.timedelta(seconds=30)
BACKOFF_MAX: Final = dt.timedelta(hours=1)

_TOPICS: Final[Mapping[tuple[str, str], Sequence[str]]] = {
    (SHOPIFY, ORDERS): ("orders/updated",),
    (SHOPIFY, CUSTOMERS): ("customers/update", "customers/create"),
    (SHOPIFY, CHECKOUTS): ("checkouts/update", "checkouts/create"),
    (WOOCOMMERCE, ORDERS): ("order.updated",),
    (WOOCOMMERCE, CUSTOMERS): ("customer.updated", "customer.created"),
}
"""What webhooks would have said. The newest state first, then that there is such a one at all:
its state is known by then, so of an old acquaintance nothing is told twice.
"""


@dataclass(frozen=True, slots=True)
class Document:
    """One order, customer or checkout, as the shop wrote it. ``at``: its last change."""

    id: str
    at: dt.datetime
    body: bytes

    @property
    def name(self) -> str:
        """This state of it: a version of one second may hold two."""
        digest = hashlib.sha256(self.body).hexdigest()[:12]
        return f"{self.id} {digest} {sortable(self.at)}"


@dataclass(frozen=True, slots=True)
class Window:
    """From ``since`` on, up to and with ``until``; None: up to now."""

    since: dt.datetime
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One page. ``cursor`` leads to the next, None: it was the last.

    ``at``: everything up to then has been read; None: cannot be said before the last page.
    ``rest_seconds``: how long the shop wants to be left alone.
    """

    documents: Sequence[Document]
    cursor: str | None = None
    at: dt.datetime | None = None
    rest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a kind of document was reconciled; ``tail`` are the names seen of late."""

    at: dt.datetime
    cursor: str | None = None
    tail: tuple[str, ...] = ()

    @property
    def window(self) -> Window:
        return Window(self.at - OVERLAP)

    def news(self, documents: Iterable[Document]) -> list[Document]:
        known = frozenset(self.tail)
        return [each for each in documents if each.name not in known]

    def after(self, found: Found, now: dt.datetime) -> "Mark":
        """Behind this page. A shop whose clock is ahead moves it no further than ``now``."""
        at = max(self.at, min(found.at, now)) if found.at is not None else self.at
        names = dict.fromkeys((*self.tail, *(each.name for each in found.documents)))
        since = sortable(at - OVERLAP)
        recent = [name for name in names if name.rpartition(" ")[2] >= since]
        return Mark(at, found.cursor, tuple(recent[-TAIL_MAX:]))


def first_mark(source: Source, now: dt.datetime) -> Mark:
    return Mark(max(min(source.created_at, now), now - FIRST_LOOK_BACK))


def backfill_until(source: Source, now: dt.datetime) -> dt.datetime:
    """Where a backfill ends and webhooks and pollers begin."""
    return first_mark(source, now).at


@dataclass(frozen=True, slots=True)
class Posted:
    """A document as a webhook would have brought it."""

    headers: dict[str, str]
    body: bytes


def posted(
    source: Source, host: str, subject: str, document: Document, *, historical: bool
) -> list[Posted]:
    """Raises ``KeyError`` for a kind or subject that nobody pulls."""
    found: list[Posted] = []
    for topic in _TOPICS[source.kind, subject]:
        headers = {marks.PULLED: "1"}
        if historical:
            headers[marks.HISTORICAL] = "1"
        if source.kind == SHOPIFY:
            headers["x-shopify-topic"] = topic
            headers["x-shopify-shop-domain"] = host
            headers["x-shopify-api-version"] = SHOPIFY_VERSION
            headers["x-shopify-event-id"] = f"pulled {document.name}"
        else:
            headers["x-wc-webhook-topic"] = topic
        found.append(Posted(headers, document.body))
    return found


def next_poll(source: str, now: dt.datetime) -> dt.datetime:
    """In some minutes; many sources do not all ask in the same second."""
    seed = hashlib.sha256(f"{source} {int(now.timestamp()) // 60}".encode()).digest()
    spread = int.from_bytes(seed[:4], "big") % POLL_SPREAD_SECONDS
    return now + POLL_EVERY + dt.timedelta(seconds=spread)


def backoff(failures: int, asked: dt.timedelta | None = None) -> dt.timedelta:
    """How long to leave a shop alone after ``failures`` in a row, or as long as it ``asked``."""
    doubled = BACKOFF_MIN * 2 ** min(max(failures - 1, 0), 10)
    return min(max(doubled, asked or dt.timedelta()), BACKOFF_MAX)


def shop_host(source: Source) -> str | None:
    """Which host answers for the shop. Only the source's own domains are ever asked.

    A Shopify shop answers under its ``myshopify.com`` name, WooCommerce under the site's own.
    """
    if source.kind == SHOPIFY:
        return next((each for each in source.domains if each.endswith(".myshopify.com")), None)
    return source.domains[0] if source.domains else None


def no_host(source: Source) -> str:
    """What to do when there is none."""
    wanted = "your-shop.myshopify.com" if source.kind == SHOPIFY else "shop.example.com"
    return (
        "no domain says where the shop's API is: "
        f"chappe sources domains {source.name} --domain {wanted}"
    )
