"""The rules that make it once: who may own a shard, what may be committed, relayed and applied.

Pure functions. The lease keeper, the fenced commit, the relay and the readers call these and
nothing else; ``tests/unit/shards/test_model.py`` drives the same functions through every
interleaving of two owners, lost answers and repeated appends.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Lease(NamedTuple):
    """A shard row as the lease keeper sees it."""

    shard: int
    owner: str | None
    epoch: int
    lease_until: dt.datetime


class LeasePlan(NamedTuple):
    claim: tuple[int, ...]
    """Free shards to take now (compare-and-set on the epoch read)."""
    give_back: tuple[int, ...]
    """Own shards above the fair share: finish the batch, then let go."""


def is_free(lease: Lease, now: dt.datetime) -> bool:
    """Nobody's, or its owner has not been heard of within the lease. ``now`` is the database's."""
    return lease.owner is None or lease.lease_until <= now


def fair_share(shards: int, workers: int) -> int:
    return -(-shards // max(1, workers))


def plan_leases(
    leases: Sequence[Lease], me: str, now: dt.datetime, workers: int, *, exclusive: bool = False
) -> LeasePlan:
    """What ``me`` should claim and give back, so that ``workers`` processes share evenly.

    ``exclusive`` (the one box, which holds the data directory's lock) takes every shard at once,
    leases or not. Only liveness depends on clocks; safety is in ``may_commit``.
    """
    mine = [lease for lease in leases if lease.owner == me and not is_free(lease, now)]
    if exclusive:
        held = {lease.shard for lease in mine}
        return LeasePlan(tuple(x.shard for x in leases if x.shard not in held), ())
    share = fair_share(len(leases), workers)
    if len(mine) > share:
        return LeasePlan((), tuple(lease.shard for lease in mine[share:]))
    free = [lease.shard for lease in leases if is_free(lease, now)]
    return LeasePlan(tuple(free[: share - len(mine)]), ())


class Fence(NamedTuple):
    """What a batch must find in the shard row, and what the row must hold, to commit."""

    epoch: int
    commit_seq: int
    next_offsets: str


def may_commit(row: Fence, held: Fence) -> bool:
    """The compare-and-set: nobody claimed the shard, and no commit came between."""
    return row == held


def next_fence(held: Fence, next_offsets: str) -> Fence:
    """The row after a commit: ``commit_seq`` moves with every batch, timer-only ones too."""
    return Fence(held.epoch, held.commit_seq + 1, next_offsets)


def claimed(row: Fence) -> Fence:
    """The row after a claim: the epoch moves, so whatever the old owner held no longer fits."""
    return Fence(row.epoch + 1, row.commit_seq, row.next_offsets)


class RelayState(NamedTuple):
    """One shard's relay: ``published`` is the highest seq known to be acknowledged."""

    published: int
    in_flight: tuple[int, ...] = ()


def resume_relay(pub_seq: int) -> RelayState:
    """A new owner starts right after the durable ``pub_seq``; repeats are the reader's to drop."""
    return RelayState(published=pub_seq)


def next_chunk(state: RelayState, committed: Iterable[int], limit: int) -> RelayState:
    """Put the next rows on the wire: committed ones only, ascending, and only when all before them
    are acknowledged.
    """
    if state.in_flight:
        return state
    ready = sorted(seq for seq in committed if seq > state.published)
    return RelayState(state.published, tuple(ready[:limit]))


def chunk_acknowledged(state: RelayState) -> RelayState:
    """All of the chunk is in the log: ``published`` moves now and not before."""
    return RelayState(max(state.in_flight, default=state.published), ())


def chunk_failed(state: RelayState) -> RelayState:
    """Unknown what landed: the same rows are sent again, whole and first."""
    return RelayState(state.published, ())


def is_new(seen: int | None, seq: int) -> bool:
    """Whether a reader applies a relayed record, having applied up to ``seen`` from that producer
    shard. A gap is no loss: one producer shard writes to many partitions.
    """
    return seen is None or seq > seen
