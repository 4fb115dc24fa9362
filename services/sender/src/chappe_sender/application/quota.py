"""Rates and daily caps that all processes share, taken in small slices.

A slice is part of what is left, so that nobody holds much that others could use; what somebody
does not use is given back. The database's clock says when a period ends, so the processes' need
not agree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final, Protocol

SLICE_MAX: Final = 50
DAY: Final = 86_400
PERIOD: Final = 10
"""Seconds over which a rate is kept, at least."""
ASK_AGAIN_SECONDS: Final = 1.0
"""After it was used up: others may give some back."""


@dataclass(frozen=True, slots=True)
class Slice:
    """``granted`` of this ``period``, which ends in ``seconds_left``."""

    period: int
    granted: int
    seconds_left: float


class Quotas(Protocol):
    """What all processes share."""

    async def lease(self, key: str, seconds: int, cap: int, most: int) -> Slice:
        """Up to ``most`` of what is left of ``cap`` in the period of ``seconds`` that it is now."""
        ...

    async def give_back(self, key: str, period: int, unused: int) -> None: ...


@dataclass(slots=True)
class Leased:
    """``cap`` in each period of ``seconds``, as far as this process has leased of it. ``now`` is
    monotonic.
    """

    quotas: Quotas
    key: str
    cap: int
    seconds: int
    now: Callable[[], float]
    _slice: Slice | None = None
    _left: int = 0
    _until: float = 0.0
    _empty_until: float = 0.0

    async def take(self) -> float:
        """0.0: one may go. Otherwise seconds after which to ask again."""
        now = self.now()
        if self._left and now < self._until:
            self._left -= 1
            return 0.0
        if now < self._empty_until:
            return self._empty_until - now
        got = await self.quotas.lease(self.key, self.seconds, self.cap, SLICE_MAX)
        # From before we asked: never later than the period truly ends.
        self._slice, self._left, self._until = got, got.granted, now + got.seconds_left
        if not self._left:
            wait = max(min(got.seconds_left, ASK_AGAIN_SECONDS * self.seconds / PERIOD), 0.05)
            self._empty_until = now + wait
            return wait
        self._left -= 1
        return 0.0

    async def give_back(self) -> None:
        """What is not used."""
        unused, self._left = self._left, 0
        if unused and self._slice is not None and self.now() < self._until:
            await self.quotas.give_back(self.key, self._slice.period, unused)


def rate_of(quotas: Quotas, key: str, per_second: float, now: Callable[[], float]) -> Leased:
    """A rate, kept over a period of ten seconds or a little more, into which it fits exactly."""
    cap = ceil(per_second * PERIOD)
    return Leased(quotas, key, cap, ceil(cap / per_second), now)
