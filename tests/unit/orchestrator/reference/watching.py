"""Journeys that nobody's word begins: a day that returns each year, and silence."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from chappe.journey.definition import Journey
from chappe.journey.triggers import OnDate, OnInactivity
from tests.unit.orchestrator.reference.calendar import birthday, first_instant, shown, told
from tests.unit.orchestrator.reference.entering import Entering

DAY = dt.timedelta(days=1)


@dataclass
class Watch:
    """``entered`` are the days for which the journey has begun, or would have."""

    journey: Journey
    entered: list[str] = field(default_factory=list[str])


class Watching(Entering):
    def watches(self) -> list[Watch]:
        if not hasattr(self, "_watches"):
            self._watches = [
                Watch(journey)
                for journey in self.journeys
                if isinstance(journey.trigger[0], OnDate | OnInactivity)
            ]
        return self._watches

    def next_watch(self, watch: Watch) -> tuple[dt.datetime, str] | None:
        """When the journey begins next, as far as anybody knows now, and for which day."""
        rule = watch.journey.trigger[0]
        if isinstance(rule, OnInactivity):
            return self._silence(watch, rule)
        assert isinstance(rule, OnDate)
        return self._yearly(watch, rule)

    def begin(self, watch: Watch, at: dt.datetime, day: str, *, late: bool = False) -> None:
        watch.entered.append(day)
        if self.paused:
            return
        rule = watch.journey.trigger[0]
        last = {"last": at - rule.inactive.for_} if isinstance(rule, OnInactivity) else {}
        data: dict[str, Any] = {n: v.isoformat() for n, v in last.items()} or {"date": day}
        lasting = watch.journey.entry.again in ("once_per_key", "never")
        key = day if lasting else self.contact
        self.admit(watch.journey, key, data, at, inserting=late)

    def look_at_the_calendar(self, names: set[str], *, may_enter: bool) -> None:
        """The contact told a date, or took it back: what lies in the past of the same day begins at
        once, or, by what was told of long ago, not at all.
        """
        for watch in self.watches():
            rule = watch.journey.trigger[0]
            if not isinstance(rule, OnDate):
                continue
            name = rule.date.removeprefix("contact.")
            if name in names and name not in self.traits:
                for run in self.active(watch.journey):
                    self.leave(run)
            found = self._yearly(watch, rule) if names & {name, "timezone"} else None
            if found is None or found[0] > self.now:
                continue
            if may_enter:
                self.begin(watch, *found, late=True)
            else:
                watch.entered.append(found[1])

    def _silence(self, watch: Watch, rule: OnInactivity) -> tuple[dt.datetime, str] | None:
        heard = [self.last[name] for name in rule.inactive.event if name in self.last]
        if not heard:
            return None
        day = max(heard).date().isoformat()
        return None if day in watch.entered else (max(heard) + rule.inactive.for_, day)

    def _yearly(self, watch: Watch, rule: OnDate) -> tuple[dt.datetime, str] | None:
        said = self.traits.get(rule.date.removeprefix("contact."))
        if said is None:
            return None
        born, zone = dt.date.fromisoformat(said), self.zone
        offset = rule.offset or dt.timedelta()
        for year in range(shown(self.now, zone).year - 1, shown(self.now, zone).year + 4):
            day = birthday(born, year)
            at = told(day.isoformat(), offset, rule.at, zone)
            assert at is not None
            over = end_of(day, zone) <= self.now and at < self.now
            if day.isoformat() not in watch.entered and not over:
                return at, day.isoformat()
        return None


def end_of(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    return first_instant(dt.datetime.combine(day + DAY, dt.time()), zone)
