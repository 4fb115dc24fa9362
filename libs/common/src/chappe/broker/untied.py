"""A broker that was away when its process started: nothing goes in before it is known to be ours.

The edge alone starts so. Its spool takes what shops send meanwhile, and WooCommerce never tells an
order twice: a door that stays shut until Kafka is back would lose it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from chappe.broker.port import Broker, BrokerError, BrokerUnavailable, Outgoing, Reader
from chappe.events.streams import Stream

AGAIN_SECONDS = 2.0

logger = structlog.get_logger(__name__)


class UntiedBroker:
    """``broker`` behind ``tie``, which checks whose it is and is tried until it succeeds.

    Until then every call raises ``BrokerUnavailable``, or what ``tie`` found: a broker that turns
    out to be another's stays shut.
    """

    def __init__(self, broker: Broker, tie: Callable[[], Awaitable[object]]) -> None:
        self._broker = broker
        self._tie = tie
        self._why: BrokerError | None = BrokerUnavailable("it was away when this process started")
        self._task = asyncio.create_task(self._try(), name="broker-tie")

    @property
    def partitions(self) -> int:
        return self._broker.partitions

    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        self._check()
        await self._broker.append(stream, records)

    def reader(self, stream: Stream) -> Reader:
        self._check()
        return self._broker.reader(stream)

    async def start_offsets(self, stream: Stream) -> dict[int, int]:
        self._check()
        return await self._broker.start_offsets(stream)

    async def end_offsets(self, stream: Stream) -> dict[int, int]:
        self._check()
        return await self._broker.end_offsets(stream)

    async def publish_position(
        self, consumer: str, stream: Stream, offsets: Mapping[int, int]
    ) -> None:
        self._check()
        await self._broker.publish_position(consumer, stream, offsets)

    async def trim(self, stream: Stream, keep_seconds: float) -> None:
        self._check()
        await self._broker.trim(stream, keep_seconds)

    async def ping(self) -> None:
        self._check()
        await self._broker.ping()

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._broker.close()

    def _check(self) -> None:
        if self._why is not None:
            raise self._why

    async def _try(self) -> None:
        while True:
            try:
                await self._tie()
            except BrokerError as error:
                if str(error) != str(self._why):
                    logger.warning(
                        "The log cannot be used yet; the spool takes over", why=str(error)
                    )
                self._why = error
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                self._why = None
                logger.info("The log is back, and is ours")
                return
