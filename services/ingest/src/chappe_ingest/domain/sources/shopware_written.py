"""Shopware's ``*.written``: ids alone, until the shop has been asked what they are."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.normalised import Hydration
from chappe_ingest.domain.reading import Json, Reader
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.facts import Happening, Meant
from chappe_ingest.domain.sources.shopware_events import customer_meant, order_meant
from chappe_ingest.domain.sources.shopware_reading import DELETED, Told


def written_news(told: Told) -> Iterator[Meant]:
    """One event for each thing that was written: in full where it was found, else with its id."""
    for row in told.data.rows("payload"):
        kind = row.text("entity") or told.event.partition(".")[0]
        number = row.id("primaryKey", "id")
        gone = told.event.endswith(f".{DELETED}") or row.text("operation") == "delete"
        about = told.found.get(number or "") if not gone else None
        if kind == "product":
            yield _product(told, row, number, gone=gone)
        elif kind == "customer":
            yield customer_meant(told, about) if about else _customer_id(told, number, gone=gone)
        elif kind == "order":
            yield order_meant(told, about) if about else _order_id(told, number, gone=gone)


def _product(told: Told, row: Reader, number: str | None, *, gone: bool) -> Meant:
    fields = row.fields.get("updatedFields")
    changed = cast("list[Any]", fields) if isinstance(fields, list) else []
    return Meant(
        happenings=(Happening("custom.product_saved", told.delivery.at(told.sent_at)),),
        identifiers=facts.shop_itself(told.delivery.raw),
        object=facts.object_ref("product", number, told.version(None)),
        data={
            "product_id": number,
            "operation": row.text("operation"),
            "deleted": gone,
            "fields": [each[:100] for each in changed[:200] if isinstance(each, str)],
        },
    )


def _customer_id(told: Told, number: str | None, *, gone: bool) -> Meant:
    at = told.delivery.at(told.sent_at)
    news = Happening("contact.deleted", at, number) if gone else Happening("contact.updated", at)
    return Meant(
        happenings=(news,),
        identifiers=ids.distinct(ids.external_id(number, told.delivery.raw.namespace)),
        object=facts.object_ref("customer", number, told.version(None)),
        data={"customer_id": number},
        hydration=None if gone else _search(told, "customer"),
    )


def _order_id(told: Told, number: str | None, *, gone: bool) -> Meant:
    """Deleting tidies up; it cancels nothing."""
    return Meant(
        happenings=(Happening("order.updated", told.delivery.at(told.sent_at)),),
        identifiers=facts.itself(told.delivery.raw, "order", number),
        object=facts.object_ref("order", number, told.version(None)),
        data={"order_id": number} | ({"status": "deleted"} if gone else {}),
        hydration=None if gone else _search(told, "order"),
    )


def _search(told: Told, kind: str) -> Hydration | None:
    """One question for everything of ``kind`` that was written. Ids are checked: 32 hex digits."""
    rows = (
        row.id("primaryKey", "id")
        for row in told.data.rows("payload")
        if row.text("entity") in (None, kind) and row.text("operation") != "delete"
    )
    wanted = list(dict.fromkeys(each for each in rows if each and _ID.fullmatch(each)))
    if not wanted:
        return None
    sought = {"ids": wanted[:SOUGHT_MAX], "limit": SOUGHT_MAX, "associations": _WITH[kind]}
    return Hydration(f"/api/search/{kind}", json.dumps(sought))


SOUGHT_MAX: Final = 50
"""Things that one question names; a webhook of more keeps their ids."""


_ID = re.compile(r"[0-9a-f]{32}")

_PLACE: Final[Json] = {"associations": {"country": {}}}

_LANGUAGE: Final[Json] = {"associations": {"locale": {}}}

_STATES: Final[Json] = {"associations": {"stateMachineState": {}}}

_WITH: Final[dict[str, Json]] = {
    "order": {
        "orderCustomer": {},
        "currency": {},
        "language": _LANGUAGE,
        "addresses": _PLACE,
        "lineItems": {"associations": {"cover": {}}},
        "transactions": _STATES,
        "deliveries": _STATES,
        "stateMachineState": {},
    },
    "customer": {"defaultBillingAddress": _PLACE, "language": _LANGUAGE},
}
"""What the Admin API leaves out unless it is asked for (Shopware docs, search criteria)."""
