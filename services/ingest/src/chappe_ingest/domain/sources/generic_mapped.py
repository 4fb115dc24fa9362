"""Read a payload of any shape through a generic source's mapping."""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from chappe.events import Identifier, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.consent import STATES
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.privacy import free_form
from chappe_ingest.domain.reading import (
    Json,
    Reader,
    Unreadable,
    clean_text,
    decimal_of,
    iso,
    parse,
    parse_time,
    sortable,
)
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources import generic_shape as shape
from chappe_ingest.domain.sources.facts import Delivery, Happening, Meant
from chappe_ingest.domain.sources.generic_config import FieldMapping, Path, paths_of

FORM: Final = "application/x-www-form-urlencoded"
FIELDS_MAX: Final = 500

_NO_CENTS = ("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF UGX VND VUV XAF XOF XPF", 0)
_MILLS = ("BHD IQD JOD KWD LYD OMR TND", 3)
_MINOR_DIGITS: Final = {
    code: digits for codes, digits in (_NO_CENTS, _MILLS) for code in codes.split()
}
"""ISO 4217; the others have two."""


def normalise(raw: RawRecord, links: Links, mapping: FieldMapping) -> Normalised:
    """The facts of one delivery; a name that the mapping ignores gives none. Raises Unreadable."""
    warnings: list[str] = []
    body = document(raw)
    delivery = Delivery(raw=raw, topic="", warnings=warnings, links=links)
    told = _Mapped(delivery=delivery, mapping=mapping, body=body)
    spoken = _text(told.find(mapping.event.at)) or ""
    test = str(told.find(mapping.test)).lower() in {"true", "1", "yes"}
    delivery = dataclasses.replace(delivery, topic=spoken, test=test)
    told = dataclasses.replace(told, delivery=delivery)
    key = _text(told.find(mapping.id)) or facts.body_hash(raw)
    name = mapping.event.names.get(spoken) or mapping.event.names.get("*")
    if name is None and mapping.event.otherwise == "custom" and spoken:
        name = shape.canonical(spoken)
    names = list(_all_names(told, name))
    if not names:
        delivery.note("not in the mapping's table of names; it is stored")
        return Normalised(delivery=key, warnings=tuple(warnings))
    return delivery.told((_meant(told, names),), key)


def document(raw: RawRecord) -> Json:
    """The body's JSON object, or a form's fields."""
    media = raw.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != FORM:
        return parse(raw.body)
    try:
        pairs = parse_qsl(
            raw.body.decode("utf-8"), max_num_fields=FIELDS_MAX, keep_blank_values=True
        )
    except ValueError:
        raise Unreadable(f"the form is not UTF-8 or has more than {FIELDS_MAX} fields") from None
    return {clean_text(name): clean_text(value) for name, value in pairs}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Mapped:
    delivery: Delivery
    mapping: FieldMapping
    body: Json

    def find(self, path: Path, within: Json | None = None) -> Any:
        """What the first path that holds something holds; None when none does."""
        for each in paths_of(path):
            found = self._one(each, self.body if within is None else within)
            if found is not None and found != "":
                return found
        return None

    def _one(self, path: str, within: Json) -> Any:
        if path.startswith("="):
            return path[1:]
        if path.startswith("header:"):
            return self.delivery.raw.headers.get(path.removeprefix("header:"))
        value: Any = within
        for step in path.split("."):
            if isinstance(value, list):
                value = facts.inside(cast("list[Any]", value), _index(step))
            else:
                value = facts.inside(value, step)
        return value

    def reader(self, fields: Mapping[str, Path], within: Json | None = None) -> Reader:
        """The mapped fields under our names, to be read with the usual care."""
        found = {name: self.find(path, within) for name, path in fields.items()}
        return Reader(facts.present(found), self.delivery.warnings)

    def time(self, path: Path) -> dt.datetime | None:
        value = self.find(path)
        return parse_time(int(value) if isinstance(value, str) and value.isdigit() else value)


def _index(step: str) -> int:
    return int(step) if step.isascii() and step.isdigit() and len(step) < len("10000") else -1


def _all_names(told: _Mapped, first: str | None) -> Iterator[str]:
    """The event's own name, then those its states stand for: a paid order was placed and paid."""
    found = [first]
    for path, table in told.mapping.also.items():
        found.append(table.get(_text(told.find(path)) or ""))
    yield from dict.fromkeys(name for name in found if name is not None)


def _meant(told: _Mapped, names: Sequence[str]) -> Meant:
    mapping, delivery = told.mapping, told.delivery
    data = _data(told)
    identifiers = _identifiers(told)
    family = names[0].partition(".")[0]
    number = data.get(shape.ABOUT.get(family, ""))
    version = told.find(mapping.version)
    moment = parse_time(version)
    sortable_version = sortable(moment) if moment else _text(version)
    if not identifiers and family == "order" and number is not None:
        identifiers = facts.itself(delivery.raw, "order", str(number))
    if not identifiers:
        delivery.note("the mapping's identifiers find nobody")
    return Meant(
        happenings=tuple(_happening(told, name, data, identifiers) for name in names),
        identifiers=identifiers,
        object=None if number is None else facts.object_ref(family, str(number), sortable_version),
        traits=_traits(told),
        data=data,
    )


def _happening(
    told: _Mapped, name: str, data: Json, identifiers: tuple[Identifier, ...]
) -> Happening:
    own = told.mapping.times.get(name)
    at = told.delivery.at(
        told.time(own) if own is not None else None, told.time(told.mapping.occurred_at)
    )
    subject = data.get(shape.ONCE.get(name, ""))
    if name in {"contact.created", "contact.deleted"} and identifiers:
        subject = f"{identifiers[0].type}:{identifiers[0].value}"
    return Happening(name, at, str(subject) if subject is not None else None)


def _identifiers(told: _Mapped) -> tuple[Identifier, ...]:
    body = told.reader(told.mapping.identifiers)
    return ids.distinct(
        ids.external_id(body.id("external_id"), told.delivery.raw.namespace),
        facts.email_of(body, "email"),
        facts.phone_of(body, "phone"),
        ids.anonymous_id(body.id("anonymous_id")),
        _token_of(told, body, ids.CHECKOUT_TOKEN),
        _token_of(told, body, ids.CART_TOKEN),
    )


def _token_of(told: _Mapped, body: Reader, kind: str) -> Identifier | None:
    """A small number is some cart's in every shop: it is made unique by its scope."""
    value = body.id(kind)
    if value is not None and value.isdigit():
        return facts.scoped_token(told.delivery.raw, kind, value)
    return ids.token(kind, value)


def _traits(told: _Mapped) -> Json:
    traits = free_form(told.reader(told.mapping.traits), told.delivery.links)
    stated = dict(_stated(told))
    return traits | ({"consent": stated} if stated else {})


def _stated(told: _Mapped) -> Iterator[tuple[str, Json]]:
    for channel, rule in told.mapping.consent.items():
        said = (_text(told.find(rule.at)) or "").lower()
        state = {spelling.lower(): ours for spelling, ours in rule.states.items()}.get(said)
        state = state or (said if said in STATES else None)
        if state is not None:
            at = told.time(rule.time)
            yield channel, {"state": state} | ({"at": iso(at)} if at else {})


def _data(told: _Mapped) -> Json:
    mapping, delivery = told.mapping, told.delivery
    currency = told.reader({"currency": mapping.currency}).currency("currency")
    found = free_form(told.reader(mapping.data), delivery.links)
    data: Json = {
        name: str(value) if _is_id(name) and isinstance(value, int) else value
        for name, value in found.items()
    }
    for kind, path in mapping.identifiers.items():
        if kind in ids.TOKENS and (token := _token_of(told, told.reader({kind: path}), kind)):
            data[kind] = token.value
    for name, path in mapping.money.items():
        if (amount := _amount(told, told.find(path), currency)) is not None:
            data[name] = amount
    if mapping.items is not None:
        data["items"] = list(_items(told, currency))
    return data


def _is_id(name: str) -> bool:
    return name == "number" or name.endswith("_id")


def _amount(told: _Mapped, value: object, currency: str | None) -> Json | None:
    if not told.mapping.minor_units:
        found = facts.money_of(value, currency)
        return found and found | {"amount": facts.tidy(str(found["amount"]))}
    amount = decimal_of(value)
    if amount is None:
        return None
    digits = _MINOR_DIGITS.get(currency or "", 2)
    return facts.money_of(amount.scaleb(-digits), currency)


def _items(told: _Mapped, currency: str | None) -> Iterator[Json]:
    rule = told.mapping.items
    if rule is None:
        return
    lines = Reader({"items": told.find(rule.at)}, told.delivery.warnings).rows("items")
    for line in lines:
        field = told.reader(rule.fields, line.fields)
        found: Json = {}
        for name in rule.fields:
            if name == "price":
                found[name] = _amount(told, field.fields.get(name), currency)
            elif name == "quantity":
                found[name] = field.number(name)
            elif name in {"url", "image_url"}:
                found[name] = told.delivery.links.take(field, name)
            else:
                found[name] = field.text(name)
        yield found


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | Decimal):
        return str(value).strip()[: ids.VALUE_MAX_CHARS] or None
    return None
