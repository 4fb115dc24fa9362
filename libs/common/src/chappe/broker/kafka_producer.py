"""Append to Kafka: an idempotent producer, and at most one batch in flight per partition.

One batch at a time, so that a record can never land without the one before it, not even when a
batch is refused: aiokafka leaves a hole in its sequence numbers then, and a broker that has not
yet seen the producer accepts what follows. Appends that wait meanwhile share the next batch.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
)

from chappe.broker.kafka_connection import AWAY, Untyped, quietly
from chappe.broker.limits import ANSWER_SECONDS, MAX_RECORD_BYTES, Room, size_of
from chappe.broker.port import BrokerUnavailable, Outgoing, RecordTooLarge
from chappe.deadlines import Deadlines

BATCH_BYTES = 512 * 1024
"""A batch takes this much, or one record that is bigger."""

ENVELOPE_BYTES = 64 * 1024
REQUEST_BYTES_MAX = MAX_RECORD_BYTES + ENVELOPE_BYTES
STUCK_SECONDS = 30.0
"""A batch that is unanswered for so long says that the producer, not the broker, is broken."""

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A caller's records for one partition, how many are acknowledged, and its future."""

    records: Sequence[Outgoing]
    done: asyncio.Future[None]
    sent: int = 0


class Appender:
    """Appends for everybody in this process. A broken producer is replaced behind the scenes."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = dict(arguments)
        self._room = Room()
        self._lanes: dict[tuple[str, int], deque[_Waiting]] = defaultdict(deque)
        self._tasks: set[asyncio.Task[None]] = set()
        self._producer: Untyped | None = None
        self._starting = asyncio.Lock()
        self._closed = False
        self._patience = Deadlines(ANSWER_SECONDS)
        self._stuck = Deadlines(STUCK_SECONDS)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def append(self, topic: str, records: Sequence[Outgoing]) -> None:
        """Durable on return. Raises ``BrokerUnavailable`` or ``RecordTooLarge``."""
        size = sum(map(size_of, records))
        try:
            with self._patience.limit():
                await self._room.enter(len(records), size)
                try:
                    await self._append(topic, records)
                finally:
                    self._room.leave(len(records), size)
        except TimeoutError as error:
            raise BrokerUnavailable(f"Kafka did not answer within {ANSWER_SECONDS:g} s") from error

    async def close(self) -> None:
        """Stop; callers that still wait get ``BrokerUnavailable``."""
        self._closed = True
        if self._producer is not None:
            self._discard(self._producer)
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _append(self, topic: str, records: Sequence[Outgoing]) -> None:
        if self._closed:
            raise BrokerUnavailable("the broker is closed")
        by_partition: dict[int, list[Outgoing]] = defaultdict(list)
        for record in records:
            by_partition[record.partition].append(record)
        loop = self._loop = self._loop or asyncio.get_running_loop()
        waiting = {
            partition: _Waiting(theirs, loop.create_future())
            for partition, theirs in by_partition.items()
        }
        for partition, entry in waiting.items():
            lane = self._lanes[topic, partition]
            lane.append(entry)
            if len(lane) == 1:
                self._spawn(self._drain(topic, partition, lane))
        answers = [entry.done for entry in waiting.values()]
        try:
            if len(answers) == 1:  # a single call's: the door's usual case
                await answers[0]
                return
            await asyncio.wait(answers)
        finally:
            for answer in answers:
                answer.cancel()
        if error := next(filter(None, [answer.exception() for answer in answers]), None):
            raise error

    async def _drain(self, topic: str, partition: int, lane: deque[_Waiting]) -> None:
        """Send what waits, batch after batch, until nothing does."""
        while lane:
            taken: list[tuple[_Waiting, int]] = []
            try:
                producer = await self._ready()
                batch, taken = _fill(producer.create_batch(), lane)
                if taken:
                    await self._send(producer, batch, topic, partition)
            except Exception as error:  # noqa: BLE001  told to whom it hit
                _settle(taken or [(entry, 0) for entry in lane], _translated(error, taken))
            else:
                _settle(taken, None)
            while lane and lane[0].done.done():
                lane.popleft()

    async def _send(self, producer: Untyped, batch: Untyped, topic: str, partition: int) -> None:
        try:
            acknowledged = await producer.send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            if not error.retriable and not isinstance(error, KafkaTimeoutError):
                self._discard(producer)
            raise
        try:
            with self._stuck.limit():
                await acknowledged
        except AWAY:
            self._discard(producer)  # its sequence may have a hole now
            raise

    async def _ready(self) -> Untyped:
        """The producer, started. Raises what ``AWAY`` names."""
        if self._producer is not None and not self._closed:
            return self._producer
        async with self._starting:
            if self._closed:
                raise ProducerClosed
            if self._producer is None:
                producer: Untyped = AIOKafkaProducer(
                    **self._arguments,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,
                    max_batch_size=BATCH_BYTES,
                    max_request_size=REQUEST_BYTES_MAX,
                )
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        await producer.start()
                except BaseException:
                    self._spawn(_end(producer))
                    raise
                if self._closed:
                    self._spawn(_end(producer))
                    raise ProducerClosed
                self._producer = producer
            return self._producer

    def _discard(self, producer: Untyped) -> None:
        if self._producer is producer:
            self._producer = None
            if not self._closed:
                log.warning("kafka producer replaced")
            self._spawn(_end(producer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fill(batch: Untyped, lane: deque[_Waiting]) -> tuple[Untyped, list[tuple[_Waiting, int]]]:
    """Fill ``batch`` from the front of ``lane``; returns it with how many came from whom."""
    taken: list[tuple[_Waiting, int]] = []
    for entry in lane:
        if entry.done.done():  # its caller gave up
            continue
        count = 0
        for record in islice(entry.records, entry.sent, None):
            if batch.append(key=record.key, value=record.value, timestamp=None) is None:
                break
            count += 1
        if count:
            taken.append((entry, count))
        if entry.sent + count < len(entry.records):
            break
    return batch, taken


def _settle(taken: Sequence[tuple[_Waiting, int]], error: Exception | None) -> None:
    for entry, count in taken:
        entry.sent += count
        if entry.done.done():
            continue
        if error is not None:
            entry.done.set_exception(error)
        elif entry.sent == len(entry.records):
            entry.done.set_result(None)


def _translated(error: Exception, taken: Sequence[tuple[_Waiting, int]]) -> Exception:
    if not isinstance(error, AWAY):
        return error
    if isinstance(error, TOO_LARGE) and sum(count for _, count in taken) == 1:
        return RecordTooLarge(f"Kafka refuses the record: {error}")
    return BrokerUnavailable(f"Kafka did not take the records: {error!r}")


async def _end(producer: Untyped) -> None:
    """Stop a producer without waiting for what it cannot deliver; whoever waits for it is told."""
    producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001  stop() would flush
    await quietly(producer.stop)
    await quietly(producer.client.close)
