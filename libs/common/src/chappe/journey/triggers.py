"""What brings a contact into a journey: an event, a tag, a segment, a date, silence, a request."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    StrictBool,
    Tag,
    WithJsonSchema,
    WrapSerializer,
    model_validator,
)

from chappe.journey.conditions import Condition
from chappe.journey.moments import Offset, TimeOfDay, Word, is_several
from chappe.journey.values import (
    FILLED,
    Duration,
    EventNames,
    Name,
    OrWritten,
    Path,
    Strict,
    wrong,
)

TRIGGERS_MAX = 10
REQUESTERS = ("api", "manual", "csv", "journey")


class OnEvent(Strict):
    """Any of these events. ``unverified``: those of public keys and unverified sources too."""

    event: EventNames
    where: Condition | None = None
    unverified: StrictBool = False


class TagChange(Strict):
    """One of the two."""

    added: Word | None = None
    removed: Word | None = None

    @model_validator(mode="after")
    def _says_one(self) -> "TagChange":
        if (self.added is None) == (self.removed is None):
            raise wrong("change", "needs either added or removed")
        return self


def _as_added(value: Any) -> Any:
    return {"added": value} if isinstance(value, str) else value


_Change = Annotated[TagChange, BeforeValidator(_as_added), OrWritten({"type": "string"})]


class OnTag(Strict):
    """A tag is added to the contact, or removed."""

    tag: _Change
    where: Condition | None = None


class OnList(Strict):
    """The contact joins a list, or leaves it. A list is a tag named ``list:NAME``."""

    list: _Change
    where: Condition | None = None


class SegmentChange(Strict):
    """One of the two."""

    entered: Name | None = None
    left: Name | None = None

    @model_validator(mode="after")
    def _says_one(self) -> "SegmentChange":
        if (self.entered is None) == (self.left is None):
            raise wrong("change", "needs either entered or left")
        return self


def _as_entered(value: Any) -> Any:
    return {"entered": value} if isinstance(value, str) else value


class OnSegment(Strict):
    """The contact comes into a segment, or leaves it."""

    segment: Annotated[SegmentChange, BeforeValidator(_as_entered), OrWritten({"type": "string"})]
    where: Condition | None = None


class OnDate(Strict):
    """So long before or after a date, perhaps at a local time of day.

    ``date`` is an attribute of the contact, or a field of one of the events ``of``. An attribute
    may come back each year; 29 February is then 28 February in a common year. A date without a
    time of day counts from 09:00 local time.
    """

    date: Path
    of: EventNames | None = None
    offset: Offset | None = None
    at: TimeOfDay | None = None
    every: Literal["year"] | None = None
    where: Condition | None = None

    @model_validator(mode="after")
    def _fits(self) -> "OnDate":
        root = self.date.partition(".")[0]
        if root == "entry":
            raise wrong("date", "a trigger's date is an attribute of the contact or of an event")
        if (root == "event") != (self.of is not None):
            raise wrong("date", "a date of an event needs of: the event's name, others do not")
        if self.every is not None and root == "event":
            raise wrong("date", "only a date of the contact can come back every year")
        if self.at is not None and self.offset is not None and self.offset.seconds:
            raise wrong("date", "with a time of day the offset is in whole days")
        return self


class Silence(Strict):
    """Nothing of this kind for so long, among those who ever did it."""

    event: EventNames
    for_: Duration = Field(alias="for")


class OnInactivity(Strict):
    """The contact did something once, and then for so long not again."""

    inactive: Silence
    where: Condition | None = None


def _requesters(value: Any) -> Any:
    if value is True or value == "any":
        return REQUESTERS
    return value if is_several(value) else (value,)


class OnRequest(Strict):
    """Somebody asks for it: a program, a person, an import, another journey's start_journey."""

    request: Annotated[
        tuple[Literal["api", "manual", "csv", "journey"], ...],
        BeforeValidator(_requesters),
        FILLED,
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": ["any", True, *REQUESTERS]},
                    {"type": "array", "items": {"enum": list(REQUESTERS)}, "minItems": 1},
                ]
            }
        ),
    ]
    where: Condition | None = None


class JourneyChange(Strict):
    """One of the two."""

    started: Name | None = None
    finished: Name | None = None

    @model_validator(mode="after")
    def _says_one(self) -> "JourneyChange":
        if (self.started is None) == (self.finished is None):
            raise wrong("change", "needs either started or finished")
        return self


class OnJourney(Strict):
    """The contact enters another journey, or walks it to an end."""

    journey: JourneyChange
    where: Condition | None = None


TRIGGER_KINDS: dict[str, type[Strict]] = {
    "date": OnDate,
    "event": OnEvent,
    "tag": OnTag,
    "list": OnList,
    "segment": OnSegment,
    "inactive": OnInactivity,
    "request": OnRequest,
    "journey": OnJourney,
}


def _trigger_tag(value: Any) -> str | None:
    if isinstance(value, dict):
        return f"on:{next((kind for kind in TRIGGER_KINDS if kind in value), 'event')}"
    return next((f"on:{k}" for k, model in TRIGGER_KINDS.items() if isinstance(value, model)), None)


Trigger: TypeAlias = Annotated[
    Annotated[OnEvent, Tag("on:event")]
    | Annotated[OnTag, Tag("on:tag")]
    | Annotated[OnList, Tag("on:list")]
    | Annotated[OnSegment, Tag("on:segment")]
    | Annotated[OnDate, Tag("on:date")]
    | Annotated[OnInactivity, Tag("on:inactive")]
    | Annotated[OnRequest, Tag("on:request")]
    | Annotated[OnJourney, Tag("on:journey")],
    Discriminator(
        _trigger_tag,
        custom_error_type="mapping",
        custom_error_message="should be a mapping",
    ),
]


def _as_tuple(value: Any) -> Any:
    return value if is_several(value) else (value,)


def _as_written(value: Any, handler: SerializerFunctionWrapHandler) -> Any:
    """One trigger is written as itself, several as a list."""
    shown: Any = handler(value)
    return shown[0] if len(shown) == 1 else shown


Triggers = Annotated[
    tuple[Trigger, ...],
    BeforeValidator(_as_tuple, json_schema_input_type=Trigger | tuple[Trigger, ...]),
    Field(max_length=TRIGGERS_MAX),
    FILLED,
    WrapSerializer(_as_written),
]


def events_of(trigger: Trigger) -> tuple[str, ...]:
    """The names of the facts that can set it off; none for a date of the contact and silence."""
    match trigger:
        case OnEvent(event=names):
            return names
        case OnTag() | OnList():
            return ("contact.tags_changed",)
        case OnSegment(segment=change):
            return ("segment.entered" if change.entered else "segment.left",)
        case OnDate(of=names):
            return names or ()
        case OnRequest():
            return ("journey.requested",)
        case OnJourney(journey=change):
            return ("journey.started" if change.started else "journey.finished",)
        case OnInactivity():
            return ()
