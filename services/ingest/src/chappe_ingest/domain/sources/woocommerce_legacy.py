"""WooCommerce's "Legacy API v3" webhooks (until 8.x, then a plugin), rewritten as today's.

The object stands under its own name, with ``…_at`` times that say their zone.
"""

from typing import Any, Final, cast

from chappe_ingest.domain.reading import Json

_THINGS: Final = ("order", "customer")
_NO_TIME: Final = "1970-01-01T00:00:00"
_NAMES: Final = {
    "created_at": "date_created_gmt",
    "updated_at": "date_modified_gmt",
    "last_update": "date_modified_gmt",
    "completed_at": "date_completed_gmt",
    "order_number": "number",
    "total_discount": "discount_total",
    "total_shipping": "shipping_total",
    "billing_address": "billing",
    "shipping_address": "shipping",
}


def thing_of(fields: Json) -> str | None:
    """What is wrapped: ``order`` or ``customer``; None for today's bodies."""
    wrapped = [name for name in _THINGS if isinstance(fields.get(name), dict)]
    return wrapped[0] if len(wrapped) == 1 and "id" not in fields else None


def as_v3(fields: Json, thing: str) -> Json:
    """Says "paid" but not when: then at the order's last change. A time it lacks is 1970."""
    found = {
        _NAMES.get(name, name): value
        for name, value in _object(fields[thing]).items()
        if not (name.endswith("_at") and str(value).startswith(_NO_TIME))
    }
    payment = _object(found.get("payment_details"))
    found.setdefault("payment_method_title", payment.get("method_title"))
    if payment.get("paid") is True:
        found.setdefault("date_paid_gmt", found.get("date_modified_gmt"))
    return found


def _object(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}
