"""Whether a route may be used now: a breaker for what cannot be reached, a stop for what is unsure.

The breaker opens after failures in a row, rests for a growing time, then lets one load through; one
that goes well closes it. Too many loads in doubt in a row stop the route until somebody looks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from chappe.clock import monotonic

FAILURES_MAX = 3
REST_SECONDS = 5.0
REST_SECONDS_MAX = 300.0
IN_DOUBT_MAX = 5
"""Loads in doubt in a row that stop a route, unless its record says another number."""


class Standing(StrEnum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    TRYING = "trying"
    """Half open: one load is on its way, and decides."""


@dataclass(slots=True)
class Health:
    """One route's, in this process."""

    in_doubt_max: int = IN_DOUBT_MAX
    seconds: Callable[[], float] = monotonic
    why: str | None = None
    """What went wrong last, in the provider's words."""
    doubts: int = 0
    _failures: int = 0
    _rests: int = 0
    _until: float | None = None
    _trying: bool = field(default=False)

    @property
    def standing(self) -> Standing:
        if self._until is None:
            return Standing.CLOSED
        return Standing.TRYING if self._trying else Standing.OPEN

    @property
    def usable(self) -> bool:
        """Whether something may be given to it now."""
        return self._until is None or (not self._trying and self.seconds() >= self._until)

    @property
    def seconds_left(self) -> float | None:
        """Until it may be tried again; None when it is closed."""
        return None if self._until is None else max(0.0, self._until - self.seconds())

    @property
    def must_stop(self) -> bool:
        return self.doubts >= self.in_doubt_max

    def begin(self) -> None:
        """A load is on its way."""
        self._trying = self._until is not None

    def abandoned(self) -> None:
        """The load that was on its way was not given away after all."""
        self._trying = False

    def answered(self) -> None:
        """It took or refused a load as it should."""
        self.doubts = self._failures = self._rests = 0
        self._until, self._trying = None, False

    def failed(self, why: str) -> None:
        """It could not be reached, or would refuse anything."""
        self.why = why
        if self._until is not None and not self._trying:
            return  # what was on its way when it opened says nothing new
        self._failures += 1
        if self._trying or self._failures >= FAILURES_MAX:
            rest = min(REST_SECONDS * 2**self._rests, REST_SECONDS_MAX)
            self._rests = min(self._rests + 1, 16)
            self._until = self.seconds() + rest
        self._trying = False

    def doubted(self, why: str) -> None:
        """It was given a load and nobody knows what became of it."""
        self.doubts += 1
        self.failed(why)
