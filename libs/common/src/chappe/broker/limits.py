"""Bounds that every adapter keeps, whatever the log is made of."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from chappe.broker.port import Outgoing, RecordTooLarge
from chappe.events.streams import Stream

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""Key and value together."""

ANSWER_SECONDS = 3.0
"""How long an append, a question or a ping may take before the log counts as away."""

WAITING_RECORDS_MAX = 10_000
WAITING_BYTES_MAX = 32 * 1024 * 1024

INSTALLATION = Stream("installation")
"""One partition, one record: whose streams these are."""


def partitions_of(stream: Stream, partitions: int) -> int:
    """How many partitions ``stream`` has in an installation of ``partitions``."""
    return 1 if stream == INSTALLATION else partitions


def size_of(record: Outgoing) -> int:
    return len(record.key) + len(record.value)


def check(stream: Stream, records: Sequence[Outgoing], partitions: int) -> None:
    """Refuse the whole append while nothing of it is in the log.

    Raises ``RecordTooLarge``, and ``ValueError`` for a partition that does not exist.
    """
    count = partitions_of(stream, partitions)
    for record in records:
        if not 0 <= record.partition < count:
            raise ValueError(f"{stream} has {count} partitions, none is {record.partition}")
        if (size := size_of(record)) > MAX_RECORD_BYTES:
            raise RecordTooLarge(
                f"a record of {size} bytes for {stream}: at most {MAX_RECORD_BYTES} fit"
            )


def chunks(
    records: Sequence[Outgoing], max_records: int, max_bytes: int
) -> Iterator[tuple[Sequence[Outgoing], int]]:
    """Cut ``records`` into runs within both bounds, each with its size; a big record is alone."""
    start = size = 0
    for at, record in enumerate(records):
        mine = size_of(record)
        if at > start and (at - start == max_records or size + mine > max_bytes):
            yield records[start:at], size
            start, size = at, 0
        size += mine
    if start < len(records):
        yield records[start:], size


class Room:
    """Bounded room for records on their way into the log; whoever finds none waits in line."""

    def __init__(
        self, max_records: int = WAITING_RECORDS_MAX, max_bytes: int = WAITING_BYTES_MAX
    ) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records = 0
        self._bytes = 0
        self._line: deque[tuple[asyncio.Future[None], int, int]] = deque()

    async def enter(self, records: int, size: int) -> None:
        """Take room, waiting for it. What could never fit is let in when the room is empty."""
        if not self._line and self._fits(records, size):
            self._take(records, size)
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((place, records, size))
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # let in at the moment it gave up
                self.leave(records, size)
            raise

    def leave(self, records: int, size: int) -> None:
        self._take(-records, -size)
        while self._line:
            place, records, size = self._line[0]
            if place.done():  # gave up
                self._line.popleft()
            elif self._fits(records, size):
                self._line.popleft()
                self._take(records, size)
                place.set_result(None)
            else:
                return

    def _fits(self, records: int, size: int) -> bool:
        return self._records == 0 or (
            self._records + records <= self._max_records and self._bytes + size <= self._max_bytes
        )

    def _take(self, records: int, size: int) -> None:
        self._records += records
        self._bytes += size
