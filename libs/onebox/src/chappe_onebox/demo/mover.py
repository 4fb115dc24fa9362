"""Move the business clock the way time passes: from due instant to due instant, and wait each time.

A two-day hop behaves like two days: whatever is due on the way happens at its own time, and its
mails have arrived before the clock goes on.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chappe.clock import BusinessClock, monotonic
from chappe.service import Service
from chappe_onebox.inbox import Inbox

SECONDS_MAX = 110.0
"""The whole move, with its waiting; the answer is promised within 120 s."""
LOOK_SECONDS = 0.02
LOOK_SECONDS_MAX = 0.2
QUIET_LOOKS = 2
TOGETHER = dt.timedelta(seconds=1)
"""Due instants this close are one hop, as they would be for a timer that fires within seconds."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the clock stands now, and what was not at rest when patience ended."""

    now: dt.datetime
    stuck: tuple[str, ...] = ()

    @property
    def settled(self) -> bool:
        return not self.stuck


@dataclass(slots=True, kw_only=True)
class Mover:
    """``keep`` makes the offset durable; it is called before the clock moves."""

    clock: BusinessClock
    services: Sequence[Service]
    inbox: Inbox | None
    keep: Callable[[dt.timedelta], None]
    seconds_max: float = SECONDS_MAX
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def advance(self, by: dt.timedelta) -> Moved:
        """Go forward by ``by``, or to the first hop after which something does not come to rest."""
        async with self._one_at_a_time:
            deadline = monotonic() + self.seconds_max
            goal = self.clock.offset + by
            stuck = await self._settle(deadline)
            while not stuck and self.clock.offset < goal:
                self._hop(await self._next_offset(goal))
                stuck = await self._settle(deadline)
            return Moved(self.clock.now(), stuck)

    async def _next_offset(self, goal: dt.timedelta) -> dt.timedelta:
        due = await self._next_due()
        if due is None:
            return goal
        step = max(due - self.clock.now(), dt.timedelta()) + TOGETHER
        return min(self.clock.offset + step, goal)

    async def _next_due(self) -> dt.datetime | None:
        dues = [await each.next_due() for each in self.services if each.next_due is not None]
        return min((due for due in dues if due is not None), default=None)

    def _hop(self, offset: dt.timedelta) -> None:
        self.keep(offset)
        self.clock.advance(offset - self.clock.offset)
        for service in self.services:
            service.wake()

    async def _settle(self, deadline: float) -> tuple[str, ...]:
        """Wait until nothing moves, twice in a row; what still does is returned at the deadline."""
        quiet, pause = 0, LOOK_SECONDS
        while True:
            busy = await self._busy()
            quiet = 0 if busy else quiet + 1
            if quiet == QUIET_LOOKS:
                return ()
            if monotonic() > deadline:
                return tuple(busy)
            await asyncio.sleep(LOOK_SECONDS if quiet else pause)
            pause = min(pause * 1.5, LOOK_SECONDS_MAX)

    async def _busy(self) -> list[str]:
        found: list[str] = []
        for service in self.services:
            if (busy := await service.busy()) is not None:
                found.append(busy)
            elif service.next_due is not None:
                due = await service.next_due()
                if due is not None and due <= self.clock.now():
                    found.append(f"{service.name}: due since {due:%Y-%m-%dT%H:%M:%SZ}")
        if self.inbox is not None and self.inbox.busy():
            found.append("inbox: a mail is arriving")
        return found
