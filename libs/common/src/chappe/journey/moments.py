"""Times as they are written in a journey file: offsets, times of day, weekdays, end dates."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictFloat,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)

from chappe.journey.calendar import WEEKDAYS, zone_named
from chappe.journey.durations import format_duration, parse_duration
from chappe.journey.values import FILLED, one_or_more, wrong

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_OFFSET_PATTERN = r"^[+-]?[0-9PT][0-9wdhmsWDHMST]*$"


def _offset(value: Any) -> dt.timedelta:
    if isinstance(value, dt.timedelta):
        return value
    if not isinstance(value, str):
        raise wrong("offset", f"{value!r} is not an offset; write -7d, +3h or 2d")
    sign = -1 if value.startswith("-") else 1
    try:
        return sign * parse_duration(value.lstrip("+-"))
    except ValueError as error:
        raise wrong("offset", f"{value!r} is not an offset; write -7d, +3h or 2d") from error


def _show_offset(value: dt.timedelta) -> str:
    return format_duration(value) if value >= dt.timedelta() else f"-{format_duration(-value)}"


def _time(value: Any) -> dt.time:
    if isinstance(value, dt.time):
        return value
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise wrong("time", f"{value!r} is not a time of day; write 09:00")
    return dt.time(int(found[1]), int(found[2]))


def _show_time(value: dt.time) -> str:
    return value.strftime("%H:%M")


def _instant(value: Any) -> dt.datetime:
    """A day is its beginning in UTC; a time without a zone is in UTC too."""
    if isinstance(value, dt.datetime):
        return value
    try:
        at = dt.datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None:
        what = "is not a date; write 2026-12-24 or 2026-12-24T18:00+01:00"
        raise wrong("instant", f"{value!r} {what}")
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)


def _show_instant(value: dt.datetime) -> str:
    return value.isoformat()


def _zone(value: Any) -> Any:
    if not isinstance(value, str) or zone_named(value) is None:
        raise wrong("zone", f"{value!r} is not a time zone; write one such as Europe/Paris")
    return value


def _weekday(value: Any) -> Any:
    short = value[:3].lower() if isinstance(value, str) else ""
    if short not in WEEKDAYS:
        raise wrong("weekday", f"{value!r} is not a weekday such as mon")
    return short


_show_o: Callable[[dt.timedelta], str] = _show_offset
_show_t: Callable[[dt.time], str] = _show_time
_show_i: Callable[[dt.datetime], str] = _show_instant
_DAY = {"type": "string", "pattern": "^([Mm]on|[Tt]ue|[Ww]ed|[Tt]hu|[Ff]ri|[Ss]at|[Ss]un)"}

Offset = Annotated[
    dt.timedelta,
    BeforeValidator(_offset),
    PlainSerializer(_show_o, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _OFFSET_PATTERN}),
]
TimeOfDay = Annotated[
    dt.time,
    BeforeValidator(_time),
    PlainSerializer(_show_t, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([01]?\d|2[0-3]):[0-5]\d$"}),
]
Instant = Annotated[
    dt.datetime,
    BeforeValidator(_instant),
    PlainSerializer(_show_i, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}"}),
]
ZoneName = Annotated[str, BeforeValidator(_zone), WithJsonSchema({"type": "string"})]
Weekday = Annotated[str, BeforeValidator(_weekday)]
Weekdays = Annotated[tuple[Weekday, ...], FILLED, *one_or_more(_DAY)]
Weight = Annotated[StrictInt | StrictFloat, Field(gt=0, le=1_000_000)]
Percent = Annotated[StrictInt | StrictFloat, Field(gt=0, lt=100)]
Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=10_000)]
Word = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100)]


def is_several(value: object) -> bool:
    """True for a list as YAML has it, and for what a parsed one has become."""
    return isinstance(value, list | tuple)


def weekday_numbers(days: tuple[str, ...] | None) -> frozenset[int]:
    """Monday is 0."""
    return frozenset(WEEKDAYS.index(day) for day in days or ())
