"""Identifier values, brought to the one form under which we know them."""

import re
import unicodedata
from typing import Final

from chappe.events import Identifier

EMAIL: Final = "email"
PHONE: Final = "phone"
EXTERNAL_ID: Final = "external_id"
ANONYMOUS_ID: Final = "anonymous_id"
CHECKOUT_TOKEN: Final = "checkout_token"  # noqa: S105 - the name of a kind of identifier
CART_TOKEN: Final = "cart_token"  # noqa: S105 - likewise
OBJECT: Final = "object"
"""Names an order nobody else can be found for; it stays inside, events do not show it."""

TOKENS: Final = frozenset({CHECKOUT_TOKEN, CART_TOKEN})
NAMES: Final = frozenset({EXTERNAL_ID, EMAIL, PHONE})
"""What makes a contact a known person; the others are devices and carts."""

PRIORITY: Final = {
    EXTERNAL_ID: 0,
    EMAIL: 1,
    PHONE: 2,
    ANONYMOUS_ID: 3,
    CHECKOUT_TOKEN: 4,
    CART_TOKEN: 5,
    OBJECT: 6,
}

VALUE_MAX_CHARS: Final = 200
_BLOCKED = re.compile(
    r"[0-]*|-1|null|nil|none|nan|undefined|void|anonymous|guest|unknown|true|false"
    r"|\[object object\]",
    re.IGNORECASE,
)
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f@<>(),;:\\\"\[\]]{1,64}")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


def email(value: str | None) -> Identifier | None:
    """Trimmed, NFC, lower case, its domain in IDNA; dots and +tags are the person's own."""
    if value is None or len(value) > VALUE_MAX_CHARS:
        return None
    local, at, domain = unicodedata.normalize("NFC", value.strip()).lower().rpartition("@")
    if not at or not _LOCAL.fullmatch(local):
        return None
    if local[0] == "." or local[-1] == "." or ".." in local:
        return None
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    if not _DOMAIN.fullmatch(domain):
        return None
    return Identifier(EMAIL, f"{local}@{domain}")


def phone(value: str | None) -> Identifier | None:
    """E.164. Without its country a number names nobody."""
    if value is None or len(value) > VALUE_MAX_CHARS:
        return None
    digits = re.sub(r"[\s().\-\u00a0]", "", value)
    return Identifier(PHONE, digits) if _PHONE.fullmatch(digits) else None


def external_id(value: str | None, namespace: str = "") -> Identifier | None:
    """``NAMESPACE:ID``, or the id as it is without a namespace."""
    if not usable(value):
        return None
    return Identifier(EXTERNAL_ID, f"{namespace}:{value}" if namespace else f"{value}")


def anonymous_id(value: str | None) -> Identifier | None:
    return Identifier(ANONYMOUS_ID, value) if value and usable(value) else None


def token(kind: str, value: str | None) -> Identifier | None:
    """A checkout or cart token."""
    return Identifier(kind, value) if value and usable(value) else None


def usable(value: str | None) -> bool:
    """False for the values that broken clients send for everybody."""
    return (
        bool(value) and len(value or "") <= VALUE_MAX_CHARS and not _BLOCKED.fullmatch(value or "")
    )


def distinct(*found: Identifier | None) -> tuple[Identifier, ...]:
    """Those that are there, each once, strongest first."""
    present = dict.fromkeys(each for each in found if each is not None)
    return tuple(sorted(present, key=lambda each: PRIORITY[each.type]))
