"""Keep what a marketer may use; drop what nobody should have sent us."""

import re
from typing import Any, Final, cast

from chappe_ingest.domain.links import Links, looks_like_a_link
from chappe_ingest.domain.reading import ID_MAX_CHARS, ITEMS_MAX, Json, Reader, plain

FREE_DEPTH_MAX: Final = 8
"""Free-form properties deeper than this are left out: no template reaches them."""

_SECRET = re.compile(
    r"pass(?:word|wd|phrase)?|secret|api_?key|(?:access|auth|refresh|bearer)_?token|authorization"
    r"|cookie|session_?id|cvv2?|cvc2?|card_?(?:number|no)|cc_?.*|credit_?card.*|payment_details"
    r"|iban|bic|ssn|social_security.*|tax_?id|passport.*|browser_ip|client_details|ip(?:_?address)?"
    r"|user_?agent|private_metadata",
    re.IGNORECASE,
)


def free_form(reader: Reader, links: Links, *, without: frozenset[str] = frozenset()) -> Json:
    """Whatever else the sender added: bounded, no secrets, links only to the shop's own hosts."""
    return {
        name[:ID_MAX_CHARS]: kept
        for name, value in list(reader.fields.items())[:ITEMS_MAX]
        if name not in without
        and not _is_secret(reader, name)
        and (kept := _kept(reader, links, name, value, 1)) is not None
    }


def taken_away(reader: Reader, *, without: frozenset[str] = frozenset()) -> Json:
    """The free traits that the sender says are no more: an explicit null."""
    names = [name for name, value in list(reader.fields.items())[:ITEMS_MAX] if value is None]
    return {name[:ID_MAX_CHARS]: None for name in names if name not in without}


def _is_secret(reader: Reader, name: str) -> bool:
    if _SECRET.fullmatch(name) is None:
        return False
    reader.note(name[:ID_MAX_CHARS], "looks like a secret or personal data, dropped")
    return True


def _kept(reader: Reader, links: Links, name: str, value: Any, depth: int) -> Any:
    if isinstance(value, str) and looks_like_a_link(value):
        return links.checked(value.strip(), reader, name)
    if not isinstance(value, dict | list):
        return plain(value)
    if depth >= FREE_DEPTH_MAX:
        reader.note(name, f"nested deeper than {FREE_DEPTH_MAX}, left out")
        return None
    if isinstance(value, list):
        rows = cast("list[Any]", value)[:ITEMS_MAX]
        return [_kept(reader, links, name, each, depth + 1) for each in rows]
    inner = Reader(cast("Json", value), reader.warnings, f"{reader.where}{name}.")
    return {
        key[:ID_MAX_CHARS]: _kept(inner, links, key, each, depth + 1)
        for key, each in list(inner.fields.items())[:ITEMS_MAX]
        if not _is_secret(inner, key)
    }
