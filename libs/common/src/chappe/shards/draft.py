"""What one commit will change in the shards it touches, computed before and applied after."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg

from chappe.shards.records import Advance, DeadLetter, Out
from chappe.shards.store import OutboxRow, Owned, offsets_json


class CommitDraft:
    """The fence's arguments, and what to move in memory once they are durable."""

    def __init__(
        self,
        held: Sequence[Owned],
        advance: Mapping[int, Advance],
        outbox: Sequence[Out],
        dead: Sequence[DeadLetter],
        published: Callable[[int], int],
    ) -> None:
        self._held = {owned.shard: owned for owned in held}
        self._advance = advance
        self._published = {owned.shard: published(owned.shard) for owned in held}
        self._offsets = {
            owned.shard: {**owned.next_offsets, **advance[owned.shard].next_offsets}
            if owned.shard in advance
            else owned.next_offsets
            for owned in held
        }
        self.rows = self._number(outbox)
        self.arguments = {**self._fence(), **self._seen(), **self._letters(dead), **self._outbox()}

    @property
    def shards(self) -> list[int]:
        return list(self._held)

    def _number(self, outbox: Sequence[Out]) -> list[OutboxRow]:
        self._out_seqs = {shard: owned.out_seq for shard, owned in self._held.items()}
        rows: list[OutboxRow] = []
        for out in outbox:
            self._out_seqs[out.shard] += 1
            seq = self._out_seqs[out.shard]
            rows.append(OutboxRow(out.shard, seq, out.stream, out.partition, out.key, out.body))
        return rows

    def _fence(self) -> dict[str, Any]:
        held = list(self._held.values())
        return {
            "f_shards": [o.shard for o in held],
            "f_epochs": [o.epoch for o in held],
            "f_commit_seqs": [o.commit_seq for o in held],
            "f_old_offsets": [offsets_json(o.next_offsets) for o in held],
            "f_new_offsets": [offsets_json(self._offsets[o.shard]) for o in held],
            "f_out_seqs": [self._out_seqs[o.shard] for o in held],
            "f_pub_seqs": [self._published[o.shard] for o in held],
            "f_kept": [o.pub_seq for o in held],
        }

    def _seen(self) -> dict[str, Any]:
        seen = [
            (shard, *key, seq)
            for shard, advance in self._advance.items()
            for key, seq in advance.seen.items()
        ]
        names = ("s_shards", "s_streams", "s_producers", "s_incarnations", "s_from", "s_seqs")
        return dict(zip(names, _columns(seen, len(names)), strict=True))

    def _letters(self, dead: Sequence[DeadLetter]) -> dict[str, Any]:
        letters = [
            (
                letter.id,
                letter.input.shard,
                letter.input.stream,
                letter.input.offset,
                letter.input.key,
                letter.input.body,
                letter.reason,
                letter.source,
                letter.at,
            )
            for letter in dead
        ]
        names = (
            "d_ids", "d_shards", "d_streams", "d_offsets",
            "d_keys", "d_values", "d_reasons", "d_sources", "d_ats",
        )  # fmt: skip
        return dict(zip(names, _columns(letters, len(names)), strict=True))

    def _outbox(self) -> dict[str, Any]:
        rows = [(r.shard, r.seq, r.stream, r.partition, r.key, r.body) for r in self.rows]
        names = ("o_shards", "o_seqs", "o_streams", "o_partitions", "o_keys", "o_bodies")
        return dict(zip(names, _columns(rows, len(names)), strict=True))

    def settle(self) -> None:
        """Move the shards we hold to where the database now stands."""
        for shard, owned in self._held.items():
            owned.commit_seq += 1
            owned.next_offsets = self._offsets[shard]
            owned.out_seq = self._out_seqs[shard]
            owned.pub_seq = self._published[shard]
            if shard in self._advance:
                owned.seen.update(self._advance[shard].seen)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows to columns, as ``unnest`` takes them."""
    return (
        [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
    )


Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


@dataclass(slots=True)
class Transaction:
    """An open transaction of the runner, and the commit waiting in it."""

    connection: Connection
    draft: CommitDraft | None = None
