"""The log of the simulation, in memory, with all the ways in which one can disappoint."""

import asyncio
import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chappe.broker import BrokerUnavailable, Outgoing, Record
from chappe.events.streams import Stream
from tests.sim.faults import Faults, now


@dataclass
class Log:
    """What is durable: per stream and partition, with the instant at which each record landed."""

    partitions: int
    records: defaultdict[tuple[Stream, int], list[tuple[dt.datetime, Record]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    waiting: list["asyncio.Future[None]"] = field(default_factory=list)

    def land(self, stream: Stream, one: Outgoing) -> None:
        log = self.records[stream, one.partition]
        log.append((now(), Record(len(log), one.key, one.value)))
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)


class SimBroker:
    """One process's way to the log (``chappe.broker.Broker``)."""

    def __init__(self, log: Log, faults: Faults) -> None:
        self._log = log
        self._faults = faults

    @property
    def partitions(self) -> int:
        return self._log.partitions

    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        await self._faults.trip()
        if self._faults.strikes(0.05):
            landed = self._faults.lot.randrange(len(records) + 1)
            self._land(stream, records[:landed])
            if self._faults.strikes(0.4):
                # Not lost, only late: it comes among what was sent after it.
                late = list(records)
                self._faults.later(lambda: self._land(stream, late))
            await self._faults.trip()
            raise BrokerUnavailable("no answer")
        for _ in range(2 if self._faults.strikes(0.05) else 1):
            self._land(stream, records)
        await self._faults.trip()

    def _land(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        for one in records:
            self._log.land(stream, one)

    def reader(self, stream: Stream) -> "SimReader":
        return SimReader(self._log, self._faults, stream)

    async def start_offsets(self, stream: Stream) -> dict[int, int]:
        return dict.fromkeys(range(self.partitions), 0)

    async def end_offsets(self, stream: Stream) -> dict[int, int]:
        await self._faults.trip()
        return {p: len(self._log.records[stream, p]) for p in range(self.partitions)}

    async def publish_position(
        self, consumer: str, stream: Stream, offsets: Mapping[int, int]
    ) -> None:
        """Nobody resumes from these."""

    async def trim(self, stream: Stream, keep_seconds: float) -> None:
        """Everything is kept, to be counted."""

    async def ping(self) -> None:
        await self._faults.trip()

    async def close(self) -> None:
        """Nothing to give back."""


class SimReader:
    def __init__(self, log: Log, faults: Faults, stream: Stream) -> None:
        self._log = log
        self._faults = faults
        self._stream = stream
        self._positions: dict[int, int] = {}

    async def assign(self, offsets: Mapping[int, int]) -> None:
        self._positions = dict(offsets)

    async def read(self, max_records: int, wait_seconds: float) -> dict[int, list[Record]]:
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_seconds
        while True:
            await self._faults.trip()
            found: dict[int, list[Record]] = {}
            for partition, position in self._positions.items():
                most = self._faults.lot.randrange(1, 5) if self._faults.on else max_records
                records = self._log.records[self._stream, partition][position : position + most]
                if records:
                    found[partition] = [record for _, record in records]
            for partition, records in found.items():
                self._positions[partition] = records[-1].offset + 1
            if found or loop.time() >= end:
                return found
            more = loop.create_future()
            self._log.waiting.append(more)
            timer = loop.call_at(end, lambda one=more: one.done() or one.set_result(None))
            await more
            timer.cancel()

    async def close(self) -> None:
        self._positions = {}
