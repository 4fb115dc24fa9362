"""Read one stream from Kafka: partitions and offsets by hand, no group, no reset."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from chappe.broker.kafka_connection import AWAY, Untyped, quietly
from chappe.broker.limits import ANSWER_SECONDS
from chappe.broker.port import BrokerUnavailable, OffsetOutOfRange, Record
from chappe.clock import monotonic

FETCH_WAIT_MS = 250
"""How long a broker holds a fetch with nothing to say; a re-assignment waits for it too."""

FETCH_BYTES_MAX = 16 * 1024 * 1024
SUSPICIOUS_SECONDS = 30.0
"""After so long without a record the reader asks whether there is really none."""

log = structlog.get_logger(__name__)


class KafkaReader:
    def __init__(
        self,
        arguments: Mapping[str, Any],
        topic: str,
        ends: Callable[[], Awaitable[dict[int, int]]],
    ) -> None:
        self._arguments = dict(arguments)
        self._topic = topic
        self._ends = ends
        self._consumer: Untyped | None = None
        self._positions: dict[int, int] = {}
        self._applied = True
        self._lost: str | None = None
        self._quiet_since = monotonic()

    async def assign(self, offsets: Mapping[int, int]) -> None:
        self._positions = dict(offsets)
        self._applied = False
        self._lost = None
        self._quiet_since = monotonic()

    async def read(self, max_records: int, wait_seconds: float) -> dict[int, list[Record]]:
        if self._lost is not None:
            raise OffsetOutOfRange(self._lost)
        if not self._positions:
            await asyncio.sleep(wait_seconds)
            return {}
        try:
            consumer = await self._ready()
            found = await self._get(consumer, max_records, wait_seconds)
        except (*AWAY, ConsumerStoppedError) as error:
            await self.close()
            raise BrokerUnavailable(f"Kafka does not give records: {error!r}") from error
        if found:
            self._quiet_since = monotonic()
        elif monotonic() - self._quiet_since > SUSPICIOUS_SECONDS:
            await self._suspect()
        return found

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._applied = False
        if consumer is not None:
            await quietly(consumer.stop)

    async def _get(
        self, consumer: Untyped, max_records: int, wait_seconds: float
    ) -> dict[int, list[Record]]:
        deadline = monotonic() + wait_seconds
        while True:
            left = max(0, round((deadline - monotonic()) * 1000))
            try:
                got = await consumer.getmany(timeout_ms=left, max_records=max_records)
            except OffsetOutOfRangeError as error:
                self._check_lost(error)
                continue  # about an assignment that has been replaced
            found: dict[int, list[Record]] = {}
            for place, messages in got.items():
                records = [
                    Record(message.offset, message.key or b"", message.value or b"")
                    for message in messages
                    if message.offset >= self._positions[place.partition]
                ]
                if records:
                    found[place.partition] = records
                    self._positions[place.partition] = records[-1].offset + 1
            if found or left == 0:
                return found

    def _check_lost(self, error: OffsetOutOfRangeError) -> None:
        for place, offset in dict(error.args[0]).items():
            if self._positions.get(place.partition) == offset:
                self._lost = f"{self._topic}/{place.partition} does not hold offset {offset}"
                raise OffsetOutOfRange(self._lost) from error

    async def _ready(self) -> Untyped:
        """The consumer, started and at our positions."""
        consumer: Untyped = self._consumer or await self._started()
        if consumer is not self._consumer or not self._applied:
            self._consumer = consumer
            places = {
                TopicPartition(self._topic, partition): offset
                for partition, offset in self._positions.items()
            }
            consumer.assign(list(places))
            for place, offset in places.items():
                consumer.seek(place, offset)
            self._applied = True
        return consumer

    async def _started(self) -> Untyped:
        consumer: Untyped = AIOKafkaConsumer(
            **self._arguments,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=FETCH_BYTES_MAX,
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await consumer.start()
        except BaseException:
            await quietly(consumer.stop)
            raise
        return consumer

    async def _suspect(self) -> None:
        """Replace a consumer that gives nothing although there is something."""
        self._quiet_since = monotonic()
        ends = await self._ends()
        if any(ends.get(partition, 0) > at for partition, at in self._positions.items()):
            log.warning("kafka consumer replaced", topic=self._topic)
            await self.close()
