"""The small typed values that a journey file is made of, each with one clear complaint."""

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError

from chappe.journey.durations import PATTERN, format_duration, parse_duration
from chappe.journey.names import is_event_name

Money: TypeAlias = tuple[Decimal, str]

_MONEY = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ([A-Z]{3})")
_AMOUNT = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,10})?")
PATH_PATTERN = r"^(event|contact|entry)(\.[A-Za-z0-9_$-]{1,100}){1,10}$"
EVENT_PATH_PATTERN = r"^event(\.[A-Za-z0-9_$-]{1,100}){1,10}$"
_PATH = re.compile(PATH_PATTERN)

INSTANT_PATTERN = (
    r"(?:1[89]|2[01])[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?"
)
"""A date or an instant in an event or an attribute; Postgres reads the same expression."""
_INSTANT = re.compile(INSTANT_PATTERN)
DATE_LENGTH = 10


class Strict(BaseModel):
    """A mapping in a journey file: a key nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


def wrong(kind: str, what: str) -> PydanticCustomError:
    """A complaint as people read it; braces in ``what`` stand for themselves."""
    return PydanticCustomError(kind, "{what}", {"what": what})  # pyright: ignore[reportArgumentType]


def money(text: Any) -> Money | None:
    """``"20 EUR"`` as amount and currency; anything else is None."""
    found = _MONEY.fullmatch(text) if isinstance(text, str) else None
    return (Decimal(found[1]), found[2]) if found else None


def amount(value: Any) -> Decimal | None:
    """The amount of a price: digits in a text, or a finite number."""
    if isinstance(value, str):
        return Decimal(value) if _AMOUNT.fullmatch(value) else None
    return number(value)


def number(value: Any) -> Decimal | None:
    """A finite number as it is written in JSON; true and false are none."""
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else None


def instant(value: Any) -> dt.datetime | None:
    """A date or a time as an instant, in UTC where it names no zone; None for anything else."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            at = dt.datetime.fromisoformat(value)
        except ValueError:  # 30 February
            return None
        return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    return None


def _duration(value: Any) -> dt.timedelta:
    if not isinstance(value, str):
        raise wrong("duration", f"{value!r} is not a duration; write 20m, 1h, 2d or PT4H")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise wrong("duration", str(error)) from error


def _since(value: Any) -> dt.timedelta | Literal["entry"]:
    return "entry" if value == "entry" else _duration(value)


def _moment(value: Any) -> dt.datetime | dt.timedelta:
    if isinstance(value, dt.datetime | dt.timedelta):
        return value
    if value == "now":
        return dt.timedelta()
    if isinstance(value, str) and value[:1] in ("+", "-"):
        try:
            return (-1 if value[0] == "-" else 1) * parse_duration(value[1:])
        except ValueError as error:
            raise wrong("moment", str(error)) from error
    at = instant(value)
    if at is None:
        what = "write 2026-12-24, 2026-12-24T18:00+01:00, now, -90d (ago) or +3d (ahead)"
        raise wrong("moment", f"{value!r} is not a moment; {what}")
    return at


def _show_moment(value: dt.datetime | dt.timedelta) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if not value:
        return "now"
    return f"-{format_duration(-value)}" if value < dt.timedelta() else f"+{format_duration(value)}"


def _anniversary(value: Any) -> int:
    if value == "today":
        return 0
    days = _duration(value)
    if days % dt.timedelta(days=1) or days >= dt.timedelta(days=365):
        raise wrong("anniversary", f"{value!r} should be today, or whole days such as 7d")
    return days.days


def _show_anniversary(value: int) -> str:
    return f"{value}d" if value else "today"


def _event_path(value: str) -> str:
    if not _path(value).startswith("event."):
        raise wrong("path", f"{value!r} should begin with event.: each event is looked at alone")
    return value


def _event_name(value: str) -> str:
    if not is_event_name(value):
        raise wrong("event_name", f"{value!r} is not an event; others are called custom.NAME")
    return value


def _path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise wrong("path", f"{value!r} is not a path; it begins with event., contact. or entry.")
    return value


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise wrong("scalar", "should be a text, a number, true or false")
    return value


def _bound(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and money(value) is None:
        raise wrong("bound", 'should be a number, or money such as "20 EUR"')
    return value


def as_mapping(value: Any) -> Mapping[str, Any] | None:
    """``value`` when it is a mapping."""
    # Nearly all are dicts, and the abstract class takes its time to say so.
    return cast("Mapping[str, Any]", value) if isinstance(value, (dict, Mapping)) else None


def as_list(value: Any) -> list[Any] | None:
    """``value`` when it is a list."""
    return cast("list[Any]", value) if isinstance(value, list) else None


def walk(value: Any, keys: Sequence[str]) -> Any:
    """The value below ``value``; a key of digits is an index where it meets a list."""
    for key in keys:
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(key)
        elif (mapping := as_mapping(value)) is not None:
            value = mapping.get(key)
        elif (items := as_list(value)) is not None:
            # isdecimal is true of other scripts' digits too; int reads them all.
            index = int(key[:9]) if key.isdecimal() else len(items)
            value = items[index] if index < len(items) else None
        else:
            return None
    return value


def _as_list(value: Any) -> Any:
    return [value] if as_list(value) is None else value


def _as_title(value: Any) -> Any:
    return {"en": value} if isinstance(value, str) else value


def _show_since(value: Any) -> str:
    return value if isinstance(value, str) else format_duration(value)


@dataclass(frozen=True, slots=True, eq=False)
class OrWritten:
    """Tell the JSON Schema about a short form that a validator turns into the long one."""

    short: dict[str, Any]

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [self.short, handler(core)]}


def one_or_more(schema: dict[str, Any]) -> tuple[BeforeValidator, WithJsonSchema]:
    """Accept one value where a list of them stands."""
    listed = {"type": "array", "items": schema, "minItems": 1}
    return BeforeValidator(_as_list), WithJsonSchema({"anyOf": [schema, listed]})


def _filled(value: Any) -> Any:
    if not value:
        raise wrong("empty", "should hold at least one")
    return value


# Pydantic's own min_length counts what is left after errors inside; this speaks only without any.
FILLED = AfterValidator(_filled)

_DURATION_SCHEMA = {"type": "string", "pattern": PATTERN}
_show: Callable[[dt.timedelta], str] = format_duration

Duration = Annotated[
    dt.timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_show, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
Since = Annotated[
    dt.timedelta | Literal["entry"],
    BeforeValidator(_since),
    PlainSerializer(_show_since, return_type=str),
    WithJsonSchema({"anyOf": [{"const": "entry"}, _DURATION_SCHEMA]}),
]
Moment = Annotated[
    dt.datetime | dt.timedelta,
    BeforeValidator(_moment),
    PlainSerializer(_show_moment, return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""An instant, or so long after now; before it when negative."""
Anniversary = Annotated[
    int,
    BeforeValidator(_anniversary),
    PlainSerializer(_show_anniversary, return_type=str),
    WithJsonSchema({"anyOf": [{"const": "today"}, {"type": "string", "pattern": "^[0-9]+[dw]$"}]}),
]
"""Today, or within so many days."""
Name = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$")]
StepName = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9_.-]{0,299}$")]
EventName = Annotated[str, StringConstraints(strict=True), AfterValidator(_event_name)]
EventNames = Annotated[tuple[EventName, ...], FILLED, *one_or_more({"type": "string"})]
Path = Annotated[str, StringConstraints(strict=True), AfterValidator(_path)]
EventPath = Annotated[
    str,
    StringConstraints(strict=True),
    AfterValidator(_event_path),
    WithJsonSchema({"type": "string", "pattern": EVENT_PATH_PATTERN}),
]
Paths = Annotated[tuple[Path, ...], FILLED, *one_or_more({"type": "string"})]
Scalar = Annotated[
    Any, AfterValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean"]})
]
Bound = Annotated[Any, AfterValidator(_bound), WithJsonSchema({"type": ["string", "number"]})]
Title = Annotated[
    dict[str, str],
    BeforeValidator(_as_title),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "additionalProperties": {"type": "string"}},
            ]
        }
    ),
]
