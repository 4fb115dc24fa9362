"""What this process knows of the embedded log without asking Postgres.

Ends that it has seen, the newest records that it appended itself, and which of its readers want
to be woken. Everything here may be behind the truth, and nothing here is ever wrong: an end only
grows, and a record at an offset never changes.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from chappe.broker.limits import size_of
from chappe.broker.port import Outgoing, Record
from chappe.events.streams import Stream

TAIL_BYTES_MAX = 16 * 1024 * 1024
RECORD_OVERHEAD_BYTES = 200
"""What a kept record costs beside its key and value, roughly."""


class Known:
    def __init__(self, tail_bytes_max: int = TAIL_BYTES_MAX) -> None:
        self._ends: dict[Stream, dict[int, int]] = defaultdict(dict)
        self._tail: dict[tuple[Stream, int], dict[int, Record]] = defaultdict(dict)
        self._oldest_first: deque[tuple[Stream, int, int, int]] = deque()
        self._bytes = 0
        self._bytes_max = tail_bytes_max
        self._watching: dict[Stream, list[asyncio.Event]] = defaultdict(list)

    def end(self, stream: Stream, partition: int) -> int:
        return self._ends[stream].get(partition, 0)

    def total(self, stream: Stream) -> int:
        """All of the stream's known ends added up: it differs when something was appended."""
        return sum(self._ends[stream].values())

    def streams(self) -> list[Stream]:
        """The streams that somebody reads here."""
        return [stream for stream, events in self._watching.items() if events]

    def watch(self, stream: Stream, moved: asyncio.Event) -> None:
        self._watching[stream].append(moved)

    def unwatch(self, stream: Stream, moved: asyncio.Event) -> None:
        if moved in self._watching[stream]:
            self._watching[stream].remove(moved)

    def learn(self, stream: Stream, ends: Mapping[int, int]) -> None:
        """Somebody, here or elsewhere, has appended up to ``ends``: wake the readers."""
        known = self._ends[stream]
        moved = False
        for partition, end in ends.items():
            if end > known.get(partition, 0):
                known[partition] = end
                moved = True
        if moved:
            for event in self._watching[stream]:
                event.set()

    def keep(self, stream: Stream, partition: int, base: int, records: Sequence[Outgoing]) -> None:
        """Remember what was just appended from offset ``base`` on."""
        tail = self._tail[stream, partition]
        for offset, record in enumerate(records, base):
            size = size_of(record) + RECORD_OVERHEAD_BYTES
            tail[offset] = Record(offset, record.key, record.value)
            self._oldest_first.append((stream, partition, offset, size))
            self._bytes += size
        while self._bytes > self._bytes_max:
            stream, partition, offset, size = self._oldest_first.popleft()
            del self._tail[stream, partition][offset]
            self._bytes -= size

    def tail(self, stream: Stream, partition: int, position: int, count: int) -> list[Record]:
        """Up to ``count`` records from ``position`` on; empty when that one is not remembered."""
        tail = self._tail[stream, partition]
        found: list[Record] = []
        while len(found) < count and (record := tail.get(position)) is not None:
            found.append(record)
            position += 1
        return found
