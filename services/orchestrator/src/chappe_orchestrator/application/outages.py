"""After an outage the orders of that time may still be on their way: marketing mail waits for them.

It waits until its shard has applied a live record received after the mail was due, or the log has
been quiet for a minute; a quarter of an hour at most. Wall time: a demo clock that is moved is no
outage.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from chappe.broker import BrokerError
from chappe.clock import Clock

DOWN_AFTER = dt.timedelta(seconds=30)
QUIET = dt.timedelta(seconds=60)
LONGEST = dt.timedelta(minutes=15)
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

logger = structlog.get_logger(__name__)


class Heartbeat(Protocol):
    """Remembers when somebody was last at work."""

    async def beat(self, at: dt.datetime) -> dt.datetime | None:
        """Note that we are; returns the time noted before."""
        ...


@dataclass(slots=True)
class Outages:
    """Knows whether one has just ended, and what each shard has heard since."""

    heartbeat: Heartbeat
    ping: Callable[[], Awaitable[None]]
    wall: Clock
    _since: dt.datetime | None = None
    _heard: dict[int, dt.datetime] = field(default_factory=dict[int, dt.datetime])
    _last: dict[int, dt.datetime] = field(default_factory=dict[int, dt.datetime])

    async def look(self) -> None:
        """Note that the log and the database answer; see whether they had not."""
        try:
            await self.ping()
        except BrokerError:
            return
        now = self.wall.now()
        before = await self.heartbeat.beat(now)
        if before is not None and now - before > DOWN_AFTER:
            logger.warning(
                "Nobody was at work; marketing mail waits", seconds=(now - before).seconds
            )
            self._since, self._heard, self._last = now, {}, {}

    def hear(self, received: Iterable[tuple[int, dt.datetime]]) -> None:
        """Live records, by shard and when they were received."""
        if self._since is None:
            return
        now = self.wall.now()
        for shard, at in received:
            self._heard[shard] = max(at, self._heard.get(shard, LONG_AGO))
            self._last[shard] = now

    def heard_until(self, shard: int) -> dt.datetime | None:
        """Mail that was due later than this waits; None: no outage to recover from."""
        if self._since is None:
            return None
        now = self.wall.now()
        if now - self._since > LONGEST:
            self._since = None
            return None
        if now - self._last.get(shard, self._since) >= QUIET:
            return None
        return self._heard.get(shard, LONG_AGO)
