"""The event names a journey may speak of: the canonical ones, and ``custom.NAME``."""

import re

_FAMILIES = {
    "contact": "created updated consent_changed deleted merged replied tags_changed",
    "cart": "updated",
    "checkout": "started updated expired",
    "order": "placed paid updated fulfilled cancelled refunded",
    "product": "viewed",
    "page": "viewed",
    "subscription": "created renewing cancelled payment_failed",
    "segment": "entered left",
    "journey": "requested started finished",
    "webhook": "answered",
    "email": (
        "accepted delivered deferred bounced rejected opened clicked complained unsubscribed"
        " skipped cancelled failed in_doubt resolved"
    ),
    "privacy": "export_requested erase_requested shop_erase_requested",
}

EVENT_NAMES: frozenset[str] = frozenset(
    f"{family}.{fact}" for family, facts in _FAMILIES.items() for fact in facts.split()
)

_CUSTOM = re.compile(r"custom\.[a-z0-9_]{1,100}")


def is_event_name(name: str) -> bool:
    """True for a canonical name and for any ``custom.`` one in snake case."""
    return name in EVENT_NAMES or _CUSTOM.fullmatch(name) is not None
