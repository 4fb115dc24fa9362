"""Load as the services make it: writers that repeat, a reader that follows, and the verdict."""

import asyncio
from collections.abc import Mapping, Sequence

from chappe.broker import Broker, BrokerUnavailable, Outgoing, Reader, Record
from chappe.events.streams import EVENTS
from tests.contract.broker.stands import PARTITIONS


class Writer:
    """Appends 0, 1, 2 … to one partition, three at a time, and repeats what was not acknowledged.

    As a relay does: nothing is tried before everything in front of it is acknowledged.
    """

    def __init__(self, broker: Broker, partition: int) -> None:
        self._broker = broker
        self._partition = partition
        self.acknowledged = 0
        self.refused = 0
        self._goal = 0
        self._moved = asyncio.Event()

    async def run(self) -> None:
        while True:
            numbers = range(self.acknowledged, self.acknowledged + 3)
            try:
                await self._broker.append(
                    EVENTS, [Outgoing(self._partition, b"k", b"%d" % number) for number in numbers]
                )
            except BrokerUnavailable:
                self.refused += 1
                await asyncio.sleep(0.05)
            else:
                self.acknowledged = numbers.stop
                self._moved.set()

    async def reach(self, goal: int) -> None:
        while self.acknowledged < goal:
            self._moved.clear()
            await self._moved.wait()


class Follower:
    """Reads along, over every failure, as an input of a shard does."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.seen: dict[int, list[Record]] = {partition: [] for partition in range(PARTITIONS)}

    async def run(self) -> None:
        await self._reader.assign(dict.fromkeys(range(PARTITIONS), 0))
        while True:
            try:
                found = await self._reader.read(500, 0.2)
            except BrokerUnavailable:
                await asyncio.sleep(0.05)
                continue
            for partition, records in found.items():
                self.seen[partition].extend(records)

    async def catch_up(self, ends: Mapping[int, int]) -> None:
        while any(
            not records or records[-1].offset + 1 < ends[partition]
            for partition, records in self.seen.items()
        ):
            await asyncio.sleep(0.05)


def assert_a_relay_would_be_content(records: Sequence[Record], acknowledged: int) -> None:
    """Dropping what is not newer, as consumers do, leaves every number once and in order."""
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    newest = -1
    for record in records:
        number = int(record.value)
        assert number <= newest + 1, f"{newest + 1} is missing before {number}"
        newest = max(newest, number)
    assert newest + 1 >= acknowledged
