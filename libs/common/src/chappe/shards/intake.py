"""Read several streams at once, the most urgent first, with a bounded look-ahead."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from chappe.broker import Broker, Reader, Record
from chappe.events.streams import Stream
from chappe.shards.batch import FlatRecord
from chappe.shards.store import Owned

READ_RECORDS_MAX = 500
READ_WAIT_SECONDS = 30.0


class Intake:
    """One reader per stream, each with one read under way and what its last read brought."""

    def __init__(self, broker: Broker, streams: Sequence[Stream]) -> None:
        self._readers: dict[Stream, Reader] = {stream: broker.reader(stream) for stream in streams}
        self._reads: dict[Stream, asyncio.Task[dict[int, list[Record]]]] = {}
        self._got: dict[Stream, list[FlatRecord]] = {stream: [] for stream in streams}

    async def assign(self, owned: Iterable[Owned]) -> None:
        """Read these shards from where they stand; forget what was fetched before."""
        await self._cancel()
        positions = list(owned)
        for stream, reader in self._readers.items():
            await reader.assign({o.shard: o.next_offsets.get(stream, 0) for o in positions})
            self._got[stream] = []

    def collect(self, limit: int, owned: Mapping[int, Owned]) -> list[FlatRecord]:
        """At most ``limit`` records that have come, live streams first; starts the next reads.

        Raises what a read raised (``OffsetOutOfRange``, ``BrokerUnavailable``).
        """
        collected: list[FlatRecord] = []
        for stream in self._readers:
            self._finish(stream)
            room = limit - len(collected)
            got = self._got[stream]
            collected += got[:room]
            self._got[stream] = got[room:]
            if not self._got[stream] and stream not in self._reads and owned:
                read = self._readers[stream].read(READ_RECORDS_MAX, READ_WAIT_SECONDS)
                self._reads[stream] = asyncio.create_task(read, name=f"read {stream}")
        return collected

    def _finish(self, stream: Stream) -> None:
        read = self._reads.get(stream)
        if read is None or not read.done() or self._got[stream]:
            return
        del self._reads[stream]
        self._got[stream] = [
            (shard, stream, record)
            for shard, records in read.result().items()
            for record in records
        ]

    async def wait(self, *others: asyncio.Task[object], seconds: float) -> None:
        """Until a read has brought something, one of ``others`` is done, or ``seconds``."""
        waiting: set[asyncio.Task[object]] = {*self._reads.values(), *others}
        if waiting:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    @property
    def holding(self) -> bool:
        """Whether something was read and not yet collected."""
        return any(self._got.values()) or any(read.done() for read in self._reads.values())

    async def _cancel(self) -> None:
        reads, self._reads = list(self._reads.values()), {}
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    async def close(self) -> None:
        await self._cancel()
        for reader in self._readers.values():
            await reader.close()
