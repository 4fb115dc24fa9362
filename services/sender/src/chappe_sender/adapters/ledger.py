"""The ledger in Postgres."""

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar

import asyncpg
import structlog

from chappe.events import Consent, ConsentState, Decision, Event, encode_event
from chappe.events.streams import EVENTS, EVENTS_BULK
from chappe.ids import ContactId, MessageId, WorkspaceId
from chappe.shards import Batch, LostShards, Out, ShardRunner, to_contact, to_journal
from chappe_sender.adapters import merging
from chappe_sender.adapters import statements as sql
from chappe_sender.adapters.coupons import Coupons
from chappe_sender.adapters.withdrawing import withdraw
from chappe_sender.application.ports import (
    Admits,
    Asked,
    Changes,
    Claimed,
    Commitment,
    Ended,
    Haul,
    Interrupted,
    Known,
    Loaded,
    Noted,
    Placed,
    Wanted,
)
from chappe_sender.domain.addresses import address_key
from chappe_sender.domain.fairness import Lane, Share, shares
from chappe_sender.domain.measuring import Measuring, MeasuringRules, Tracking
from chappe_sender.domain.message import Message, State, decision, report
from chappe_sender.domain.notices import is_staff
from chappe_sender.domain.permission import Permission
from chappe_sender.domain.quiet import stored
from chappe_sender.domain.template import MessageClass

WRITER = "sender"
RERUNS_MAX = 5
LANES_MAX = 16_384
LOOK_MAX = 256
"""How many messages of a lane a claim looks at; behind them it does not look."""
PARK_MAX = 2_000
"""How many stopped messages of a lane are put aside at once."""

P = ParamSpec("P")
T = TypeVar("T")

logger = structlog.get_logger(__name__)


def _after_deadlocks(
    work: Callable[P, "CoroutineType[Any, Any, T]"],
) -> Callable[P, "CoroutineType[Any, Any, T]"]:
    """Another shard's owner, or the one before us, had the same messages in hand: nothing was
    written, so do it again.
    """

    @wraps(work)
    async def again(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(RERUNS_MAX - 1):
            try:
                return await work(*args, **kwargs)
            except asyncpg.DeadlockDetectedError:
                logger.info("Deadlock; doing it again", work=work.__name__)
        return await work(*args, **kwargs)

    return again


_SURELY_NOT_SENT = frozenset((State.SKIPPED, State.CANCELLED, State.FAILED))


class PostgresLedger:
    """Implements ``Ledger``. ``runner`` is set once both exist; its shards' fence guards writes."""

    runner: ShardRunner

    def __init__(
        self, pool: asyncpg.Pool, partitions: int, fingerprint: merging.Fingerprint
    ) -> None:
        self._pool = pool
        self._fingerprint = fingerprint
        self.coupons = Coupons(pool)
        self._partitions = partitions

    # -- batches ----------------------------------------------------------------------------

    async def apply(
        self, batch: Batch, wanted: Wanted, decide: Callable[[Loaded], Changes]
    ) -> None:
        if not wanted.messages and not wanted.contacts:
            changes = decide(Loaded({}, {}))
            if not changes.holds:
                await self._commit(batch, changes)
                return
        async with batch.transaction() as tx:
            loaded = await _load(tx.connection, wanted)
            changes = decide(loaded)
            for change in changes.holds:
                key = (change.shard, change.workspace, change.journey)
                if change.held:
                    await tx.connection.execute(sql.SET_HOLD, *key, change.at)
                else:
                    await tx.connection.execute(sql.CLEAR_HOLD, *key)
                await tx.connection.execute(sql.HOLD_MESSAGES, *key, change.held)
            cancelled = [loaded.messages[id_].message for id_ in changes.cancelled]
            await self.coupons.release(tx.connection, cancelled)
            for workspace, gone, into in changes.merged:
                await merging.redirect(tx.connection, workspace, gone, into)
            for forgotten in changes.forgotten:
                await merging.forget(tx.connection, forgotten, self._fingerprint)
            await self._withdraw(batch, changes, tx)
            await self._commit(batch, changes, tx)

    async def _withdraw(self, batch: Batch, changes: Changes, tx: Any) -> None:
        """What must not go any more, though it was asked for."""
        gone = await withdraw(tx.connection, changes, batch.now)
        await self.coupons.release(tx.connection, [_message(row) for row, _ in gone])
        for row, reason in gone:
            message = _message(row)
            # A message of another shard is told of by the one that heard.
            shard = message.shard if message.shard in batch.advance else next(iter(batch.advance))
            changes.told += [
                (shard, report(message, "email.skipped", batch.now, reason)),
                (shard, decision(message, "skipped", batch.now, reason)),
            ]

    async def _commit(self, batch: Batch, changes: Changes, tx: Any = None) -> None:
        await batch.commit(
            sql.APPLY,
            {
                "now": batch.now,
                **_asked(changes.asked, batch.now),
                "address_hashes": [
                    self._fingerprint("address", address_key(each.send.address))
                    if each.send is not None
                    else None
                    for each in changes.asked
                ],
                **_permissions(changes),
                **_closings(changes, self._fingerprint),
                "cancel_ids": list(changes.cancelled),
                "cancel_reasons": list(changes.cancelled.values()),
            },
            outbox=self._outbox(changes.told),
            dead=changes.dead,
            transaction=tx,
        )

    def _outbox(self, told: Iterable[tuple[int, Event | Decision]]) -> list[Out]:
        out: list[Out] = []
        decisions: dict[int, list[Decision]] = {}
        for shard, what in told:
            if isinstance(what, Decision):
                decisions.setdefault(shard, []).append(what)
                continue
            if is_staff(what.contact):
                continue
            assert what.contact is not None
            body = encode_event(what)
            out.append(
                to_contact(shard, EVENTS, what.workspace, what.contact, body, self._partitions)
            )
        for shard, made in decisions.items():
            out += to_journal(WRITER, shard, made)
        return out

    # -- hand-over --------------------------------------------------------------------------

    @_after_deadlocks
    async def claim(
        self,
        shards: Mapping[int, int],
        *,
        lagging: Iterable[int],
        now: dt.datetime,
        wall: dt.datetime,
        limit: int,
        admits: Admits,
    ) -> Haul:
        behind = set(lagging)
        async with self.runner.transaction() as tx:
            lanes, stopping = await _lanes(tx.connection, list(shards))
            due = shares(
                [
                    lane
                    for lane in lanes
                    if lane.next_at <= now
                    and admits(lane.workspace, lane.message_class)
                    and not (lane.message_class is MessageClass.MARKETING and lane.shard in behind)
                ],
                limit,
            )
            if not due:
                return Haul([], 0)
            rows = await tx.connection.fetch(
                sql.CLAIM, list(shards), list(shards.values()), now,
                [each.lane.shard for each in due], limit, wall,
                [each.lane.priority for each in due], [each.lane.workspace for each in due],
                [each.messages for each in due], LOOK_MAX,
            )  # fmt: skip
            parked = 0
            if stopping and len(rows) < limit:
                parked = await _park(tx.connection, due, now)
            told: list[tuple[int, Event | Decision]] = []
            taken = [row for row in rows if row["state"] == State.SENDING]
            codes, without = await self.coupons.reserve(
                tx.connection, [_message(row) for row in taken], now
            )
            for id_ in without:
                message = next(_message(row) for row in taken if row["id"] == id_)
                told += [
                    (message.shard, report(message, "email.skipped", now, "no_coupon")),
                    (message.shard, decision(message, "skipped", now, "no_coupon")),
                ]
            skipped = [_message(row) for row in rows if row["state"] == State.SKIPPED]
            await self.coupons.release(tx.connection, skipped)
            for row in rows:
                if row["state"] == State.SKIPPED:
                    message = _message(row)
                    told += [
                        (message.shard, report(message, "email.skipped", now, row["reason"])),
                        (message.shard, decision(message, "skipped", now, row["reason"])),
                    ]
            if told:
                await self.runner.commit(
                    sql.END,
                    {"now": now, **_endings([]), **_bounces([])},
                    shards={shard for shard, _ in told},
                    outbox=self._outbox(told),
                    transaction=tx,
                )
        claimed = [
            replace(_claimed(row), coupon=codes.get(row["id"]))
            for row in taken
            if row["id"] not in without
        ]
        return Haul(claimed, len(rows) + parked)

    @_after_deadlocks
    async def note(
        self, commitments: Sequence[Commitment], endings: Sequence[Ended], now: dt.datetime
    ) -> Noted:
        held = {shard: owned.epoch for shard, owned in self.runner.owned.items()}
        ours = [
            each for each in commitments
            if held.get(each.claimed.message.shard) == each.claimed.epoch
        ]  # fmt: skip
        if _is_plain(ours, endings):
            try:
                return await self._note_at_once(ours, endings, now)
            except asyncpg.InvalidTextRepresentationError:
                logger.info("An outcome came after another; noting one by one")
        async with self.runner.transaction() as tx:
            committed: set[MessageId] = set()
            if ours:
                committed = await _commit_to(tx.connection, ours, now)
            applied = await self._end(tx, endings, now) if endings else []
        return Noted(frozenset(committed), frozenset(each.message.id for each in applied))

    async def _note_at_once(
        self, commitments: Sequence[Commitment], endings: Sequence[Ended], now: dt.datetime
    ) -> Noted:
        """One statement, one answer, one fsync. Where an ending is not awaited any more nothing is
        done, and ``InvalidTextRepresentationError`` is raised.
        """
        names = ("c_ids", "c_shards", "c_epochs", "c_headers", "c_subjects")
        answer = await self.runner.commit(
            sql.NOTE,
            {
                "now": now,
                **dict(zip(names, _commitments(commitments), strict=True)),
                **_endings(endings),
                **_bounces(endings),
            },
            shards={each.message.shard for each in endings},
            outbox=self._outbox([told for each in endings for told in _tell(each, now)]),
        )
        ended = frozenset(each.message.id for each in endings)
        return Noted(frozenset(answer["committed"] or ()), ended)

    async def _end(self, tx: Any, endings: Sequence[Ended], now: dt.datetime) -> list[Ended]:
        missing = [e.message.shard for e in endings if e.message.shard not in self.runner.owned]
        if missing:
            raise LostShards(missing)
        rows = await tx.connection.fetch(
            sql.STILL_SENDING, [e.message.id for e in endings], [e.epoch for e in endings]
        )
        still = {row["id"] for row in rows}
        applied = [each for each in endings if each.message.id in still]
        told: list[tuple[int, Event | Decision]] = []
        for each in applied:
            told += _tell(each, now)
        named = [
            (each.message.id, each.ending.data["provider_message_id"])
            for each in applied
            if "provider_message_id" in each.ending.data
        ]
        if named:
            await tx.connection.execute(sql.SET_PROVIDER_IDS, *zip(*named, strict=True))
        await self.coupons.release(
            tx.connection, [e.message for e in applied if e.ending.state in _SURELY_NOT_SENT]
        )
        kept = [each for each in applied if each.content is not None]
        if kept:
            rows = [(e.message.id, e.message.workspace, now, e.content) for e in kept]
            await tx.connection.execute(sql.CAPTURE, *zip(*rows, strict=True))
        await self.runner.commit(
            sql.END,
            {"now": now, **_endings(applied), **_bounces(applied)},
            shards={each.message.shard for each in applied},
            outbox=self._outbox(told),
            transaction=tx,
        )
        return applied

    # -- reads ------------------------------------------------------------------------------

    async def interrupted(self, shards: Sequence[int]) -> list[Interrupted]:
        rows = await self._pool.fetch(sql.INTERRUPTED, list(shards))
        return [
            Interrupted(await self._whole(row), row["committing"], row["header_id"], _placed(row))
            for row in rows
        ]

    async def company(self, provider: str, key: str) -> list[Claimed]:
        rows = await self._pool.fetch(sql.COMPANY, provider, key)
        return [await self._whole(row) for row in rows]

    async def _whole(self, row: Any) -> Claimed:
        """With the code that was reserved when it was first claimed."""
        claimed = _claimed(row)
        return replace(claimed, coupon=await self.coupons.held(claimed.message))

    @_after_deadlocks
    async def take_over(
        self, claimed: Sequence[Claimed], epochs: Mapping[int, int]
    ) -> set[MessageId]:
        ours = [each for each in claimed if each.message.shard in epochs]
        rows = await self._pool.fetch(
            sql.TAKE_OVER,
            [each.message.id for each in ours],
            [each.message.shard for each in ours],
            [each.epoch for each in ours],
            [epochs[each.message.shard] for each in ours],
        )
        return {row["id"] for row in rows}

    async def holds(self, shards: Sequence[int]) -> set[tuple[int, WorkspaceId, str]]:
        rows = await self._pool.fetch(sql.HOLDS, list(shards))
        return {(row["shard"], row["workspace"], row["journey"]) for row in rows}

    async def next_due(self, shards: Sequence[int]) -> dt.datetime | None:
        lanes, _ = await _lanes(self._pool, shards)
        return min((lane.next_at for lane in lanes), default=None)

    async def standing(self, now: dt.datetime) -> tuple[int, int, dt.datetime | None]:
        """How many are on their way, how many are due, and when the next will be: all shards."""
        row = await self._pool.fetchrow(sql.STANDING, now)
        assert row is not None
        return row["sending"], row["due"], row["next"]


async def _lanes(connection: Any, shards: Sequence[int]) -> tuple[list[Lane], bool]:
    """What waits, and whether anything is stopped."""
    rows = await connection.fetch(sql.LANES, list(shards), LANES_MAX)
    lanes = [
        Lane(row["shard"], row["priority"], row["workspace"], row["next_attempt_at"])
        for row in rows
    ]
    return lanes, any(row["stopping"] for row in rows)


async def _park(connection: Any, due: Sequence[Share], now: dt.datetime) -> int:
    """Put aside what is stopped, unless it is resumed at this moment; how many."""
    if not await connection.fetch(sql.ACTIVE_STOPS):
        return 0
    done = await connection.execute(
        sql.PARK,
        [each.lane.shard for each in due],
        [each.lane.priority for each in due],
        [each.lane.workspace for each in due],
        now,
        PARK_MAX,
    )
    return int(done.rpartition(" ")[2])


def _is_plain(commitments: Sequence[Commitment], endings: Sequence[Ended]) -> bool:
    """Nothing by a provider, nothing captured, no coupon that goes back, no message twice: one
    statement says it all.
    """
    return (
        all(each.placed is None for each in commitments)
        and all(
            each.content is None
            and each.ending.state not in _SURELY_NOT_SENT
            and "provider_message_id" not in each.ending.data
            for each in endings
        )
        and len({each.message.id for each in endings}) == len(endings)
    )


async def _commit_to(
    connection: Any, commitments: Sequence[Commitment], now: dt.datetime
) -> set[MessageId]:
    """Which of them hold; those by a provider are written with their place in its request."""
    committed: set[MessageId] = set()
    plain = [each for each in commitments if each.placed is None]
    if plain:
        rows = await connection.fetch(sql.COMMIT_TO, *_commitments(plain), now)
        committed |= {row["id"] for row in rows}
    placed = [(each, each.placed) for each in commitments if each.placed is not None]
    if placed:
        rows = await connection.fetch(
            sql.COMMIT_TO_PROVIDER,
            *_commitments([each for each, _ in placed]),
            now,
            [where.provider for _, where in placed],
            [where.key for _, where in placed],
            [where.place for _, where in placed],
            [where.at for _, where in placed],
        )
        committed |= {row["id"] for row in rows}
    return committed


def _placed(row: Any) -> Placed | None:
    if row["provider"] is None or row["load_at"] is None:
        return None
    return Placed(row["provider"], row["load_key"], row["load_at"], row["load_place"] or 0)


async def _load(connection: Any, wanted: Wanted) -> Loaded:
    messages: dict[MessageId, Known] = {}
    permissions: dict[tuple[WorkspaceId, ContactId], Permission] = {}
    if wanted.messages:
        for row in await connection.fetch(sql.LOAD_MESSAGES, list(wanted.messages)):
            known = Known(_message(row), State(row["state"]), row["committing"], row["asked_at"])
            messages[known.message.id] = known
    redirects: dict[tuple[WorkspaceId, ContactId], ContactId] = {}
    if wanted.contacts:
        contacts = sorted(wanted.contacts)
        await _lock(connection, contacts, permissions)
        redirects = await merging.redirects(connection, contacts)
        others = {(workspace, into) for (workspace, _), into in redirects.items()}
        if others - permissions.keys():
            await _lock(connection, sorted(others - permissions.keys()), permissions)
    return Loaded(messages, permissions, redirects)


async def _lock(
    connection: Any,
    contacts: Sequence[tuple[WorkspaceId, ContactId]],
    permissions: dict[tuple[WorkspaceId, ContactId], Permission],
) -> None:
    workspaces, ids = zip(*contacts, strict=True)
    for row in await connection.fetch(merging.LOCK_PERMISSIONS, workspaces, ids):
        permissions[row["workspace"], row["contact"]] = permission_of(row)


def _message(row: Any) -> Message:
    return Message(
        id=row["id"],
        shard=row["shard"],
        workspace=row["workspace"],
        contact=row["contact"],
        enrollment=row["enrollment"],
        journey=row["journey"],
        version=row["version"],
        step=row["step"],
        template=row["template"],
        message_class=MessageClass(row["message_class"]) if row["message_class"] else None,
        test=row["test"],
    )


def _claimed(row: Any) -> Claimed:
    return Claimed(
        message=_message(row),
        epoch=row["epoch"],
        address=row["address"] or "",
        locale=row["locale"],
        topic=row["topic"],
        attempts=row["attempts"],
        asked_at=row["asked_at"],
        dated_at=row["dated_at"],
        snapshot=row["snapshot"] or b"{}",
        measuring=_measuring(row),
    )


def _measuring(row: Any) -> Measuring:
    said = row["tracking"]
    countries, refused = row["tracking_countries"], row["tracking_refused"]
    rules = (
        MeasuringRules()
        if refused is None
        else MeasuringRules(frozenset(countries), Tracking(refused))
    )
    return Measuring(ConsentState(said) if said is not None else None, rules)


def permission_of(row: Any) -> Permission:
    """A row of ``LOAD_PERMISSIONS``."""
    consent = None
    if row["state"] is not None:
        consent = Consent(ConsentState(row["state"]), row["at"], row["source"], row["proof"])
    tracking = None
    if row["tracking"] is not None:
        tracking = Consent(
            ConsentState(row["tracking"]), row["tracking_at"], row["tracking_source"],
            row["tracking_proof"],
        )  # fmt: skip
    return Permission(consent, frozenset(json.loads(row["topics_out"])), row["erased"], tracking)


def _tell(ended: Ended, now: dt.datetime) -> list[tuple[int, Event | Decision]]:
    message, end = ended.message, ended.ending
    later = end.next_attempt_at.isoformat() if end.next_attempt_at is not None else None
    line = decision(message, end.what, now, end.reason, detail=end.detail, next_attempt_at=later)
    told: list[tuple[int, Event | Decision]] = [(message.shard, line)]
    if end.event is not None:
        data = {**end.data, "address": ended.address, "subject": ended.subject}
        told.append((message.shard, report(message, end.event, now, end.reason, **data)))
    return told


def _asked(asked: Sequence[Asked], now: dt.datetime) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in _ASKED}
    for each in asked:
        for name, value in zip(_ASKED, _asked_row(each, now), strict=True):
            columns[name].append(value)
    return columns


_ASKED = (
    "ids", "shards", "workspaces", "contacts", "enrollments", "journeys", "versions", "steps",
    "templates", "classes", "tests", "states", "helds", "reasons", "topics", "priorities",
    "addresses", "address_keys", "locales", "asked_ats", "due_ats", "deadlines", "need_lives",
    "need_bulks", "snapshots",
)  # fmt: skip


def _asked_row(each: Asked, now: dt.datetime) -> tuple[Any, ...]:
    m, send = each.message, each.send
    row: tuple[Any, ...] = (
        m.id, m.shard, m.workspace, m.contact, m.enrollment, m.journey, m.version, m.step,
        m.template, m.message_class, m.test, each.state, each.held, each.reason, each.topic,
        each.priority,
    )  # fmt: skip
    if send is None:
        return (*row, None, None, None, now, None, None, 0, 0, None)
    return (
        *row, send.address, address_key(send.address), send.locale, send.asked_at, send.due_at,
        send.deadline, send.needs.get(EVENTS, 0), send.needs.get(EVENTS_BULK, 0),
        stored(send),
    )  # fmt: skip


def _permissions(changes: Changes) -> dict[str, list[Any]]:
    rows = [
        (workspace, contact, p.consent and p.consent.state, p.consent and p.consent.at,
         p.consent and p.consent.source, p.consent and p.consent.proof,
         json.dumps(sorted(p.topics_out)), p.erased, p.tracking and p.tracking.state,
         p.tracking and p.tracking.at, p.tracking and p.tracking.source,
         p.tracking and p.tracking.proof)
        for (workspace, contact), p in changes.permissions.items()
    ]  # fmt: skip
    names = ("p_workspaces", "p_contacts", "p_states", "p_ats")
    names += ("p_sources", "p_proofs", "p_topics_out", "p_erased")
    tracking = ("p_trackings", "p_tracking_ats", "p_tracking_sources", "p_tracking_proofs")
    return _columns((*names, *tracking), rows)


def _closings(changes: Changes, fingerprint: merging.Fingerprint) -> dict[str, list[Any]]:
    closed = [
        (c.workspace, c.address, c.scope, c.reason, c.at)
        for c in changes.closings.values()
        if c.reason is not None
    ]
    lifted = [(c.workspace, c.address, c.at) for c in changes.closings.values() if c.reason is None]
    lifted += [(workspace, fingerprint("address", each), at) for workspace, each, at in lifted]
    names = ("c_workspaces", "c_addresses", "c_scopes", "c_reasons", "c_ats")
    return _columns(names, closed) | _columns(("l_workspaces", "l_addresses", "l_ats"), lifted)


def _commitments(commitments: Sequence[Commitment]) -> tuple[list[Any], ...]:
    return (
        [each.claimed.message.id for each in commitments],
        [each.claimed.message.shard for each in commitments],
        [each.claimed.epoch for each in commitments],
        [each.header_id for each in commitments],
        [each.subject for each in commitments],
    )


def _endings(endings: Sequence[Ended]) -> dict[str, list[Any]]:
    rows = [
        (e.message.id, e.epoch, e.ending.state, e.ending.reason, e.ending.detail,
         e.ending.next_attempt_at, e.subject, not e.ending.tried)
        for e in endings
    ]  # fmt: skip
    names = ("ids", "epochs", "states", "reasons", "details", "nexts", "subjects", "untrieds")
    return _columns(names, rows)


def _bounces(endings: Sequence[Ended]) -> dict[str, list[Any]]:
    dead = {
        (e.message.workspace, address_key(e.address)): e.message.id
        for e in endings
        if e.ending.suppress
    }
    rows = [(*key, message) for key, message in dead.items()]
    return _columns(("b_workspaces", "b_addresses", "b_messages"), rows)


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Rows to columns, as ``unnest`` takes them."""
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}
