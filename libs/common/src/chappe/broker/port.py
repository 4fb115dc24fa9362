"""The broker, in our own words: a partitioned log that is appended to and read from offsets.

At-least-once: an append whose answer was lost may be in the log, and trying again may put it
there twice. Order is kept per partition; offsets grow and may have gaps. There are no consumer
groups and no transactions: who reads what, and from where, is decided by the shards.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from chappe.events.streams import Stream


class Record(NamedTuple):
    """One record as read."""

    offset: int
    key: bytes
    value: bytes


class Outgoing(NamedTuple):
    """One record to append."""

    partition: int
    key: bytes
    value: bytes


class BrokerError(Exception):
    """What can go wrong with the log.

    BrokerError
    ├── BrokerUnavailable   it did not answer in time; whether the append landed is unknown
    ├── RecordTooLarge      it will never take this record
    ├── OffsetOutOfRange    the log does not hold what was asked for: stop, never jump
    └── BrokerMismatch      partitions or installation are not ours: refuse to start
    """


class BrokerUnavailable(BrokerError):
    pass


class RecordTooLarge(BrokerError):
    pass


class OffsetOutOfRange(BrokerError):
    pass


class BrokerMismatch(BrokerError):
    pass


class Reader(Protocol):
    """Reads one stream. Not safe for concurrent calls."""

    async def assign(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions, each starting exactly at its offset, and no others.

        Replaces what was assigned and forgets what was fetched before. An offset may equal the
        end; one beyond it, or before what is kept, makes the next ``read`` raise
        ``OffsetOutOfRange``.
        """
        ...

    async def read(self, max_records: int, wait_seconds: float) -> dict[int, list[Record]]:
        """What has come, by partition, ascending, at most ``max_records`` in all.

        Returns as soon as there is anything, empty after ``wait_seconds``. May be cancelled; after
        a cancellation call ``assign`` before reading again.
        """
        ...

    async def close(self) -> None: ...


class Broker(Protocol):
    """The log. One per process; safe for concurrent use."""

    @property
    def partitions(self) -> int:
        """The same for every stream but ``installation``, and fixed for ever."""
        ...

    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        """Durable on return, in order per partition. Raises ``BrokerUnavailable`` (outcome unknown)
        or ``RecordTooLarge`` (nothing of that record is in the log).
        """
        ...

    def reader(self, stream: Stream) -> Reader: ...

    async def start_offsets(self, stream: Stream) -> dict[int, int]:
        """The first offset still kept, by partition."""
        ...

    async def end_offsets(self, stream: Stream) -> dict[int, int]:
        """The offset the next record will get: everything acknowledged is below it."""
        ...

    async def publish_position(
        self, consumer: str, stream: Stream, offsets: Mapping[int, int]
    ) -> None:
        """Tell lag tools, and ``trim``, how far ``consumer`` has read. Never used to resume."""
        ...

    async def trim(self, stream: Stream, keep_seconds: float) -> None:
        """Drop records older than ``keep_seconds`` that every consumer of the stream has passed.

        A stream that nobody has published a position for loses nothing.
        """
        ...

    async def ping(self) -> None:
        """Raises ``BrokerUnavailable`` unless the log answers within its timeout."""
        ...

    async def close(self) -> None: ...
