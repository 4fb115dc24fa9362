"""What a journey may ask about a contact, an event and an entry, as a tree.

A condition is a mapping. Paths are compared (several in one mapping must all hold); ``did``,
``first``, ``last``, ``sum`` and ``max`` look at what the contact did; ``opened`` and ``clicked`` at
its last mails; ``tag``, ``score``, ``segment``, ``consent`` and ``topic`` at what we hold of it;
``all``, ``any``, ``not`` combine. It never raises, and every part of it is true or false:

=================================  ================  =============================================
operator                           missing or null   of another type
=================================  ================  =============================================
is, in, contains, starts_with      false             false (no text is a number, no number a yes)
not, not_in                        false             true
exists: true / exists: false       false / true      true / false
at_least, at_most, more_than,      false             false; money meets money of one currency only,
less_than                                            ``{"amount": "20.00", "currency": "EUR"}``
before, after, within_last,        false             false; a date is ISO 8601 between 1800 and
within_next, anniversary                             2199, in UTC where it names no zone
=================================  ================  =============================================

``not: {…}`` around a condition turns its answer, so what is missing counts as true there. Nothing
done counts as 0 for ``did`` and ``sum``; ``first``, ``last`` and ``max`` of nothing are missing.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StrictBool,
    StrictInt,
    StringConstraints,
    Tag,
    model_validator,
)

from chappe.journey.values import (
    FILLED,
    PATH_PATTERN,
    Anniversary,
    Bound,
    Duration,
    EventName,
    EventPath,
    Moment,
    Name,
    OrWritten,
    Path,
    Scalar,
    Since,
    Strict,
    as_mapping,
    money,
    one_or_more,
    wrong,
)

Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]

MAILS_COUNTED_MAX: Final = 20
"""How many of the last mails a profile remembers."""

PROFILE_WINDOW: Final = dt.timedelta(days=60)
"""The longest ``since`` that a profile's day buckets can answer; a longer one asks the history."""

SPENT_PATH: Final = "event.total"
"""The amount of which a profile keeps sum and maximum per event name and currency."""

OPERATORS: Final = (
    "is", "not", "in", "not_in", "exists", "at_least", "at_most", "more_than", "less_than",
    "contains", "starts_with", "before", "after", "within_last", "within_next", "anniversary",
)  # fmt: skip

_ALSO_WRITTEN: Mapping[str, str] = {"is_not": "not", "above": "more_than", "below": "less_than"}


def _spelled(value: Any) -> Any:
    """The other spellings of an operator, turned into the one that is kept."""
    written = as_mapping(value)
    if written is None or not written.keys() & {*_ALSO_WRITTEN, "missing"}:
        return value
    found: dict[str, Any] = {}
    for name, held in written.items():
        kept, told = _ALSO_WRITTEN.get(name, name), held
        if name == "missing" and isinstance(held, bool):
            kept, told = "exists", not held
        if kept in found or (kept != name and kept in written):
            raise wrong("twice", f"{name} and {kept} say the same; keep one")
        found[kept] = told
    return found


def _with_other_spellings(schema: dict[str, Any]) -> None:
    properties = schema["properties"]
    for name, kept in _ALSO_WRITTEN.items():
        if kept in properties:
            properties[name] = properties[kept]
    if "exists" in properties:
        properties["missing"] = {"type": "boolean"}


class _Bounds(Strict):
    """A number or an amount, from here to there."""

    model_config = ConfigDict(json_schema_extra=_with_other_spellings)

    at_least: Bound = None
    at_most: Bound = None
    more_than: Bound = None
    less_than: Bound = None

    @model_validator(mode="before")
    @classmethod
    def _other_spellings(cls, value: Any) -> Any:
        return _spelled(value)


class _Dates(Strict):
    """A date against a moment: an instant, ``now``, or so long before or after it (``-90d``)."""

    before: Moment | None = None
    after: Moment | None = None
    within_last: Duration | None = None
    within_next: Duration | None = None


class Comparison(_Bounds, _Dates):
    """What one value must be; every operator that is given must hold.

    Money (``"20 EUR"``) is compared by amount, and only with money of the same currency.
    ``anniversary``: the day of the year is today, or within the next days, where the contact lives.
    """

    is_: Scalar = Field(default=None, alias="is")
    not_: Scalar = Field(default=None, alias="not")
    in_: Annotated[tuple[Scalar, ...], FILLED] = Field(default=(), alias="in")
    not_in: Annotated[tuple[Scalar, ...], FILLED] = ()
    exists: StrictBool = True
    contains: Scalar = None
    starts_with: Annotated[str, StringConstraints(strict=True, min_length=1)] | None = None
    anniversary: Anniversary | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Comparison":
        if not self.model_fields_set:
            raise wrong("empty", "says nothing; write a value or an operator such as at_least")
        return self


def _as_comparison(value: Any) -> Any:
    is_written_out = isinstance(value, Comparison) or as_mapping(value) is not None
    return value if is_written_out else {"is": value}


_COMPARED = Annotated[
    Comparison,
    BeforeValidator(_as_comparison),
    OrWritten({"type": ["string", "number", "boolean"]}),
]


def _without_now(value: Comparison) -> Comparison:
    """An event does not change with time; what is asked of it must not either."""
    relative = {"within_last", "within_next", "anniversary"} & value.model_fields_set
    relative |= {n for n in ("before", "after") if isinstance(getattr(value, n), dt.timedelta)}
    if relative:
        raise wrong("relative", f"{min(relative)} cannot depend on now here; use since")
    return value


_FILTERED = Annotated[_COMPARED, AfterValidator(_without_now)]


class PathsAre(RootModel[dict[Path, _COMPARED]]):
    """Values at paths; all must hold."""

    model_config = ConfigDict(
        frozen=True, json_schema_extra={"propertyNames": {"pattern": PATH_PATTERN}}
    )

    @model_validator(mode="after")
    def _names_a_path(self) -> "PathsAre":
        if not self.root:
            raise wrong("empty", "is an empty condition")
        return self


class Times(Strict):
    """How often; every bound that is given must hold."""

    exactly: Count | None = None
    at_least: Count | None = None
    at_most: Count | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Times":
        if not self.model_fields_set:
            raise wrong("empty", "needs exactly, at_least or at_most")
        return self


class Did(Strict):
    """The contact did something: once at least, or as often as ``times`` says.

    ``since`` counts from the entry, or over the last days: whole UTC days, the one in which the
    window begins included. ``where`` looks at each event's own data.
    """

    did: EventName
    times: Times = Times(at_least=1)
    since: Since | None = None
    where: "EventFilter | None" = None


class Occasion(_Dates):
    """When the first or the last time was."""

    @model_validator(mode="after")
    def _says_something(self) -> "Occasion":
        if not self.model_fields_set:
            raise wrong("empty", "needs before, after, within_last or within_next")
        return self


class First(Strict):
    """When the contact first did something; false when it never did."""

    first: EventName
    at: Occasion


class Last(Strict):
    """When the contact last did something; false when it never did."""

    last: EventName
    at: Occasion


class _Total(_Bounds):
    """A number or amount at ``event.PATH`` over all events of one name.

    With bounds in money, amounts of that currency are taken and others left out.
    """

    of: EventName
    since: Since | None = None
    where: "EventFilter | None" = None

    @model_validator(mode="after")
    def _has_bounds_of_a_kind(self) -> "_Total":
        if not self.model_fields_set & set(_Bounds.model_fields):
            raise wrong("empty", "needs at_least, at_most, more_than or less_than")
        if len({unit for _, unit in bounds_of(self)}) > 1:
            raise wrong("bound", "should be in one currency, or in none")
        return self


class Sum(_Total):
    """The sum of a property."""

    sum: EventPath


class Max(_Total):
    """The largest value of a property."""

    max: EventPath


def _as_times(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return {"at_least": value} if is_count else value


_OFTEN = Annotated[Times, BeforeValidator(_as_times), OrWritten({"type": "integer", "minimum": 0})]
_Recent = Annotated[StrictInt, Field(ge=1, le=MAILS_COUNTED_MAX)]


class Opened(Strict):
    """How many of the last mails were opened by a person; a click is an opening too."""

    opened: _OFTEN
    of_last: _Recent


class Clicked(Strict):
    """How many of the last mails were clicked by a person."""

    clicked: _OFTEN
    of_last: _Recent


_Tag = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]


class Tagged(Strict):
    """The contact carries the tag, or one of them."""

    tag: Annotated[tuple[_Tag, ...], FILLED, *one_or_more({"type": "string"})]


class ScoreBounds(Strict):
    """The score's range; every bound that is given must hold."""

    model_config = ConfigDict(json_schema_extra=_with_other_spellings)

    at_least: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None
    at_most: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None
    more_than: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None
    less_than: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _other_spellings(cls, value: Any) -> Any:
        return _spelled(value)

    @model_validator(mode="after")
    def _says_something(self) -> "ScoreBounds":
        if not self.model_fields_set:
            raise wrong("empty", "needs at_least, at_most, more_than or less_than")
        return self


class ScoreIs(Strict):
    """The score as it has decayed until now; 0 for a contact that never had one."""

    score: ScoreBounds


class InSegment(Strict):
    """The contact is a member now."""

    segment: Name


def _as_channels(value: Any) -> Any:
    return {"email": value} if isinstance(value, str) else value


_ConsentWord = Literal["subscribed", "unsubscribed", "pending", "unknown"]


class ConsentIs(Strict):
    """What we hold for each channel; ``unknown`` when nothing was ever said."""

    consent: Annotated[
        dict[Literal["email", "sms", "tracking"], _ConsentWord],
        FILLED,
        BeforeValidator(_as_channels),
        OrWritten({"enum": list(get_args(_ConsentWord))}),
    ]


class TopicIs(Strict):
    """Topics start subscribed and are opted out of one by one; consent for the channel is apart."""

    topic: Annotated[dict[Name, Literal["subscribed", "unsubscribed"]], FILLED]


class All(Strict):
    """Every one of them holds."""

    all_: "Annotated[tuple[Condition, ...], FILLED]" = Field(alias="all")


class AnyOf(Strict):
    """At least one of them holds."""

    any_: "Annotated[tuple[Condition, ...], FILLED]" = Field(alias="any")


class Not(Strict):
    """It does not hold; what is missing therefore counts as true here."""

    not_: "Condition" = Field(alias="not")


_WORDS: Mapping[str, type[Strict]] = {
    "all": All,
    "any": AnyOf,
    "not": Not,
    "did": Did,
    "first": First,
    "last": Last,
    "sum": Sum,
    "max": Max,
    "opened": Opened,
    "clicked": Clicked,
    "tag": Tagged,
    "score": ScoreIs,
    "segment": InSegment,
    "consent": ConsentIs,
    "topic": TopicIs,
}

NODES: Mapping[str, type[Strict]] = {f"if:{word}": model for word, model in _WORDS.items()}
"""The model that stands under a tag of a validation error's location."""


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return f"if:{next((word for word in _WORDS if word in value), 'paths')}"
    return next(
        (f"if:{word}" for word, kind in _WORDS.items() if isinstance(value, kind)), None
    ) or ("if:paths" if isinstance(value, PathsAre) else None)


Condition: TypeAlias = Annotated[
    Annotated[All, Tag("if:all")]
    | Annotated[AnyOf, Tag("if:any")]
    | Annotated[Not, Tag("if:not")]
    | Annotated[Did, Tag("if:did")]
    | Annotated[First, Tag("if:first")]
    | Annotated[Last, Tag("if:last")]
    | Annotated[Sum, Tag("if:sum")]
    | Annotated[Max, Tag("if:max")]
    | Annotated[Opened, Tag("if:opened")]
    | Annotated[Clicked, Tag("if:clicked")]
    | Annotated[Tagged, Tag("if:tag")]
    | Annotated[ScoreIs, Tag("if:score")]
    | Annotated[InSegment, Tag("if:segment")]
    | Annotated[ConsentIs, Tag("if:consent")]
    | Annotated[TopicIs, Tag("if:topic")]
    | Annotated[PathsAre, Tag("if:paths")],
    Discriminator(
        _kind,
        custom_error_type="condition",
        custom_error_message="should be a condition: a mapping such as {contact.city: Lyon}",
    ),
]

EventFilter: TypeAlias = Annotated[dict[EventPath, _FILTERED], FILLED]
"""What an event's own data must be; all must hold."""

for _model in (All, AnyOf, Not, Did, _Total, Sum, Max):
    _model.model_rebuild()


def bounds_of(node: "_Bounds") -> list[tuple[str, str | None]]:
    """The bounds that are given: the operator, and the currency its amount is in."""
    given = [name for name in _Bounds.model_fields if name in node.model_fields_set]
    return [(name, currency_of(getattr(node, name))) for name in given]


def currency_of(bound: Any) -> str | None:
    """``EUR`` for ``"20 EUR"``; None for a plain number."""
    priced = money(bound)
    return priced[1] if priced else None


def parts_of(condition: Condition) -> tuple[Condition, ...]:
    """The conditions directly inside one that combines; none inside any other."""
    match condition:
        case All(all_=parts) | AnyOf(any_=parts):
            return parts
        case Not(not_=part):
            return (part,)
        case _:
            return ()
