"""Read other people's JSON without trusting it.

A document that cannot be read at all is ``Unreadable``; a field of the wrong type is a null and
a warning, and its event survives.
"""

import datetime as dt
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias, cast

import msgspec

Json: TypeAlias = dict[str, Any]

DEPTH_MAX: Final = 64
TEXT_MAX_CHARS: Final = 2_000
ID_MAX_CHARS: Final = 200
ITEMS_MAX: Final = 200
DIGITS_MAX: Final = 40
MAGNITUDE_MAX: Final = 18
WARNINGS_MAX: Final = 50

_INT64 = 1 << 63
_LONE = re.compile("[\x00\ud800-\udfff]")
_LOOSE_TIME = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,9})?)?"
    r"\s*(Z|[+-]\d{2}:?\d{2})?"
)
_CURRENCY_CHARS = 3
_MILLISECONDS_FROM = 100_000_000_000


class Unreadable(Exception):
    """The body is no JSON object that we accept; the message says why in a few words."""


def parse(body: bytes) -> Json:
    """The JSON object in ``body``, numbers exact, NUL and lone surrogates stripped.

    Raises ``Unreadable``: not UTF-8, not JSON (RFC 8259: no NaN), nested deeper than
    ``DEPTH_MAX``, or not an object.
    """
    value = parse_any(body)
    if not isinstance(value, dict):
        raise Unreadable(f"the body is a JSON {_kind(value)}, an object is expected")
    return cast("Json", value)


def parse_any(body: bytes) -> Any:
    """As ``parse``, of any JSON type."""
    try:
        text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise Unreadable(f"the body is nested deeper than {DEPTH_MAX}") from None
    except ValueError as error:
        raise Unreadable(f"the body is not JSON: {_short(str(error))}") from None
    # NUL and lone surrogates come as escapes alone, and depth by brackets.
    if "\\u" not in text and text.count("{") + text.count("[") <= DEPTH_MAX:
        return value
    return _scrub(value, 0)


def clean_text(text: str) -> str:
    """Without NUL and lone surrogates, which neither Postgres nor UTF-8 can hold."""
    return _LONE.sub("", text)


def parse_time(value: object) -> dt.datetime | None:
    """ISO 8601, also as people really write it; or seconds or milliseconds since 1970. UTC."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return _epoch(value)
    if not isinstance(value, str) or len(value) > ID_MAX_CHARS:
        return None
    text = value.strip()
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        at = _loose_time(text)
    if at is None:
        return None
    try:
        return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)
    except OverflowError:
        return None


def iso(at: dt.datetime) -> str:
    """UTC with ``Z``."""
    return at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def sortable(at: dt.datetime) -> str:
    """As ``iso``, always with microseconds, so that text order is time order."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def decimal_of(value: object) -> Decimal | None:
    """An exact amount from JSON text or number; None for what is no sane amount."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    if isinstance(value, str) and len(value) > DIGITS_MAX:
        return None
    try:
        amount = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        return None
    if not amount.is_finite() or abs(amount.adjusted()) > MAGNITUDE_MAX:
        return None
    return amount


def plain(value: Any) -> Any:
    """The value as a stream record carries it: exact numbers become plain JSON numbers."""
    if isinstance(value, Decimal):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, str):
        return value[:TEXT_MAX_CHARS]
    if isinstance(value, list):
        return [plain(each) for each in cast("list[Any]", value)[:ITEMS_MAX]]
    if isinstance(value, dict):
        return {
            name[:ID_MAX_CHARS]: plain(each)
            for name, each in list(cast("Json", value).items())[:ITEMS_MAX]
        }
    return value


class Reader(msgspec.Struct, frozen=True):
    """One object of somebody else's document, read field by field.

    Each method takes the first of ``names`` that holds something; "" and null hold nothing.
    """

    fields: Json
    warnings: list[str]
    where: str = ""

    def having(self, fields: Json) -> "Reader":
        """The same object with other fields."""
        return Reader(fields, self.warnings, self.where)

    def text(self, *names: str) -> str | None:
        """Text, stripped and bounded. A number is taken as its digits."""
        for name in names:
            value = self.fields.get(name)
            if value is None or value == "":
                continue
            if isinstance(value, str):
                if stripped := value.strip()[:TEXT_MAX_CHARS]:
                    return stripped
            elif isinstance(value, int | Decimal) and not isinstance(value, bool):
                return format(value, "f") if isinstance(value, Decimal) else str(value)
            else:
                self.warn(name, "text", value)
        return None

    def id(self, *names: str) -> str | None:
        """An identifier as text; longer than ``ID_MAX_CHARS`` is none."""
        value = self.text(*names)
        if value is not None and len(value) > ID_MAX_CHARS:
            self.note(names[0], f"longer than {ID_MAX_CHARS} characters, left out")
            return None
        return value

    def flag(self, name: str) -> bool | None:
        value = self.fields.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.warn(name, "true or false", value)
        return None

    def number(self, name: str) -> int | None:
        """A count: a whole number, also when written as text."""
        value = self.fields.get(name)
        amount = decimal_of(value)
        if amount is not None and amount == amount.to_integral_value():
            return int(amount)
        if value is not None:
            self.warn(name, "a whole number", value)
        return None

    def money(self, currency: str | None, *names: str) -> Json | None:
        """``{"amount", "currency"}`` from the exact text of the document."""
        for name in names:
            value = self.fields.get(name)
            if value is None or value == "":
                continue
            amount = decimal_of(value)
            if amount is not None:
                return {"amount": format(amount, "f"), "currency": currency}
            self.warn(name, "an amount", value)
        return None

    def currency(self, *names: str) -> str | None:
        """ISO 4217, upper case."""
        value = self.text(*names)
        if value is None:
            return None
        if len(value) == _CURRENCY_CHARS and value.isascii() and value.isalpha():
            return value.upper()
        self.note(names[0], "no ISO 4217 code, left out")
        return None

    def time(self, *names: str) -> dt.datetime | None:
        for name in names:
            value = self.fields.get(name)
            if value is None or value == "":
                continue
            at = parse_time(value)
            if at is not None:
                return at
            self.note(name, "no readable time, left out")
        return None

    def nested(self, name: str) -> "Reader":
        """The object under ``name``; an empty one when it is missing, [] or something else."""
        value = self.fields.get(name)
        where = f"{self.where}{name}."
        if isinstance(value, dict):
            return Reader(cast("Json", value), self.warnings, where)
        if value not in (None, [], ""):
            self.warn(name, "an object", value)
        return Reader({}, self.warnings, where)

    def rows(self, name: str) -> Iterator["Reader"]:
        """The objects in the list under ``name``, at most ``ITEMS_MAX`` of them."""
        value = self.fields.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            self.warn(name, "a list", value)
            return
        rows = cast("list[Any]", value)
        if len(rows) > ITEMS_MAX:
            self.note(name, f"more than {ITEMS_MAX} entries, the rest is left out")
        for at, each in enumerate(rows[:ITEMS_MAX]):
            if isinstance(each, dict):
                yield Reader(cast("Json", each), self.warnings, f"{self.where}{name}[{at}].")
            else:
                self.warn(f"{name}[{at}]", "an object", each)

    def warn(self, name: str, wanted: str, value: object) -> None:
        self.note(name, f"{_kind(value)} where {wanted} is expected, left out")

    def note(self, name: str, what: str) -> None:
        """Say something about a field; never its value, which may be a secret."""
        if len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(f"{self.where}{name}: {what}")


@dataclass(frozen=True, slots=True)
class Times:
    """When a fact happened, as far as anybody can tell: never after it reached us."""

    received_at: dt.datetime
    fallbacks: tuple[dt.datetime | None, ...] = field(default=())

    def first(self, *candidates: dt.datetime | None) -> dt.datetime:
        at = next((c for c in (*candidates, *self.fallbacks) if c is not None), self.received_at)
        return min(at, self.received_at)


def _scrub(value: Any, depth: int) -> Any:
    if depth > DEPTH_MAX:
        raise Unreadable(f"the body is nested deeper than {DEPTH_MAX}")
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        named = cast("Json", value)
        return {clean_text(name): _scrub(each, depth + 1) for name, each in named.items()}
    if isinstance(value, list):
        return [_scrub(each, depth + 1) for each in cast("list[Any]", value)]
    return value


def _decimal(text: str) -> Decimal | None:
    return decimal_of(text)


def _integer(text: str) -> int | Decimal | None:
    if len(text) > DIGITS_MAX:
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else Decimal(number)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_decoder: Final = json.JSONDecoder(
    parse_float=_decimal, parse_int=_integer, parse_constant=_no_constant
)


def _epoch(value: int | Decimal) -> dt.datetime | None:
    seconds = float(value) / (1000 if abs(value) >= _MILLISECONDS_FROM else 1)
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _loose_time(text: str) -> dt.datetime | None:
    found = _LOOSE_TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        at = dt.datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            int(float(fraction or 0) * 1_000_000),
            tzinfo=dt.UTC,
        )
    except ValueError:
        return None
    if zone in (None, "Z"):
        return at
    digits = zone[1:].replace(":", "")
    away = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return at - away if zone[0] == "+" else at + away


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | Decimal():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def _short(text: str) -> str:
    return text.split(": line", 1)[0][:120]
