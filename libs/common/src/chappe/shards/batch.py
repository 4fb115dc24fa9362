"""A batch: what one commit applies, for all shards of this process at once."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import asyncpg

from chappe.broker import Record
from chappe.events.streams import Stream
from chappe.shards.draft import Transaction
from chappe.shards.fence import FencedStatement
from chappe.shards.records import Advance, DeadLetter, Input, Out, take
from chappe.shards.store import Owned

FlatRecord: TypeAlias = tuple[int, Stream, Record]

REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""What the database says (SQLSTATE 22, 23) of a value or a row that it will never take."""


class LostShards(Exception):
    """Some of these shards are no longer ours, or nobody knows: forget what you held of them.

    Not a crash: the runner has dropped them and will claim again what is free.
    """

    def __init__(self, shards: Sequence[int]) -> None:
        super().__init__(f"lost shards {sorted(shards)}")
        self.shards = tuple(shards)


class Committer(Protocol):
    """Where a batch's commit goes: the runner."""

    async def commit(
        self,
        statement: FencedStatement,
        own: Mapping[str, Any],
        *,
        shards: Iterable[int],
        advance: Mapping[int, Advance] | None = None,
        outbox: Sequence[Out] = (),
        dead: Sequence[DeadLetter] = (),
        transaction: Transaction | None = None,
    ) -> object: ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]: ...


@dataclass(slots=True)
class Batch:
    """New inputs in log order (per shard, live streams first), and the timers that may fire.

    ``due`` maps a shard to the instant up to which its timers may fire: the shard has applied, with
    this batch's inputs, everything that was in ``events`` after its clock passed that instant.
    ``now`` is the business clock.
    """

    now: dt.datetime
    inputs: list[Input]
    due: dict[int, dt.datetime]
    letters: list[DeadLetter]
    advance: dict[int, Advance]
    records: list[FlatRecord]
    _committer: Committer

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """See ``ShardRunner.transaction``."""
        return self._committer.transaction()

    async def commit(
        self,
        statement: FencedStatement,
        own: Mapping[str, Any],
        *,
        outbox: Sequence[Out] = (),
        dead: Sequence[DeadLetter] = (),
        transaction: Transaction | None = None,
    ) -> None:
        """Apply everything or nothing. Never retried: an unknown outcome raises ``LostShards``."""
        await self._committer.commit(
            statement,
            own,
            shards=[*self.advance, *self.due],
            advance=self.advance,
            outbox=outbox,
            dead=[*self.letters, *dead],
            transaction=transaction,
        )


def build_batch(
    flat: list[FlatRecord],
    owned: Mapping[int, Owned],
    due: dict[int, dt.datetime],
    now: dt.datetime,
    committer: Committer,
) -> Batch:
    """Drop what was applied before; keep order."""
    batch = Batch(now, [], due, [], {}, flat, committer)
    groups: dict[tuple[int, Stream], list[Record]] = {}
    for shard, stream, record in flat:
        groups.setdefault((shard, stream), []).append(record)
    for (shard, stream), records in groups.items():
        held = owned.get(shard)
        if held is None:
            continue
        taken = take(shard, stream, records, held.next_offsets.get(stream, 0), held.seen)
        if not taken.next_offsets:
            continue
        advance = batch.advance.setdefault(shard, Advance())
        advance.next_offsets.update(taken.next_offsets)
        advance.seen.update(taken.seen)
        batch.inputs += taken.inputs
        batch.letters += [DeadLetter(broken, why, now) for broken, why in taken.undecodable]
    return batch


class Processor(Protocol):
    """A service's part in the life of a shard."""

    @property
    def name(self) -> str:
        """The producer's name on what it relays: ``orchestrator``."""
        ...

    @property
    def schema(self) -> str: ...

    @property
    def inputs(self) -> Sequence[Stream]:
        """The streams it reads, the most urgent first."""
        ...

    @property
    def timer_stream(self) -> Stream | None:
        """The stream that must be applied up to its end before a timer fires; None: no timers."""
        ...

    async def claimed(self, shards: Sequence[Owned]) -> None:
        """These are ours now: load timers, recover what the last owner left. Before any batch."""
        ...

    async def releasing(self, shards: Sequence[int]) -> None:
        """These are about to be given back: begin nothing more for them, and finish what is under
        way, within seconds. Not called when they are lost.
        """
        ...

    async def released(self, shards: Sequence[int]) -> None:
        """These are no longer ours: forget what is held in memory of them."""
        ...

    async def apply(self, batch: Batch) -> None:
        """Read state, decide, and call ``batch.commit`` exactly once."""
        ...

    async def poison(self, batch: Batch, error: Exception) -> None:
        """A batch that the database refuses (SQLSTATE 22, 23), of one input: set it aside in a
        commit of its own; or of one shard's timers, and no input: set aside those at fault.
        """
        ...

    def next_due(self) -> dt.datetime | None:
        """When the earliest timer of the owned shards is due, on the business clock."""
        ...

    def due_shards(self, now: dt.datetime) -> Sequence[int]:
        """Owned shards with a timer due at ``now``."""
        ...
