"""A generic source's mapping: where a home-made payload keeps what we need, and how it is signed.

A *path* is ``order.customer.email`` or ``lines.0.price`` into the body, ``header:x-topic``, or
``=EUR`` for a fixed value; a list of paths means the first that holds something.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from chappe_ingest.domain.consent import CHANNELS, STATES
from chappe_ingest.domain.sources.generic_shape import NAMES, canonical

Path: TypeAlias = str | list[str]

PATHS_MAX: Final = 200
PATH_MAX_CHARS: Final = 200

IDENTIFIERS: Final = frozenset(
    {"email", "phone", "external_id", "anonymous_id", "checkout_token", "cart_token"}
)
LINE: Final = frozenset(
    {
        "product_id",
        "variant_id",
        "sku",
        "title",
        "variant_title",
        "quantity",
        "price",
        "url",
        "image_url",
    }
)

_HEADER = re.compile(r"header:[a-z0-9-]{1,80}")
_STEPS = re.compile(r"[^.\s=:]{1,80}(?:\.[^.\s=:]{1,80}){0,9}")
_SECRET_HEADERS: Final = re.compile(
    r"authorization|cookie|.*(?:signature|token|secret|hmac|api-?key).*"
)


class BadConfig(ValueError):
    """The mapping cannot be used; the message says where and why."""


class EventRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``at``: where the sender's name of the event stands. ``names``: that name to ours.

    ``otherwise``: what becomes of a name that is not in the table: one of ours where it looks
    like it, else ``custom.NAME`` ("custom"); or it is stored and gives no event ("ignore").
    """

    at: Path = []
    names: dict[str, str] = {}
    otherwise: Literal["custom", "ignore"] = "custom"


class Items(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``at``: the list. ``fields``: our name of a line's field to its path within the line."""

    at: Path
    fields: dict[str, Path] = {}


class ConsentRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``at``: where the state stands; ``states``: its spellings; ``time``: when it was given."""

    at: Path
    states: dict[str, str] = {}
    time: Path = []


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the sender proves itself: see ``docs/sources/generic.md``."""

    kind: Literal["hmac", "token", "standard-webhooks"] = "hmac"
    header: str = "x-signature"
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    key_encoding: Literal["utf-8", "base64", "hex"] = "utf-8"


class FieldMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole mapping. ``minor_units``: amounts are whole cents (or yen, or fils)."""

    event: EventRule = EventRule()
    signature: Signature | None = None
    id: Path = []
    occurred_at: Path = []
    times: dict[str, Path] = {}
    version: Path = []
    test: Path = []
    identifiers: dict[str, Path] = {}
    traits: dict[str, Path] = {}
    data: dict[str, Path] = {}
    money: dict[str, Path] = {}
    currency: Path = []
    minor_units: bool = False
    items: Items | None = None
    also: dict[str, dict[str, str]] = {}
    consent: dict[str, ConsentRule] = {}


def mapping_of(config: Mapping[str, Any]) -> FieldMapping:
    """Raises ``BadConfig`` on an unknown field, a bad path or a name that is not ours."""
    try:
        mapping = msgspec.convert(dict(config), FieldMapping)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadConfig(str(error)) from None
    _check_names(mapping)
    paths = _all_paths(mapping)
    if len(paths) > PATHS_MAX:
        raise BadConfig(f"more than {PATHS_MAX} paths")
    for path in paths:
        _check_path(path)
    return mapping


def paths_of(path: Path) -> tuple[str, ...]:
    return (path,) if isinstance(path, str) else tuple(path)


def headers_of(mapping: FieldMapping) -> frozenset[str]:
    """The headers that the mapping reads."""
    found = (path for path in _all_paths(mapping) if path.startswith("header:"))
    return frozenset(path.removeprefix("header:") for path in found)


def _all_paths(mapping: FieldMapping) -> list[str]:
    given: list[Path] = [
        mapping.event.at,
        mapping.id,
        mapping.occurred_at,
        mapping.version,
        mapping.test,
        mapping.currency,
        *mapping.times.values(),
        *mapping.identifiers.values(),
        *mapping.traits.values(),
        *mapping.data.values(),
        *mapping.money.values(),
        *mapping.also,
    ]
    for rule in mapping.consent.values():
        given += [rule.at, rule.time]
    if mapping.items is not None:
        given += [mapping.items.at, *mapping.items.fields.values()]
    return [path for each in given for path in paths_of(each)]


def _check_names(mapping: FieldMapping) -> None:
    named = [*mapping.event.names.values(), *mapping.times]
    named += [name for table in mapping.also.values() for name in table.values()]
    for name in named:
        if name not in NAMES and not (name.startswith("custom.") and canonical(name) == name):
            raise BadConfig(f"{name[:100]}: neither one of our event names nor custom.NAME")
    _among("identifiers", mapping.identifiers, IDENTIFIERS)
    _among("items.fields", mapping.items.fields if mapping.items else {}, LINE)
    _among("consent", mapping.consent, frozenset(CHANNELS))
    for rule in mapping.consent.values():
        _among("consent states", dict.fromkeys(rule.states.values()), STATES)
    if mapping.signature is not None and not mapping.signature.header:
        raise BadConfig("signature.header: empty")


def _among(where: str, given: Mapping[str, object], allowed: frozenset[str]) -> None:
    for name in given:
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            raise BadConfig(f"{where}: {name[:100]} is not one of {known}")


def _check_path(path: str) -> None:
    if path.startswith("="):
        good = len(path) <= PATH_MAX_CHARS
    elif path.startswith("header:"):
        good = _HEADER.fullmatch(path) is not None
        if _SECRET_HEADERS.fullmatch(path.removeprefix("header:")):
            raise BadConfig(f"{path}: a header with a secret is not kept")
    else:
        good = _STEPS.fullmatch(path) is not None
    if not good:
        raise BadConfig(f"{path[:100]}: no path; write a.b.0.c, header:x-name or =value")
