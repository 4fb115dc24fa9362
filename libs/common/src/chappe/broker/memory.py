"""A log in memory that keeps the port's promise for as long as the process lives; for tests."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from chappe.broker.limits import check, partitions_of
from chappe.broker.port import (
    BrokerUnavailable,
    OffsetOutOfRange,
    Outgoing,
    Reader,
    Record,
)
from chappe.clock import Clock, WallClock, monotonic
from chappe.events.streams import Stream


class MemoryBroker:
    """Set ``away`` to make every call fail as if the log did not answer."""

    def __init__(self, partitions: int, clock: Clock | None = None) -> None:
        self.away = False
        self._partitions = partitions
        self._clock = clock or WallClock()
        self._logs: dict[Stream, list[_Log]] = {}
        self._positions: dict[Stream, dict[str, dict[int, int]]] = defaultdict(dict)
        self._moved = asyncio.Condition()

    @property
    def partitions(self) -> int:
        return self._partitions

    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        self._answer()
        check(stream, records, self._partitions)
        now = self._clock.now().timestamp()
        for record in records:
            self.log(stream, record.partition).add(now, record)
        async with self._moved:
            self._moved.notify_all()

    def reader(self, stream: Stream) -> Reader:
        return _MemoryReader(self, stream)

    async def start_offsets(self, stream: Stream) -> dict[int, int]:
        self._answer()
        return {number: log.first for number, log in enumerate(self._of(stream))}

    async def end_offsets(self, stream: Stream) -> dict[int, int]:
        self._answer()
        return {number: log.end for number, log in enumerate(self._of(stream))}

    async def publish_position(
        self, consumer: str, stream: Stream, offsets: Mapping[int, int]
    ) -> None:
        self._answer()
        self._positions[stream].setdefault(consumer, {}).update(offsets)

    async def trim(self, stream: Stream, keep_seconds: float) -> None:
        self._answer()
        consumers = self._positions[stream].values()
        before = self._clock.now().timestamp() - keep_seconds
        for number, log in enumerate(self._of(stream)):
            if consumers:
                log.trim(min(offsets.get(number, 0) for offsets in consumers), before)

    async def ping(self) -> None:
        self._answer()

    async def close(self) -> None:
        """Nothing to give back."""

    def log(self, stream: Stream, partition: int) -> "_Log":
        self._answer()
        return self._of(stream)[partition]

    async def moved(self, seconds: float) -> None:
        """Wait until somebody appends, at most ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait()

    def _of(self, stream: Stream) -> list["_Log"]:
        if stream not in self._logs:
            count = partitions_of(stream, self._partitions)
            self._logs[stream] = [_Log() for _ in range(count)]
        return self._logs[stream]

    def _answer(self) -> None:
        if self.away:
            raise BrokerUnavailable("the log is away")


class _Log:
    """One partition."""

    def __init__(self) -> None:
        self.first = 0
        self._records: list[tuple[float, Record]] = []

    @property
    def end(self) -> int:
        return self.first + len(self._records)

    def add(self, now: float, record: Outgoing) -> None:
        self._records.append((now, Record(self.end, record.key, record.value)))

    def slice(self, position: int, count: int) -> list[Record]:
        start = position - self.first
        return [record for _, record in self._records[start : start + count]]

    def trim(self, passed: int, before: float) -> None:
        while self._records and self.first < passed and self._records[0][0] < before:
            del self._records[0]
            self.first += 1


class _MemoryReader:
    def __init__(self, broker: MemoryBroker, stream: Stream) -> None:
        self._broker = broker
        self._stream = stream
        self._positions: dict[int, int] = {}

    async def assign(self, offsets: Mapping[int, int]) -> None:
        self._positions = dict(offsets)

    async def read(self, max_records: int, wait_seconds: float) -> dict[int, list[Record]]:
        deadline = monotonic() + wait_seconds
        while True:
            found = self._take(max_records)
            left = deadline - monotonic()
            if found or left <= 0:
                return found
            await self._broker.moved(left)

    async def close(self) -> None:
        self._positions = {}

    def _take(self, max_records: int) -> dict[int, list[Record]]:
        found: dict[int, list[Record]] = {}
        for partition, position in self._positions.items():
            log = self._broker.log(self._stream, partition)
            if not log.first <= position <= log.end:
                raise OffsetOutOfRange(
                    f"{self._stream}/{partition} holds {log.first} to {log.end}, not {position}"
                )
            records = log.slice(position, max_records)
            if records:
                found[partition] = records
                max_records -= len(records)
        for partition, records in found.items():
            self._positions[partition] = records[-1].offset + 1
        return found
