"""The shards a process holds, and what must move together when it gains or loses one."""

from collections.abc import Callable, Sequence

import structlog

from chappe.shards.batch import LostShards, Processor
from chappe.shards.metrics import ShardMetrics
from chappe.shards.relay import Relay
from chappe.shards.store import OutboxRow, Owned

logger = structlog.get_logger(__name__)


class Holdings:
    """What is ours now. ``readable`` are those that the processor has taken over."""

    def __init__(
        self, processor: Processor, metrics: ShardMetrics, on_change: Callable[[], None]
    ) -> None:
        self._processor = processor
        self._metrics = metrics
        self._on_change = on_change
        self._relay: Relay | None = None
        self.owned: dict[int, Owned] = {}
        self.readable: set[int] = set()

    @property
    def running(self) -> bool:
        return self._relay is not None

    @property
    def relay(self) -> Relay:
        assert self._relay is not None, "the runner is not running"
        return self._relay

    def begin(self, relay: Relay) -> None:
        self._relay = relay

    @property
    def epochs(self) -> dict[int, int]:
        """Shard → epoch, as leases are renewed and given back by."""
        return {owned.shard: owned.epoch for owned in self.owned.values()}

    async def take(self, claimed: Sequence[tuple[Owned, list[OutboxRow]]]) -> None:
        """These are ours now, with what their last owner left in the outbox."""
        for owned, rows in claimed:
            self.relay.adopt(owned.shard, owned.pub_seq, rows)
            self.owned[owned.shard] = owned
        if claimed:
            logger.info("Claimed shards", service=self._processor.name, shards=len(claimed))
            try:
                await self._processor.claimed([owned for owned, _ in claimed])
            except LostShards:
                logger.info("Lost shards while taking them over", service=self._processor.name)
            self.readable |= {owned.shard for owned, _ in claimed if owned.shard in self.owned}
            self._changed()

    async def finish(self, shards: Sequence[int]) -> None:
        """Let what is under way for these come to its end, before they are given back."""
        await self._processor.releasing([shard for shard in shards if shard in self.readable])

    async def drop(self, shards: Sequence[int]) -> None:
        """Forget these: somebody else's, or nobody knows."""
        gone = [shard for shard in shards if self.owned.pop(shard, None) is not None]
        if not gone:
            return
        for shard in gone:
            self.relay.drop(shard)
        self.readable -= set(gone)
        self._changed()
        await self._processor.released(gone)

    def _changed(self) -> None:
        self._metrics.owned.set(len(self.owned))
        self._on_change()
