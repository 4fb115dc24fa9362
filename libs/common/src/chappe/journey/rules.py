"""Who may enter a journey and whether again, what ends it at once, and what it is for."""

import datetime as dt
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, StrictBool, StrictInt, Tag, model_validator

from chappe.journey.conditions import Condition
from chappe.journey.moments import Instant, Percent
from chappe.journey.values import Duration, EventName, OrWritten, Paths, Strict, as_mapping, wrong


class Cooldown(Strict):
    """Enter again once this long has passed since the last entry."""

    cooldown: Duration


def _again_kind(value: Any) -> str:
    return "again:cooldown" if isinstance(value, dict | Cooldown) else "again:word"


class Entry(Strict):
    """Who may enter, under which key, and whether again.

    ``key`` names aliases of one thing (a cart has a checkout token and a cart token); without it
    the key is the contact, and for a date or silence each occurrence. ``closed_for`` is how long a
    closed key stays closed with ``always`` or a cooldown. ``newest_only``: a new key ends the
    enrollments of the older ones. ``at_most`` enrollments of one contact at once. ``holdout``
    percent of the contacts walk the journey without its marketing mail.
    """

    filter: Condition | None = None
    key: Paths | None = None
    again: Annotated[
        Annotated[Literal["once_per_key", "always", "never"], Tag("again:word")]
        | Annotated[Cooldown, Tag("again:cooldown")],
        Discriminator(_again_kind),
    ] = "once_per_key"
    closed_for: Duration = dt.timedelta(hours=72)
    newest_only: StrictBool = False
    at_most: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
    starts: Instant | None = None
    ends: Instant | None = None
    holdout: Percent | None = None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "Entry":
        if self.starts and self.ends and self.ends <= self.starts:
            raise wrong("ends", "ends before it starts")
        return self


class Match(Strict):
    """The exit event speaks of one key: any of the values at these paths."""

    any_: Paths = Field(alias="any")
    is_: Literal["entry.key"] = Field(alias="is")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        short = as_mapping(value)
        if short is None or len(short) != 1 or short.keys() & {"any", "is"}:
            return value
        ((path, key),) = short.items()
        return {"any": [path], "is": key}


_SHORT_MATCH: dict[str, Any] = {
    "type": "object",
    "patternProperties": {"^event[.]": {"const": "entry.key"}},
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}


class ExitRule(Strict):
    """End enrollments on an event; with ``match`` only those of the key it names, and close it."""

    event: EventName
    match: Annotated[Match, OrWritten(_SHORT_MATCH)] | None = None
    where: Condition | None = None


class ExitWhen(Strict):
    """End an enrollment as soon as this holds; looked at with every event of the contact."""

    when: Condition


class ExitOnGoal(Strict):
    """End an enrollment that has reached its goal."""

    goal: Literal[True]


class ExitAt(Strict):
    """End every enrollment at this instant."""

    at: Instant


EXIT_KINDS: dict[str, type[Strict]] = {
    "event": ExitRule,
    "when": ExitWhen,
    "goal": ExitOnGoal,
    "at": ExitAt,
}


def _exit_tag(value: Any) -> str:
    if isinstance(value, dict):
        return f"exit:{next((kind for kind in EXIT_KINDS if kind in value), 'event')}"
    return next((f"exit:{k}" for k, model in EXIT_KINDS.items() if isinstance(value, model)), "")


Exit: TypeAlias = Annotated[
    Annotated[ExitRule, Tag("exit:event")]
    | Annotated[ExitWhen, Tag("exit:when")]
    | Annotated[ExitOnGoal, Tag("exit:goal")]
    | Annotated[ExitAt, Tag("exit:at")],
    Discriminator(
        _exit_tag,
        custom_error_type="mapping",
        custom_error_message="should be a mapping",
    ),
]


class Goal(Strict):
    """What the journey is for; counted when it happens this soon after the entry."""

    event: EventName
    within: Duration
    where: Condition | None = None
