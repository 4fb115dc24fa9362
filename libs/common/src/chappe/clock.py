"""Time as a dependency, and there are two of them.

The *business* clock is every time that is stored in or compared with an event, an
enrollment, a message, a schedule or a report; the demo moves it. The *wall* clock is for
what the world outside agrees on: leases, signature tolerance, TLS, token expiry, the Date
header. Journeys wait for days; their tests hold a ``HandClock`` and turn it themselves.
"""

import datetime as dt
import time
from collections.abc import Callable
from typing import Protocol

UTC = dt.UTC


class Clock(Protocol):
    """Tells the time, in UTC."""

    def now(self) -> dt.datetime:
        """The instant, aware, in UTC."""
        ...


class WallClock:
    """The machine's own clock."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(UTC)


class BusinessClock:
    """The wall clock plus an offset that only grows.

    ``on_change`` callbacks run after each advance, so that sleepers look at their timers again.
    """

    def __init__(self, wall: Clock, offset: dt.timedelta = dt.timedelta()) -> None:
        self._wall = wall
        self._offset = offset
        self._listeners: list[Callable[[], None]] = []

    @property
    def offset(self) -> dt.timedelta:
        return self._offset

    def now(self) -> dt.datetime:
        return self._wall.now() + self._offset

    def advance(self, by: dt.timedelta) -> None:
        """Move forward; a negative step is a programming error."""
        if by < dt.timedelta():
            raise ValueError("the business clock never goes back")
        self._offset += by
        for listener in self._listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)


class HandClock:
    """A clock for tests: it stands still until somebody turns it."""

    def __init__(self, start: dt.datetime) -> None:
        self._now = start

    def now(self) -> dt.datetime:
        return self._now

    def advance(self, by: dt.timedelta) -> None:
        self._now += by

    def set(self, to: dt.datetime) -> None:
        self._now = to


def monotonic() -> float:
    """Seconds that never go back; for timeouts and rates."""
    return time.monotonic()
