"""Outbox to log, in order: rows go on the wire only after all before them are acknowledged."""

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import structlog

from chappe.broker import Broker, BrokerError, Outgoing
from chappe.events.streams import Stream
from chappe.shards import rules
from chappe.shards.faults import fault_point
from chappe.shards.metrics import ShardMetrics
from chappe.shards.records import Stamp, wrap
from chappe.shards.store import OutboxRow

CHUNK_RECORDS_MAX = 500
BACKLOG_RECORDS_MAX = 5_000
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)

logger = structlog.get_logger(__name__)


class Relay:
    """Relays the committed outbox rows of every shard of this process, one chunk at a time."""

    def __init__(
        self,
        broker: Broker,
        producer: str,
        incarnation: str,
        metrics: ShardMetrics,
        on_empty: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._producer = producer
        self._incarnation = incarnation
        self._metrics = metrics
        self._on_empty = on_empty
        self._states: dict[int, rules.RelayState] = {}
        self._rows: dict[int, deque[OutboxRow]] = {}
        self._backlog = 0
        self._failures = 0
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def backlog(self) -> int:
        """Rows committed and not yet acknowledged by the log."""
        return self._backlog

    @property
    def failing(self) -> bool:
        return self._failures > 0

    def adopt(self, shard: int, pub_seq: int, rows: Sequence[OutboxRow]) -> None:
        """Start relaying a claimed shard from its durable ``pub_seq``, with its outbox."""
        self._states[shard] = rules.resume_relay(pub_seq)
        self._rows[shard] = deque()
        self.push(rows)

    def drop(self, shard: int) -> None:
        """Forget a shard that is no longer ours; a chunk on the wire may still land."""
        self._states.pop(shard, None)
        self._count(-len(self._rows.pop(shard, ())))

    def push(self, rows: Sequence[OutboxRow]) -> None:
        """Queue rows that were just committed, in seq order per shard.

        A shard may have been lost while its commit was on the way: its next owner finds them.
        """
        ours = [row for row in rows if row.shard in self._rows]
        for row in ours:
            self._rows[row.shard].append(row)
        self._count(len(ours))
        if ours:
            self._work.set()

    def published(self, shard: int) -> int:
        """The highest seq of ``shard`` known to be in the log."""
        return self._states[shard].published

    async def room(self) -> None:
        """Wait until the backlog is below its bound."""
        await self._room.wait()

    async def run(self) -> None:
        """Relay for ever; an unanswered append is repeated, whole, until it is answered."""
        while True:
            await self._work.wait()
            self._work.clear()
            while chunk := self._next_chunk():
                await self._send(chunk)
            self._on_empty()

    def _next_chunk(self) -> list[OutboxRow]:
        chunk: list[OutboxRow] = []
        for shard, rows in self._rows.items():
            limit = CHUNK_RECORDS_MAX - len(chunk)
            if not rows or limit <= 0:
                continue
            first = list(itertools.islice(rows, limit))
            state = rules.next_chunk(self._states[shard], [row.seq for row in first], limit)
            self._states[shard] = state
            chunk += first[: len(state.in_flight)]
        return chunk

    async def _send(self, chunk: list[OutboxRow]) -> None:
        streams: dict[Stream, list[Outgoing]] = defaultdict(list)
        for row in chunk:
            stamp = Stamp(self._producer, self._incarnation, row.shard, row.seq)
            streams[row.stream].append(Outgoing(row.partition, row.key, wrap(row.body, stamp)))
        shards = {row.shard: self._states[row.shard] for row in chunk}
        appends = (self._broker.append(stream, out) for stream, out in streams.items())
        results = await asyncio.gather(*appends, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        if not errors:
            fault_point("after_append")
        self._settle(shards, acknowledged=not errors)
        if errors:
            await self._wait_out(errors[0])
        else:
            self._failures = 0

    def _settle(self, sent: dict[int, rules.RelayState], *, acknowledged: bool) -> None:
        for shard, state in sent.items():
            if self._states.get(shard) is not state:
                continue  # dropped, or claimed anew, while it was on the wire
            if not acknowledged:
                self._states[shard] = rules.chunk_failed(state)
                continue
            done = rules.chunk_acknowledged(state)
            self._states[shard] = done
            rows = self._rows[shard]
            before = len(rows)
            while rows and rows[0].seq <= done.published:
                rows.popleft()
            self._count(len(rows) - before)

    async def _wait_out(self, error: BaseException) -> None:
        if not isinstance(error, BrokerError):
            raise error
        pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        self._metrics.relay_failures.inc()
        logger.warning(
            "The log did not take a chunk; sending it again",
            error=str(error),
            retry_after_s=pause,
            backlog=self._backlog,
        )
        await asyncio.sleep(pause)

    def _count(self, change: int) -> None:
        self._backlog += change
        self._metrics.relay_backlog.set(self._backlog)
        if self._backlog < BACKLOG_RECORDS_MAX:
            self._room.set()
        else:
            self._room.clear()
