"""How often and when people are written to: of a workspace, and what a journey says otherwise."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt, model_validator

from chappe.journey.calendar import Quiet
from chappe.journey.moments import (
    Percent,
    TimeOfDay,
    Weekdays,
    Word,
    ZoneName,
    weekday_numbers,
)
from chappe.journey.values import Duration, Name, Strict, wrong

CAPS_MAX = 10
SOURCES_MAX = 500
RECIPIENTS_MAX = 500
WEEK = 7


class QuietHours(Strict):
    """No marketing mail between these times where the contact lives, and on these days.

    ``from`` later than ``to`` spans midnight.
    """

    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay
    days: Weekdays | None = None

    @model_validator(mode="after")
    def _leaves_some_time(self) -> "QuietHours":
        if self.from_ == self.to and self.days is None:
            raise wrong("quiet_hours", "begin and end at the same time")
        if len(set(self.days or ())) == WEEK:
            raise wrong("quiet_hours", "leave no day at all")
        return self

    def quiet(self) -> Quiet:
        """The same, ready to be asked."""
        return Quiet(self.from_, self.to, weekday_numbers(self.days))


class Cap(Strict):
    """At most so many marketing messages within any stretch of time this long."""

    most: Annotated[StrictInt, Field(ge=1, le=100)]
    within: Duration
    topic: Name | None = None


Caps = Annotated[tuple[Cap, ...], Field(max_length=CAPS_MAX)]


class Cadence(Strict):
    """What a journey says otherwise than its workspace; ``off`` for nothing at all."""

    quiet_hours: QuietHours | Literal["off"] | None = None
    caps: Caps | Literal["off"] | None = None


class JourneySettings(Strict):
    """What holds for every journey of a workspace.

    ``zone`` is for contacts who have none and whose source has none. ``holdout`` percent of all
    contacts get no marketing mail. Test orders run for ``test_recipients`` only. ``winners`` are
    the variants that a split has settled on: journey, step, variant. Scores lose half of
    their worth in ``score_half_life``; without it they stay.
    """

    zone: ZoneName = "UTC"
    sources: Annotated[dict[str, ZoneName], Field(max_length=SOURCES_MAX)] = Field(
        default_factory=dict[str, str]
    )
    quiet_hours: QuietHours | None = None
    caps: Caps = ()
    holdout: Percent | None = None
    score_half_life: Duration | None = None
    test_recipients: Annotated[tuple[Word, ...], Field(max_length=RECIPIENTS_MAX)] = ()
    winners: Annotated[dict[Name, dict[str, Word]], Field(max_length=SOURCES_MAX)] = Field(
        default_factory=dict[str, dict[str, str]]
    )
