"""The filters a template may use: Liquid's own with growth bounded, and what a shop needs.

One expression must not be able to build a gigabyte: every argument and every result is measured,
and what could explode inside one call is measured before the call.
"""

import datetime as dt
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sized
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal
from liquid import RenderContext
from liquid.exceptions import FilterArgumentError, FilterValueError
from liquid.filter import with_context
from liquid.undefined import is_undefined

LETTERS_MAX = 65_536
ITEMS_MAX = 10_000
DIGITS_MAX = 18
NUMBER_MAX = 10**DIGITS_MAX
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")

ALLOWED = frozenset(
    ("abs", "append", "at_least", "at_most", "capitalize", "ceil", "compact", "concat",
     "default", "divided_by", "downcase", "escape", "escape_once", "find", "find_index",
     "first", "floor", "has", "join", "last", "lstrip", "map", "minus", "modulo",
     "newline_to_br", "plus", "prepend", "reject", "remove", "remove_first", "remove_last",
     "replace", "replace_first", "replace_last", "reverse", "round", "rstrip", "size", "slice",
     "sort", "sort_natural", "split", "squish", "strip", "strip_html", "strip_newlines", "sum",
     "times", "truncate", "truncatewords", "uniq", "upcase", "url_encode", "where")
)  # fmt: skip
"""Not among them: ``safe`` (values are always escaped) and the decoders (they could smuggle
control characters past the check on values)."""

Filter = Callable[..., Any]


def guarded(name: str, function: Filter) -> Filter:
    """``function`` with arguments and result measured."""

    @functools.wraps(function)
    def measured(value: Any, *args: Any, **kwargs: Any) -> Any:
        for argument in (value, *args):
            _measure(name, argument)
        if name == "replace":
            _measure_replace(name, value, args)
        elif name == "join":
            _measure_join(name, value, args)
        result = function(value, *args, **kwargs)
        _measure(name, result)
        return result

    return measured


def _measure(name: str, value: Any) -> None:
    if isinstance(value, str):
        too_big = len(value) > LETTERS_MAX
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float | Decimal):
        too_big = not -NUMBER_MAX <= value <= NUMBER_MAX
    elif isinstance(value, list | tuple | range | dict):
        too_big = len(cast("Sized", value)) > ITEMS_MAX
    else:
        return
    if too_big:
        raise _too_big(name)


def _too_big(name: str) -> FilterValueError:
    return FilterValueError(f"{name}: the value grew too large", token=None)


def _measure_replace(name: str, value: Any, args: tuple[Any, ...]) -> None:
    text, old = str(value), str(args[0]) if args else ""
    new = str(args[1]) if len(args) > 1 else ""
    if len(text) + text.count(old) * len(new) > LETTERS_MAX:
        raise _too_big(name)


def _measure_join(name: str, value: Any, args: tuple[Any, ...]) -> None:
    if not isinstance(value, list | tuple | range):
        return
    separator = len(str(args[0])) if args else 1
    room = LETTERS_MAX
    for item in cast("Iterable[Any]", value):
        room -= len(str(item)) + separator
        if room < 0:
            raise _too_big(name)


@with_context
def money(value: Any, currency: Any = None, *, context: RenderContext) -> str:
    """``{"amount": "25.91", "currency": "EUR"}``, or a number and a currency, as people write it
    in the message's language. Nothing gives nothing; anything else is an error.
    """
    if value is None or is_undefined(value) or value == "":
        return ""
    amount: Any = value
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        amount, currency = fields.get("amount"), fields.get("currency") or currency
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise FilterArgumentError("money: no currency: give {amount, currency}", token=None)
    return _currency(str(amount), currency.upper(), str(context.resolve("locale", default="en")))


@functools.lru_cache(maxsize=4096)
def _currency(amount: str, currency: str, locale: str) -> str:
    try:
        number = Decimal(amount)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number.adjusted() > DIGITS_MAX:
        raise FilterArgumentError(f"money: {amount[:40]!r} is not an amount", token=None)
    return format_currency(number, currency, locale=locale_of(locale))


@functools.lru_cache(maxsize=256)
def locale_of(tag: str) -> Locale:
    """Babel's locale for ``fr-FR`` or ``fr_FR``; English for anything unknown."""
    try:
        return Locale.parse(tag.replace("_", "-"), sep="-")
    except (UnknownLocaleError, ValueError, TypeError):
        return Locale.parse("en")


STYLES = frozenset(("short", "medium", "long", "full"))
_NAMES = {"a": "EEE", "A": "EEEE", "b": "MMM", "B": "MMMM"}
_NUMBERS = frozenset("dmyYHIMSjpZz%")


@with_context
def date(value: Any, form: Any = "medium", *, context: RenderContext) -> str:
    """An ISO 8601 time, or ``now``, in the message's language and the contact's time zone.

    ``form`` is short, medium, long or full, or strftime letters with names translated.
    What is no time is shown as it came, as Liquid does.
    """
    if value is None or is_undefined(value):
        return ""
    locale = locale_of(str(context.resolve("locale", default="en")))
    if value in {"now", "today"}:
        value = context.resolve("now", default="")
    try:
        moment = dt.datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    zone = zone_of(str(context.resolve("time_zone", default="")))
    if zone is not None and moment.tzinfo is not None:
        moment = moment.astimezone(zone)
    if form in STYLES:
        return _day(moment.date(), form, locale)
    return _strftime(moment, str(form), locale)


@functools.lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo | None:
    """The zone called ``Europe/Paris``; None for what is none."""
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@with_context
def number(value: Any, *, context: RenderContext) -> str:
    """A number as people write it in the message's language: 1,234.5 or 1 234,5."""
    if value is None or is_undefined(value) or value == "":
        return ""
    try:
        said = Decimal(str(value))
    except InvalidOperation:
        said = Decimal("NaN")
    if not said.is_finite() or said.adjusted() > DIGITS_MAX:
        raise FilterArgumentError(f"number: {str(value)[:40]!r} is none", token=None)
    locale = locale_of(str(context.resolve("locale", default="en")))
    return format_decimal(said, locale=locale)


@functools.lru_cache(maxsize=1024)
def _day(day: dt.date, form: str, locale: Locale) -> str:
    return format_date(day, form, locale=locale)


def _strftime(moment: dt.datetime, form: str, locale: Locale) -> str:
    out: list[str] = []
    letters = iter(form)
    for letter in letters:
        if letter != "%":
            out.append(letter)
            continue
        code = next(letters, "%")
        bare = code == "-"
        code = next(letters, "d") if bare else code
        if code in _NAMES:
            out.append(_day(moment.date(), _NAMES[code], locale))
        elif code == "e":
            out.append(str(moment.day))
        elif code in _NUMBERS:
            number = moment.strftime(f"%{code}")
            out.append((number.lstrip("0") or "0") if bare else number)
        else:
            raise FilterArgumentError(f"date: unknown code %{code}", token=None)
    return "".join(out)
