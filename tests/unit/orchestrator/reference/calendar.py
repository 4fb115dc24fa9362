"""Days and clocks where a contact lives, found by looking at the clock over and over.

Zones differ from UTC by whole quarters of an hour here, and times of day are on a quarter.
"""

import datetime as dt
from functools import lru_cache
from zoneinfo import ZoneInfo

QUARTER = dt.timedelta(minutes=15)
DAY = dt.timedelta(days=1)
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MORNING = dt.time(9)


def shown(at: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """What the clocks in ``zone`` show."""
    return at.astimezone(zone).replace(tzinfo=None)


@lru_cache(maxsize=4096)
def first_instant(wall: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The first instant at which a clock in ``zone`` shows ``wall``, or, in a night that skips it,
    something later.
    """
    at = wall.replace(tzinfo=dt.UTC) - dt.timedelta(hours=15)
    while shown(at, zone) < wall:
        at += QUARTER
    return at


def next_on(
    now: dt.datetime, at: dt.time | None, days: tuple[str, ...], zone: ZoneInfo
) -> dt.datetime:
    """The next time that it is ``at`` on one of the days; without ``at``, that it is such a day."""
    today = shown(now, zone).date()
    if at is None and NAMES[today.weekday()] in days:
        return now
    for ahead in range(9):
        day = today + ahead * DAY
        if days and NAMES[day.weekday()] not in days:
            continue
        instant = first_instant(dt.datetime.combine(day, at or dt.time()), zone)
        if instant > now:
            return instant
    raise AssertionError(now)


def quiet_until(
    now: dt.datetime, begin: dt.time, end: dt.time, days: tuple[str, ...], zone: ZoneInfo
) -> dt.datetime | None:
    """The first moment, from now on, at which no clock says that it is quiet; None: it is not now.

    What a clock shows twice in a night is quiet twice.
    """

    def quiet(at: dt.datetime) -> bool:
        local = shown(at, zone)
        if NAMES[local.weekday()] in days:
            return True
        clock = local.time()
        if begin < end:
            return begin <= clock < end
        return begin != end and (clock >= begin or clock < end)

    if not quiet(now):
        return None
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + ((now - midnight) // QUARTER + 1) * QUARTER
    while quiet(at):
        at += QUARTER
    return at


def told(
    value: object, offset: dt.timedelta, at: dt.time | None, zone: ZoneInfo
) -> dt.datetime | None:
    """So long before or after a date, at a time of day; whole days keep the hour on the wall."""
    if not isinstance(value, str):
        return None
    whole = dt.timedelta(days=abs(offset).days) * (-1 if offset < dt.timedelta() else 1)
    rest = offset - whole
    if "T" not in value:
        clock = at or (dt.time() if rest else MORNING)
        return (
            first_instant(dt.datetime.combine(dt.date.fromisoformat(value), clock) + whole, zone)
            + rest
        )
    local = shown(dt.datetime.fromisoformat(value), zone)
    wall = dt.datetime.combine(local.date() + whole, at or local.time())
    return first_instant(wall, zone) + rest


def birthday(born: dt.date, year: int) -> dt.date:
    """Whoever was born on 29 February is a year older on the 28th otherwise."""
    try:
        return born.replace(year=year)
    except ValueError:
        return dt.date(year, 2, 28)
