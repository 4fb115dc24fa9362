"""Which shards have fallen behind in reading ``events``, so that an unsubscribe may be waiting."""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from chappe.broker import Broker, BrokerUnavailable
from chappe.clock import monotonic
from chappe.events.streams import EVENTS

LAG_SECONDS_MAX = 10.0
SAMPLE_SECONDS = 2.0


@dataclass(slots=True)
class Lag:
    """A shard lags when it has not read what was in ``events`` ten seconds ago.

    ``positions`` gives shard → next offset of ``events``. Asked only when there is something to
    send, so idle costs nothing.
    """

    broker: Broker
    positions: Callable[[], Mapping[int, int]]
    seconds: Callable[[], float] = monotonic
    _samples: deque[tuple[float, dict[int, int]]] = field(default_factory=deque)

    async def shards(self, shards: Mapping[int, int]) -> list[int]:
        """Those of ``shards`` that give no marketing now."""
        now = self.seconds()
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            with suppress(
                BrokerUnavailable
            ):  # nobody can have unsubscribed where nobody can append
                self._samples.append((now, await self.broker.end_offsets(EVENTS)))
        while len(self._samples) > 1 and now - self._samples[1][0] >= LAG_SECONDS_MAX:
            self._samples.popleft()
        if not self._samples or now - self._samples[0][0] < LAG_SECONDS_MAX:
            return []
        ends = self._samples[0][1]
        read = self.positions()
        return [shard for shard in shards if read.get(shard, 0) < ends.get(shard, 0)]
