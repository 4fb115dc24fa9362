"""Read Amazon's queues: each by the owner of its endpoint's shard, into the log, then deleted."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog

from chappe.broker import Broker, BrokerError, Outgoing
from chappe.clock import Clock
from chappe.events import RAW_DELIVERY, RawDelivery
from chappe.ids import derived, partition_of
from chappe.shards import wrap
from chappe_sender.application.feedback_ports import NotNow, Queue
from chappe_sender.application.feedback_reading import FROM_QUEUE, SES

LOOK_SECONDS = 15.0
"""How often the list of queues is read, and how soon a new owner begins."""

FAILED_SECONDS = 10.0
QUEUES_MAX = 50

_encode = msgspec.json.Encoder().encode

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Queued:
    """One message of a queue; ``receipt`` deletes it."""

    id: str
    receipt: str
    body: bytes


class Queues(Protocol):
    """Amazon SQS."""

    async def receive(self, queue: Queue) -> Sequence[Queued]:
        """Up to ten, waiting for the first up to 20 s. Raises ``NotNow``."""
        ...

    async def delete(self, queue: Queue, receipts: Sequence[str]) -> None:
        """Raises ``NotNow``."""
        ...


@dataclass(slots=True)
class QueuePoll:
    """``known`` gives the queues by endpoint, ``shards`` those owned now."""

    queues: Queues
    known: Callable[[int], Awaitable[Mapping[str, Queue]]]
    shards: Callable[[], Sequence[int]]
    broker: Broker
    business: Clock
    wall: Clock
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look(self) -> None:
        owned = set(self.shards())
        found: Mapping[str, Queue] = await self.known(QUEUES_MAX) if owned else {}
        ours = {id_: queue for id_, queue in found.items() if self._partition(id_) in owned}
        for id_ in set(self._tasks) - set(ours):
            self._tasks.pop(id_).cancel()
        for id_, queue in ours.items():
            if id_ not in self._tasks or self._tasks[id_].done():
                self._tasks[id_] = asyncio.create_task(self._poll(id_, queue), name=f"poll {id_}")

    async def _poll(self, endpoint: str, queue: Queue) -> None:
        while True:
            try:
                await self.take(endpoint, queue)
            except (NotNow, BrokerError) as error:
                logger.warning("A queue was not read", endpoint=endpoint, error=str(error))
                await asyncio.sleep(FAILED_SECONDS)

    async def take(self, endpoint: str, queue: Queue) -> int:
        """One round; what was not deleted comes again, and is known by its id."""
        messages = await self.queues.receive(queue)
        if not messages:
            return 0
        key = endpoint.encode()
        partition = self._partition(endpoint)
        records = [
            Outgoing(partition, key, wrap(_encode(self._raw(endpoint, each)))) for each in messages
        ]
        await self.broker.append(RAW_DELIVERY, records)
        with suppress(NotNow):
            await self.queues.delete(queue, [each.receipt for each in messages])
        return len(messages)

    def _raw(self, endpoint: str, message: Queued) -> RawDelivery:
        return RawDelivery(
            id=derived("raw_", "queue", endpoint, message.id),
            provider=SES,
            endpoint=endpoint,
            received_at=self.business.now(),
            received_wall=self.wall.now(),
            headers={FROM_QUEUE: "1", "x-amz-sns-message-id": message.id},
            body=message.body,
        )

    def _partition(self, endpoint: str) -> int:
        return partition_of(endpoint.encode(), self.broker.partitions)
