"""Days and times of day where a contact lives, turned into instants; nights with a DST change too.

A time of day that a night skips means the first instant after the gap; one that a night has twice
means the first of the two. Somebody born on 29 February has a birthday on 28 February otherwise.
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

UTC_ZONE: Final = ZoneInfo("UTC")
MORNING: Final = dt.time(9)
"""When a date without a time of day begins to matter."""

DAY: Final = dt.timedelta(days=1)
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ZONE_LENGTH_MAX = 64
LEAP_YEAR = 2000

_MONTH_DAY = re.compile(r"(?:--)?(\d{2})-(\d{2})")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ZONE = re.compile(r"[A-Za-z0-9_+/-]+")


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo | None:
    """The IANA zone of that name, or None: a storefront may send anything."""
    if len(name) > ZONE_LENGTH_MAX or not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return None


def first_zone(names: Iterable[Any]) -> ZoneInfo:
    """The first of these that names a zone; UTC when none does."""
    for name in names:
        if isinstance(name, str) and (zone := zone_named(name)) is not None:
            return zone
    return UTC_ZONE


def local_instant(day: dt.date, at: dt.time, zone: dt.tzinfo) -> dt.datetime:
    """The instant in UTC at which clocks in ``zone`` show ``at`` on ``day``."""
    wall = dt.datetime.combine(day, at, zone)
    instant = wall.astimezone(dt.UTC)
    shown = instant.astimezone(zone).replace(tzinfo=None)
    if shown == wall.replace(tzinfo=None):
        return instant
    # In a gap: between what the offset before it and the one after it would say lies its end.
    after = wall.replace(fold=1).utcoffset() or dt.timedelta()
    before = wall.replace(fold=0).utcoffset() or dt.timedelta()
    low, high = sorted((wall.replace(tzinfo=dt.UTC) - before, wall.replace(tzinfo=dt.UTC) - after))
    return _end_of_gap(low, high, zone)


def _end_of_gap(low: dt.datetime, high: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """The first second between the two that has the later one's offset."""
    offset = high.astimezone(zone).utcoffset()
    while high - low > dt.timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle <= low or middle.astimezone(zone).utcoffset() == offset:
            if middle <= low:
                break
            high = middle
        else:
            low = middle
    return high


@dataclass(frozen=True, slots=True)
class DateRule:
    """An instant told by a date: so long before or after it, perhaps at a local time of day."""

    path: str
    offset: dt.timedelta = dt.timedelta()
    at: dt.time | None = None

    def instant(self, value: Any, zone: ZoneInfo) -> dt.datetime | None:
        """When it is for the date ``value``, in UTC; None when ``value`` is no date."""
        said = read_date(value, zone)
        if said is None:
            return None
        try:
            return self._instant(said, zone)
        except (OverflowError, ValueError):
            return None

    def _instant(self, said: dt.datetime | dt.date, zone: ZoneInfo) -> dt.datetime:
        sign = -1 if self.offset < dt.timedelta() else 1
        days = sign * dt.timedelta(days=abs(self.offset).days)
        rest = self.offset - days
        if isinstance(said, dt.datetime):
            local = said.astimezone(zone)
            # Whole days keep the hour on the wall, also across a DST change.
            at = self.at or local.time()
            return local_instant(local.date() + days, at, zone) + rest
        at = self.at or (dt.time() if rest else MORNING)
        return local_instant(said + days, at, zone) + rest


def read_date(value: Any, zone: ZoneInfo) -> dt.datetime | dt.date | None:
    """A date, or an instant (local when it names no zone), as ISO 8601; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        if _DATE.fullmatch(value):
            return dt.date.fromisoformat(value)
        at = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=zone)


def yearly(value: Any, zone: ZoneInfo) -> tuple[int, int] | None:
    """Month and day of a date that returns each year; the year may be missing (``--02-29``)."""
    if isinstance(value, str) and (found := _MONTH_DAY.fullmatch(value)):
        month, day = int(found[1]), int(found[2])
        try:
            dt.date(LEAP_YEAR, month, day)
        except ValueError:
            return None
        return month, day
    said = read_date(value, zone)
    if isinstance(said, dt.datetime):
        said = said.astimezone(zone).date()
    return (said.month, said.day) if said else None


def in_year(year: int, month: int, day: int) -> dt.date:
    """That day in a year; 29 February is 28 February in a common year."""
    if (month, day) == (2, 29):
        return dt.date(year, 3, 1) - DAY
    return dt.date(year, month, day)


def next_time(
    now: dt.datetime, at: dt.time | None, days: frozenset[int], zone: ZoneInfo
) -> dt.datetime:
    """The next instant after ``now`` at a local time of day on one of the weekdays (0: Monday).

    Without ``at``: now, when today is one of the days; else the beginning of the next of them.
    """
    today = now.astimezone(zone).date()
    if at is None and (not days or today.weekday() in days):
        return now
    for ahead in range(9):
        day = today + ahead * DAY
        if days and day.weekday() not in days:
            continue
        instant = local_instant(day, at or dt.time(), zone)
        if instant > now:
            return instant
    raise AssertionError("a week has every weekday")


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours in which nobody is written to: a stretch of each day, and whole weekdays."""

    begin: dt.time
    end: dt.time
    days: frozenset[int] = frozenset()

    def over(self, now: dt.datetime, zone: ZoneInfo) -> dt.datetime | None:
        """When the quiet hours that hold ``now`` are over; None when none do."""
        at = now
        for _ in range(24):  # a day and a night at a time: a week of them, and then some
            until = self._until(at, zone)
            if until is None or until <= at:
                break
            at = until
        return at if at > now else None

    def _until(self, at: dt.datetime, zone: ZoneInfo) -> dt.datetime | None:
        local = at.astimezone(zone)
        today, clock = local.date(), local.time()
        if today.weekday() in self.days:
            return local_instant(today + DAY, dt.time(), zone)
        if self.begin == self.end:
            return None
        if self.begin < self.end:
            inside = self.begin <= clock < self.end
            return self._end_on(today, at, zone) if inside else None
        if clock >= self.begin:
            return self._end_on(today + DAY, at, zone)
        return self._end_on(today, at, zone) if clock < self.end else None

    def _end_on(self, day: dt.date, at: dt.datetime, zone: ZoneInfo) -> dt.datetime:
        """The end after ``at``: what a night shows twice is quiet twice."""
        first = local_instant(day, self.end, zone)
        if first > at:
            return first
        return dt.datetime.combine(day, self.end, zone).replace(fold=1).astimezone(dt.UTC)
