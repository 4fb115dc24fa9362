"""Show a delivery to an operator without showing whose it is.

Structure, ids, times, numbers and words of the vendor's own stay readable; free text does not.
"""

import re
from typing import Any, Final, cast

from chappe_ingest.domain.reading import ITEMS_MAX, Json, Unreadable, parse_any

TEXT_MAX_CHARS: Final = 200
DEPTH_MAX: Final = 12

_PLAIN = re.compile(
    r"(?:.*_)?(?:id|ids|at|gmt|date|time|timestamp|status|state|type|topic|event|currency|version"
    r"|kind|source|sku|quantity|number|gateway|name_of_event)|specversion|livemode|object|scope"
    r"|messageid|sentat|originaltimestamp|createdat|updatedat|currencycode|isocode|action",
    re.IGNORECASE,
)
_VALUE = re.compile(r"[\w .:/+#-]{0,100}")
_PERSONAL = re.compile(
    r"(?:user|anonymous|customer_email|previous)_?id|phone_number", re.IGNORECASE
)


def masked(body: bytes) -> Any:
    """The document in ``body``, masked; None when it is none."""
    try:
        return _masked("", parse_any(body), 0)
    except Unreadable:
        return None


def _masked(name: str, value: Any, depth: int) -> Any:
    if depth > DEPTH_MAX:
        return "…"
    if isinstance(value, dict):
        fields = list(cast("Json", value).items())[:ITEMS_MAX]
        return {key[:TEXT_MAX_CHARS]: _masked(key, each, depth + 1) for key, each in fields}
    if isinstance(value, list):
        rows = cast("list[Any]", value)[:ITEMS_MAX]
        return [_masked(name, each, depth + 1) for each in rows]
    if isinstance(value, str):
        shown = _PLAIN.fullmatch(name) and not _PERSONAL.fullmatch(name) and _VALUE.fullmatch(value)
        return value if shown else _hidden(value)
    return value if isinstance(value, bool | None) else str(value)


def _hidden(text: str) -> str:
    """How long it is, and whether it looks like an address or a link; nothing of it."""
    if "://" in text:
        return f"(link, {len(text)} characters)"
    if "@" in text:
        return f"(address, {len(text)} characters)"
    return f"(text, {len(text)} characters)" if text else ""
