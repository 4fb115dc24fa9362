"""What this process has claimed and not yet concluded, and for which shards it may conclude."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from chappe.clock import monotonic
from chappe.ids import MessageId
from chappe_sender import metrics
from chappe_sender.application.ports import Claimed, Ended

LATE_MAX = 1_000
"""Outcomes of lost shards that are kept, in case we get the shards again."""

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Flight:
    """``shards`` are ours: shard → epoch. Of those that are ``leaving`` nothing new is begun.

    ``carried``: a lane of ours has its outcome, or will.
    """

    shards: dict[int, int] = field(default_factory=dict[int, int])
    leaving: set[int] = field(default_factory=set[int])
    carried: set[MessageId] = field(default_factory=set[MessageId])
    _claimed: dict[MessageId, tuple[Claimed, float]] = field(
        default_factory=dict[MessageId, tuple[Claimed, float]]
    )
    _late: dict[MessageId, Ended] = field(default_factory=dict[MessageId, Ended])
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._claimed)

    def __iter__(self) -> Iterator[Claimed]:
        return (claimed for claimed, _ in self._claimed.values())

    def is_ours(self, shard: int, epoch: int) -> bool:
        return self.shards.get(shard) == epoch

    def is_known(self, message: MessageId) -> bool:
        """Whether a lane of ours has its outcome, or will."""
        return message in self._late or message in self.carried

    @property
    def open_shards(self) -> dict[int, int]:
        """Those of which something new may be begun."""
        return {s: epoch for s, epoch in self.shards.items() if s not in self.leaving}

    def begin(self, claimed: Claimed) -> None:
        self._claimed[claimed.message.id] = (claimed, monotonic())

    def seconds(self, message: MessageId) -> float | None:
        """Since it was claimed."""
        known = self._claimed.get(message)
        return monotonic() - known[1] if known is not None else None

    def end(self, message: MessageId) -> None:
        """It is concluded, or no longer ours to conclude."""
        self._claimed.pop(message, None)

    def leave(self, claimed: Claimed) -> None:
        """No longer ours to conclude."""
        self.carried.discard(claimed.message.id)
        self.end(claimed.message.id)
        self.count()
        self.quiet()

    # -- outcomes that came after their shard was lost ----------------------------------------

    def keep_late(self, ended: Ended) -> None:
        self._late[ended.message.id] = ended
        if len(self._late) > LATE_MAX:
            del self._late[next(iter(self._late))]

    def late(self, claimed: Claimed) -> Ended | None:
        """Its outcome, if it came under the same claim; forgotten then."""
        late = self._late.pop(claimed.message.id, None)
        return late if late is not None and late.epoch == claimed.epoch else None

    # -- rest ---------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Something ended."""
        self._quiet.set()

    async def come_to_rest(self, shards: set[int], seconds: float) -> None:
        """Until nothing of these shards is on the wire, or patience ends."""
        try:
            async with asyncio.timeout(seconds):
                while any(claimed.message.shard in shards for claimed in self):
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            logger.warning("Messages are still on the wire", shards=len(shards))

    def count(self) -> None:
        metrics.IN_FLIGHT.set(len(self._claimed))
