"""The small typed values that a journey file is made of, each with one clear complaint."""

import datetime as dt
import re
from collections.abc import Callable, Mapping
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
PATH_PATTERN = r"^(event|contact|entry)(\.[A-Za-z0-9_$-]{1,100}){1,10}$"
_PATH = re.compile(PATH_PATTERN)


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


def _duration(value: Any) -> dt.timedelta:
    if not isinstance(value, str):
        raise wrong("duration", f"{value!r} is not a duration; write 20m, 1h, 2d or PT4H")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise wrong("duration", str(error)) from error


def _since(value: Any) -> dt.timedelta | Literal["entry"]:
    return "entry" if value == "entry" else _duration(value)


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
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def as_list(value: Any) -> list[Any] | None:
    """``value`` when it is a list."""
    return cast("list[Any]", value) if isinstance(value, list) else None


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
Name = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$")]
StepName = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9_.-]{0,299}$")]
EventName = Annotated[str, StringConstraints(strict=True), AfterValidator(_event_name)]
EventNames = Annotated[tuple[EventName, ...], FILLED, *one_or_more({"type": "string"})]
Path = Annotated[str, StringConstraints(strict=True), AfterValidator(_path)]
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
