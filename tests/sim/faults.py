"""What can go wrong on the way, how often; and the clock of the simulation."""

import asyncio
import contextvars
import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass

from chappe.clock import UTC

START = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

LATENCIES = (0, 0, 0.001, 0.01, 0.2)


def now() -> dt.datetime:
    return START + dt.timedelta(seconds=asyncio.get_running_loop().time())


class SimClock:
    def now(self) -> dt.datetime:
        return now()


@dataclass
class Faults:
    """How often what goes wrong. ``on`` is false while the world comes to rest."""

    lot: random.Random
    on: bool = True
    over: bool = False

    async def trip(self) -> None:
        """A message on its way: it takes a step, or a while."""
        if self.over:
            raise OSError("the simulation is over")
        await asyncio.sleep(LATENCIES[int(self.lot.random() * len(LATENCIES))] if self.on else 0)

    def strikes(self, chance: float) -> bool:
        return self.on and self.lot.random() < chance

    def later(self, what: Callable[[], object]) -> None:
        """It arrives after whoever sent it has given up, and perhaps died."""
        delay = self.lot.choice((0.01, 0.3, 2.0, 6.0))
        asyncio.get_running_loop().call_later(delay, what, context=contextvars.Context())
