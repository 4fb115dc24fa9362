"""When the sender looks for what it may hand over: at news, at room, and when a shard read on."""

import asyncio
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from chappe.clock import HandClock
from chappe.shards.store import Owned
from chappe_sender.application.handover import HandOver
from chappe_sender.application.ports import Admits, Haul, Interrupted, Ledger, Work

PATIENCE_SECONDS = 0.5
"""Half of what a lost wake-up would cost: a blocked sender looks again after one second."""


@dataclass
class BlockedLedger:
    """Holds one due message that waits for its shard to read on; counts the looks at it."""

    now: dt.datetime
    looks: int = 0
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    while_asked: Any = None

    async def claim(
        self,
        shards: Mapping[int, int],
        *,
        lagging: Iterable[int],
        now: dt.datetime,
        wall: dt.datetime,
        limit: int,
        admits: Admits,
    ) -> Haul:
        self.looks += 1
        if self.looks > 1:
            self.looked.set()
        return Haul([], 0)

    async def next_due(self, shards: Sequence[int]) -> dt.datetime | None:
        if self.looks == 1 and self.while_asked is not None:
            self.while_asked()
        return self.now

    async def interrupted(self, shards: Sequence[int]) -> list[Interrupted]:
        return []


class NoLag:
    async def shards(self, shards: Mapping[int, int]) -> list[int]:
        return []


class NoWayOut:
    async def run(self, work: Work) -> None:
        await asyncio.Event().wait()


async def test_a_shard_that_reads_on_while_the_sender_asks_what_is_due_is_not_missed(
    clock: HandClock,
) -> None:
    ledger = BlockedLedger(clock.now())
    handover = HandOver(
        ledger=cast("Ledger", ledger),
        catalogue=cast("Any", None),
        scribe=cast("Any", None),
        way_out=NoWayOut(),
        business=clock,
        wall=clock,
        lag=cast("Any", NoLag()),
    )
    ledger.while_asked = handover.advanced
    running = asyncio.create_task(handover.run())
    try:
        await handover.adopt([Owned(0, 1, 0, {}, 0, 0)])
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ledger.looked.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
