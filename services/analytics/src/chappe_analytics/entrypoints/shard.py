"""Analytics' part in the life of a shard: it holds nothing in memory and sets no timers."""

import datetime as dt
from collections.abc import Sequence

from chappe.events import EVENTS, EVENTS_BULK, JOURNAL, RAW_ENGAGEMENT, Stream
from chappe.shards import Batch, Owned
from chappe_analytics.application.apply_batch import ApplyBatch


class AnalyticsShards:
    """A ``Processor``: verdicts first, for a journey waits on them."""

    name = "analytics"
    inputs: Sequence[Stream] = (RAW_ENGAGEMENT, EVENTS, JOURNAL, EVENTS_BULK)
    timer_stream: Stream | None = None

    def __init__(self, apply_batch: ApplyBatch, schema: str) -> None:
        self._apply = apply_batch
        self.schema = schema

    async def claimed(self, shards: Sequence[Owned]) -> None:
        """Nothing is held in memory."""

    async def releasing(self, shards: Sequence[int]) -> None:
        """Nothing outlives a batch here."""

    async def released(self, shards: Sequence[int]) -> None:
        """Nothing is held in memory."""

    async def apply(self, batch: Batch) -> None:
        await self._apply(batch)

    async def poison(self, batch: Batch, error: Exception) -> None:
        await self._apply.set_aside(batch, error)

    def next_due(self) -> dt.datetime | None:
        return None

    def due_shards(self, now: dt.datetime) -> Sequence[int]:
        del now
        return ()
