"""The orchestrator's schema in memory, as far as the engine uses it.

It keeps the promise of the fenced commit and nothing beyond it: what Postgres would also refuse (a
number given twice, a row that two parts of one statement touch) is a violation here, for it must
not come to that. Every statement happens at one instant.
"""

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import asyncpg

from chappe.shards import FencedStatement, rules
from chappe.shards import store as statements
from chappe_orchestrator.adapters import store
from chappe_orchestrator.adapters.store import COMMIT
from chappe_orchestrator.application.ports import StoredVersion
from tests.sim.faults import now

SCHEMA = "orchestrator"
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FLUSH = FencedStatement(SCHEMA)
REFUSED = b'"refused":true'
"""What Postgres takes from nobody, until the world is cured of it."""


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
class Kept:
    """The definitions, as published."""

    versions: list[StoredVersion] = field(default_factory=list[StoredVersion])
    paused: set[str] = field(default_factory=set[str])
    generation: int = 0


Person = tuple[int, str]


@dataclass
class Database:
    """Tables by name; what belongs to a person is found by shard and contact."""

    shards: int
    violations: list[str] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list[Lease])
    workers: dict[str, dt.datetime] = field(default_factory=dict)
    seen: dict[tuple[Any, ...], int] = field(default_factory=dict)
    outbox: dict[tuple[int, int], tuple[Any, ...]] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)
    profiles: dict[Person, tuple[str, bytes]] = field(default_factory=dict)
    enrollments: defaultdict[Person, dict[str, bytes]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    keys: defaultdict[Person, dict[tuple[str, str], tuple[Any, ...]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    timers: dict[tuple[Any, ...], str] = field(default_factory=dict)
    gone: dict[Person, tuple[str, str | None]] = field(default_factory=dict)
    parked: dict[Person, str] = field(default_factory=dict)
    waiting: defaultdict[Person, list[tuple[int, str, int, bytes]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    sweeps: dict[tuple[int, str, str], tuple[int, str, bool]] = field(default_factory=dict)
    people: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    held: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    letters: list[str] = field(default_factory=list)
    commits: int = 0
    cured: bool = False
    _numbers: int = 0

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

    # -- erasure

    def former(self, workspaces: list[str], contacts: list[str]) -> list[dict[str, Any]]:
        """The erased, and whom they were before they were merged."""
        found = set(zip(workspaces, contacts, strict=True))
        found |= {(w, who[1]) for who, (w, into) in self.gone.items() if (w, into) in found}
        return [{"workspace": w, "contact": c} for w, c in sorted(found)]

    def blank_letters(self, _keys: list[bytes]) -> list[dict[str, Any]]:
        return []

    def forget_calls(self, _w: list[str], _c: list[str]) -> list[dict[str, Any]]:
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
        if statement is COMMIT:
            self._refuse(a)
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
            self._forget(a)
            self._write(a)
            self._wake(a)
            self._park(a)
            self._count(a)
        return [{"ok": 1}]

    def _refuse(self, a: Mapping[str, Any]) -> None:
        """What the statement itself does not survive."""
        if not self.cured and any(REFUSED in doc for doc in a["p_docs"]):
            raise asyncpg.DataError("refused")
        for names in _KEYS:
            rows = sorted(_rows(a, *names))
            twice = [one for one, other in pairwise(rows) if one == other]
            self.violations += [
                f"one commit touches a row twice: {names[0]} {one}" for one in twice
            ]
        gone = _rows(a, "z_shards", "z_contacts")
        for who in set(gone) & set(_rows(a, "p_shards", "p_contacts")):
            self.violations.append(f"one commit forgets and keeps {who}")
        armed = _rows(a, "t_shards", "t_dues", "t_kinds", "t_ids", "t_tokens")
        cleared = _rows(a, "g_shards", "g_dues", "g_kinds", "g_ids", "g_tokens")
        for timer in set(armed) & set(cleared):
            self.violations.append(f"one commit clears and sets the timer {timer}")

    def _forget(self, a: Mapping[str, Any]) -> None:
        for shard, contact, workspace, into in _rows(
            a, "z_shards", "z_contacts", "z_workspaces", "z_intos"
        ):
            who = (shard, contact)
            self.gone[who] = (workspace, into)
            for table in (self.profiles, self.enrollments, self.keys, self.parked, self.waiting):
                table.pop(who, None)

    def _write(self, a: Mapping[str, Any]) -> None:
        for shard, contact, workspace, doc in _rows(
            a, "p_shards", "p_contacts", "p_workspaces", "p_docs"
        ):
            self.profiles[shard, contact] = (workspace, doc)
        for shard, contact, name, doc in _rows(a, "e_shards", "e_contacts", "e_ids", "e_docs"):
            self.enrollments[shard, contact][name] = doc
        for shard, contact, journey, value, *mark in _rows(
            a, "k_shards", "k_contacts", "k_journeys", "k_values", "k_entered", "k_closed",
            "k_enrollments",
        ):  # fmt: skip
            self.keys[shard, contact][journey, value] = tuple(mark)

    def _wake(self, a: Mapping[str, Any]) -> None:
        for key in _rows(a, "g_shards", "g_dues", "g_kinds", "g_ids", "g_tokens"):
            self.timers.pop(key, None)
        for *key, contact in _rows(
            a, "t_shards", "t_dues", "t_kinds", "t_ids", "t_tokens", "t_contacts"
        ):
            if tuple(key) in self.timers:
                self.violations.append(f"a timer was set twice: {key}")
            self.timers[tuple(key)] = contact
        for shard, workspace, journey, *place in _rows(
            a, "w_shards", "w_workspaces", "w_journeys", "w_versions", "w_afters", "w_done"
        ):
            self.sweeps[shard, workspace, journey] = (place[0], place[1], place[2])

    def _park(self, a: Mapping[str, Any]) -> None:
        for shard, contact, number, whole in _rows(
            a, "u_shards", "u_contacts", "u_numbers", "u_whole"
        ):
            who = (shard, contact)
            self.waiting[who] = [one for one in self.waiting[who] if one[0] > number]
            if whole:
                self.parked.pop(who, None)
        for shard, contact, reason in _rows(a, "x_shards", "x_contacts", "x_reasons"):
            self.parked[shard, contact] = reason
        for shard, contact, stream, offset, body in _rows(
            a, "y_shards", "y_contacts", "y_streams", "y_offsets", "y_bodies"
        ):
            self._numbers += 1
            self.waiting[shard, contact].append((self._numbers, stream, offset, body))

    def _count(self, a: Mapping[str, Any]) -> None:
        for *key, people, held in _rows(
            a, "n_journeys", "n_versions", "n_statuses", "n_places", "n_people", "n_held"
        ):
            self.people[tuple(key)] += people
            self.held[tuple(key)] += held


_KEYS = (
    ("p_shards", "p_contacts"),
    ("e_shards", "e_contacts", "e_ids"),
    ("k_shards", "k_contacts", "k_journeys", "k_values"),
    ("x_shards", "x_contacts"),
    ("u_shards", "u_contacts"),
    ("z_shards", "z_contacts"),
    ("n_journeys", "n_versions", "n_statuses", "n_places"),
    ("w_shards", "w_workspaces", "w_journeys"),
)
"""What names a row, by table: one commit may name each once."""


def _rows(a: Mapping[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(a[name] for name in names), strict=True))


def _canonical(offsets: str) -> str:
    return json.dumps(json.loads(offsets), sort_keys=True)


def _named(text: str) -> str:
    return text.format(schema=SCHEMA)


def _statements() -> Iterator[tuple[str, Callable[..., list[Any]]]]:
    yield _named(statements.CREATE), Database.create
    yield _named(statements.INCARNATION), Database.incarnation
    yield _named(statements.TICK), Database.tick
    yield _named(statements.CLAIM), Database.claim
    yield _named(statements.SEEN), Database.seen_of
    yield _named(statements.OUTBOX), Database.outbox_of
    yield _named(statements.LET_GO), Database.let_go
    yield _named(statements.LEAVE), Database.leave
    yield _named(statements.FREED), Database.freed
    yield store.FORMER, Database.former
    yield store.BLANK_LETTERS, Database.blank_letters
    yield store.FORGET_CALLS, Database.forget_calls
    yield FLUSH.sql, Database.flush
    yield COMMIT.sql, Database.commit


_STATEMENTS: dict[str, Callable[..., list[Any]]] = dict(_statements())
