"""What a journey may ask about a contact, an event and an entry, as a tree.

A condition is a mapping. Paths are compared (several in one mapping must all hold), ``did``
counts events, ``consent`` looks at a channel, and ``all``, ``any``, ``not`` combine. What is
missing or of the wrong type makes a comparison false; it never raises.
"""

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StrictBool,
    StrictInt,
    Tag,
    model_validator,
)

from chappe.journey.values import (
    FILLED,
    PATH_PATTERN,
    Bound,
    EventName,
    OrWritten,
    Path,
    Scalar,
    Since,
    Strict,
    as_mapping,
    wrong,
)

Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]


class Comparison(Strict):
    """What one value must be; every operator that is given must hold.

    Money (``"20 EUR"``) is compared by amount, and only with money of the same currency.
    """

    is_: Scalar = Field(default=None, alias="is")
    not_: Scalar = Field(default=None, alias="not")
    in_: Annotated[tuple[Scalar, ...], FILLED] = Field(default=(), alias="in")
    not_in: Annotated[tuple[Scalar, ...], FILLED] = ()
    exists: StrictBool = True
    at_least: Bound = None
    at_most: Bound = None
    more_than: Bound = None
    less_than: Bound = None
    contains: Scalar = None

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
    window begins included.
    """

    did: EventName
    times: Times = Times(at_least=1)
    since: Since | None = None


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


class All(Strict):
    """Every one of them holds."""

    all_: "Annotated[tuple[Condition, ...], FILLED]" = Field(alias="all")


class AnyOf(Strict):
    """At least one of them holds."""

    any_: "Annotated[tuple[Condition, ...], FILLED]" = Field(alias="any")


class Not(Strict):
    """It does not hold; what is missing therefore counts as true here."""

    not_: "Condition" = Field(alias="not")


_WORDS = {"all": All, "any": AnyOf, "not": Not, "did": Did, "consent": ConsentIs}


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
    | Annotated[ConsentIs, Tag("if:consent")]
    | Annotated[PathsAre, Tag("if:paths")],
    Discriminator(
        _kind,
        custom_error_type="condition",
        custom_error_message="should be a condition: a mapping such as {contact.city: Lyon}",
    ),
]

for _model in (All, AnyOf, Not):
    _model.model_rebuild()
