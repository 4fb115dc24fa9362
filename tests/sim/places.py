"""The log and the database of the simulation, in memory, with all the ways they can disappoint.

The database keeps the promise of the fenced commit and nothing beyond it: what Postgres would also
refuse (a sequence number given twice) is a violation here, for the fence must not let it come to
that.
"""

import asyncio
import datetime as dt
import json
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from chappe.broker import BrokerUnavailable, Outgoing, Record
from chappe.clock import UTC
from chappe.events.streams import Stream
from chappe.shards import FencedStatement, rules
from chappe.shards import store as statements
from chappe_orchestrator.adapters.store import COMMIT

SCHEMA = "orchestrator"
START = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=UTC)
FLUSH = FencedStatement(SCHEMA)


def now() -> dt.datetime:
    return START + dt.timedelta(seconds=asyncio.get_running_loop().time())


class SimClock:
    def now(self) -> dt.datetime:
        return now()


@dataclass
class Faults:
    """How often what goes wrong. ``on`` is false while the world comes to rest."""

    lot: random.Random
    on: bool = True
    over: bool = False

    async def trip(self) -> None:
        """A message on its way: it takes a step, or a while."""
        if self.over:
            raise OSError("the simulation is over")
        await asyncio.sleep(self.lot.choice((0, 0, 0.001, 0.01, 0.2)) if self.on else 0)

    def strikes(self, chance: float) -> bool:
        return self.on and self.lot.random() < chance


# -- the log --------------------------------------------------------------------------------------


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
            for one in records[:landed]:
                self._log.land(stream, one)
            await self._faults.trip()
            raise BrokerUnavailable("no answer")
        for _ in range(2 if self._faults.strikes(0.05) else 1):
            for one in records:
                self._log.land(stream, one)
        await self._faults.trip()

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


# -- the database ---------------------------------------------------------------------------------


@dataclass
class Lease:
    owner: str | None = None
    epoch: int = 0
    lease_until: dt.datetime = LONG_AGO
    commit_seq: int = 0
    next_offsets: str = "{}"
    out_seq: int = 0
    pub_seq: int = 0


@dataclass
class Database:
    """The orchestrator's schema, as far as the engine uses it. Statements happen at one instant."""

    shards: int
    violations: list[str] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list[Lease])
    workers: dict[str, dt.datetime] = field(default_factory=dict)
    seen: dict[tuple[Any, ...], int] = field(default_factory=dict)
    outbox: dict[tuple[int, int], tuple[Any, ...]] = field(default_factory=dict)
    profiles: dict[tuple[int, str], tuple[str, bytes]] = field(default_factory=dict)
    enrollments: dict[tuple[int, str, str], bytes] = field(default_factory=dict)
    keys: dict[tuple[int, str, str, str], tuple[Any, ...]] = field(default_factory=dict)
    timers: dict[tuple[Any, ...], str] = field(default_factory=dict)
    gone: dict[tuple[int, str], str | None] = field(default_factory=dict)
    parked: dict[tuple[int, str], str] = field(default_factory=dict)
    counts: defaultdict[tuple[Any, ...], int] = field(default_factory=lambda: defaultdict(int))
    letters: list[str] = field(default_factory=list)
    commits: int = 0

    def __post_init__(self) -> None:
        self.leases = [Lease() for _ in range(self.shards)]

    def run(self, sql: str, arguments: Sequence[Any]) -> list[dict[str, Any]]:
        return _STATEMENTS[sql](self, *arguments)

    # -- leases

    def create(self, _shards: int) -> list[dict[str, Any]]:
        return []

    def incarnation(self, _said: str) -> list[dict[str, Any]]:
        return [{"incarnation": "i"}]

    def tick(
        self, me: str, lease: dt.timedelta, shards: list[int], epochs: list[int]
    ) -> list[dict[str, Any]]:
        self.workers[me] = now() + lease
        for shard, epoch in zip(shards, epochs, strict=True):
            held = self.leases[shard]
            if held.epoch == epoch and held.owner == me:
                held.lease_until = now() + lease
        alive = sum(1 for who, until in self.workers.items() if until > now() and who != me)
        return [
            {
                "shard": shard,
                "owner": held.owner,
                "epoch": held.epoch,
                "lease_until": held.lease_until,
                "now": now(),
                "workers": alive + 1,
            }
            for shard, held in enumerate(self.leases)
        ]

    def claim(
        self, me: str, lease: dt.timedelta, shards: list[int], epochs: list[int]
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for shard, epoch in zip(shards, epochs, strict=True):
            held = self.leases[shard]
            if held.epoch != epoch:
                continue
            held.owner, held.epoch, held.lease_until = me, epoch + 1, now() + lease
            found.append({"shard": shard, **vars(held)})
        return found

    def seen_of(self, shards: list[int]) -> list[dict[str, Any]]:
        names = ("shard", "stream", "producer", "incarnation", "from_shard")
        return [
            {**dict(zip(names, key, strict=True)), "seq": seq}
            for key, seq in self.seen.items()
            if key[0] in shards
        ]

    def outbox_of(self, shard: int, after: int, limit: int) -> list[Any]:
        rows = sorted(row for key, row in self.outbox.items() if key[0] == shard and key[1] > after)
        return rows[:limit]

    def let_go(self, me: str, shards: list[int], epochs: list[int]) -> list[dict[str, Any]]:
        for shard, epoch in zip(shards, epochs, strict=True):
            if self.leases[shard].owner == me and self.leases[shard].epoch == epoch:
                self.leases[shard].owner, self.leases[shard].lease_until = None, LONG_AGO
        return []

    def leave(self, me: str) -> list[dict[str, Any]]:
        self.workers.pop(me, None)
        for held in self.leases:
            if held.owner == me:
                held.owner, held.lease_until = None, LONG_AGO
        return []

    def freed(self) -> list[dict[str, Any]]:
        return []

    # -- the commit

    def flush(self, *arguments: Any) -> list[dict[str, Any]]:
        return self._fenced(FLUSH, arguments)

    def commit(self, *arguments: Any) -> list[dict[str, Any]]:
        return self._fenced(COMMIT, arguments)

    def _fenced(self, statement: FencedStatement, arguments: Sequence[Any]) -> list[Any]:
        a = dict(zip(statement._numbers, arguments, strict=True))
        fences = _rows(
            a, "f_shards", "f_epochs", "f_commit_seqs", "f_old_offsets", "f_new_offsets",
            "f_out_seqs", "f_pub_seqs", "f_kept",
        )  # fmt: skip
        for shard, epoch, seq, old, *_ in fences:
            row = self.leases[int(shard)]
            stands = rules.Fence(row.epoch, row.commit_seq, _canonical(row.next_offsets))
            if not rules.may_commit(stands, rules.Fence(epoch, seq, _canonical(old))):
                raise asyncpg.DivisionByZeroError("fenced")
        for shard, epoch, seq, old, new, out_seq, pub_seq, kept in fences:
            row = self.leases[int(shard)]
            after = rules.next_fence(rules.Fence(epoch, seq, old), new)
            row.commit_seq, row.next_offsets = after.commit_seq, after.next_offsets
            row.out_seq, row.pub_seq = out_seq, pub_seq
            for one in [k for k in self.outbox if k[0] == shard and kept < k[1] <= pub_seq]:
                del self.outbox[one]
        for *key, seq in _rows(
            a, "s_shards", "s_streams", "s_producers", "s_incarnations", "s_from", "s_seqs"
        ):
            self.seen[tuple(key)] = max(self.seen.get(tuple(key), 0), seq)
        for out in _rows(
            a, "o_shards", "o_seqs", "o_streams", "o_partitions", "o_keys", "o_bodies"
        ):
            if (out[0], out[1]) in self.outbox:
                self.violations.append(f"shard {out[0]} gave the number {out[1]} twice")
            self.outbox[out[0], out[1]] = out
        self.letters += a["d_reasons"]
        self.commits += 1
        if statement is COMMIT:
            self._state(a)
        return [{"ok": 1}]

    def _state(self, a: Mapping[str, Any]) -> None:
        for shard, contact, _, into in _rows(
            a, "z_shards", "z_contacts", "z_workspaces", "z_intos"
        ):
            self.gone[shard, contact] = into
            self.profiles.pop((shard, contact), None)
            for key in [k for k in self.enrollments if k[:2] == (shard, contact)]:
                del self.enrollments[key]
            for key in [k for k in self.keys if k[:2] == (shard, contact)]:
                del self.keys[key]
        for shard, contact, workspace, doc in _rows(
            a, "p_shards", "p_contacts", "p_workspaces", "p_docs"
        ):
            self.profiles[shard, contact] = (workspace, doc)
        for shard, contact, name, doc in _rows(a, "e_shards", "e_contacts", "e_ids", "e_docs"):
            self.enrollments[shard, contact, name] = doc
        for shard, contact, journey, value, *mark in _rows(
            a, "k_shards", "k_contacts", "k_journeys", "k_values", "k_entered", "k_closed",
            "k_enrollments",
        ):  # fmt: skip
            self.keys[shard, contact, journey, value] = tuple(mark)
        for key in _rows(a, "g_shards", "g_dues", "g_kinds", "g_ids", "g_tokens"):
            self.timers.pop(key, None)
        for *key, contact in _rows(
            a, "t_shards", "t_dues", "t_kinds", "t_ids", "t_tokens", "t_contacts"
        ):
            if tuple(key) in self.timers:
                self.violations.append(f"a timer was set twice: {key}")
            self.timers[tuple(key)] = contact
        for shard, contact, reason in _rows(a, "x_shards", "x_contacts", "x_reasons"):
            self.parked[shard, contact] = reason
        for *key, people in _rows(
            a, "n_journeys", "n_versions", "n_statuses", "n_places", "n_people"
        ):
            self.counts[tuple(key)] += people


def _rows(a: Mapping[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(a[name] for name in names), strict=True))


def _canonical(offsets: str) -> str:
    return json.dumps(json.loads(offsets), sort_keys=True)


def _named(text: str) -> str:
    return text.format(schema=SCHEMA)


_STATEMENTS: dict[str, Callable[..., list[Any]]] = {
    _named(statements.CREATE): Database.create,
    _named(statements.INCARNATION): Database.incarnation,
    _named(statements.TICK): Database.tick,
    _named(statements.CLAIM): Database.claim,
    _named(statements.SEEN): Database.seen_of,
    _named(statements.OUTBOX): Database.outbox_of,
    _named(statements.LET_GO): Database.let_go,
    _named(statements.LEAVE): Database.leave,
    _named(statements.FREED): Database.freed,
    FLUSH.sql: Database.flush,
    COMMIT.sql: Database.commit,
}


class SimPool:
    """One process's connections (as much of ``asyncpg.Pool`` as the engine uses)."""

    def __init__(self, database: Database, faults: Faults) -> None:
        self._database = database
        self._faults = faults

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        await self._faults.trip()
        is_commit = sql in (COMMIT.sql, FLUSH.sql)
        if is_commit and self._faults.strikes(0.03):
            raise OSError("lost on the way there")
        rows = self._database.run(sql, arguments)
        if is_commit and self._faults.strikes(0.05):
            await self._faults.trip()
            self._again(sql, arguments)
        await self._faults.trip()
        if is_commit and self._faults.strikes(0.03):
            raise OSError("lost on the way back")
        return rows

    def _again(self, sql: str, arguments: Sequence[Any]) -> None:
        """A statement that arrives twice. The second must be fenced."""
        try:
            self._database.run(sql, arguments)
        except asyncpg.DivisionByZeroError:
            return
        self._database.violations.append("a commit was accepted twice")

    async def execute(self, sql: str, *arguments: Any) -> None:
        await self.fetch(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        return next(iter((await self.fetch(sql, *arguments))[0].values()))

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator["SimPool"]:
        yield self

    async def add_listener(self, channel: str, heard: Callable[..., None]) -> None:
        """Nobody is told; the ticks find what was let go."""

    async def remove_listener(self, channel: str, heard: Callable[..., None]) -> None:
        """Nobody listens."""

    def is_closed(self) -> bool:
        return False
