"""The ways to wait: for a while, until a time of day, until a date, for something to happen."""

from typing import Annotated, Any, TypeAlias

from pydantic import Discriminator, Field, StrictBool, Tag, model_validator

from chappe.journey.conditions import Condition
from chappe.journey.moments import Offset, TimeOfDay, Weekdays
from chappe.journey.values import (
    Duration,
    EventNames,
    Path,
    StepName,
    Strict,
    as_mapping,
    wrong,
)


class WaitFor(Strict):
    """Let time pass. ``restart``: a trigger repeated for the same key begins the wait anew."""

    time: Duration
    restart: StrictBool = False


class WaitUntilTime(Strict):
    """Until the next such time of day where the contact lives, on one of the weekdays.

    With weekdays alone: until one of them begins; today, when it is one, at once.
    """

    until: TimeOfDay | None = None
    on: Weekdays | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "WaitUntilTime":
        if self.until is None and self.on is None:
            raise wrong("until", "needs until, on or both")
        return self


class WaitUntilDate(Strict):
    """Until so long before or after a date of the event, the contact or the entry.

    When the date moves, so does the wait; when it is taken away, the enrollment ends. Reached too
    late, it passes, and the mail that belongs to it is skipped.
    """

    until: Path
    offset: Offset | None = None
    at: TimeOfDay | None = None

    @model_validator(mode="after")
    def _fits(self) -> "WaitUntilDate":
        if self.at is not None and self.offset is not None and self.offset.seconds:
            raise wrong("date", "with a time of day the offset is in whole days")
        return self


class EventWanted(Strict):
    """An event to wait for; ``of`` names the send or webhook step that it must be about."""

    event: EventNames
    of: StepName | None = None
    where: Condition | None = None


class ConditionWanted(Strict):
    """Something that must hold; looked at now and with every event of the contact."""

    when: Condition


def _wanted_kind(value: Any) -> str:
    held = as_mapping(value)
    is_when = isinstance(value, ConditionWanted) or (held is not None and "when" in held)
    return "for:when" if is_when else "for:event"


Wanted: TypeAlias = Annotated[
    Annotated[EventWanted, Tag("for:event")] | Annotated[ConditionWanted, Tag("for:when")],
    Discriminator(_wanted_kind),
]


class WaitForOne(Strict):
    """Wait until it happens, at most so long."""

    for_: Wanted = Field(alias="for")
    at_most: Duration
    restart: StrictBool = False
