"""What comes back, in Postgres: deliveries that wait, and what they change."""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import msgspec

from chappe.events import Decision, Event, encode_event
from chappe.events.streams import EVENTS
from chappe.ids import WorkspaceId
from chappe.shards import LostShards, Out, ShardRunner, to_contact, to_journal
from chappe.tokens import Vault
from chappe_sender.adapters import feedback_sql as sql
from chappe_sender.application.feedback_ports import (
    Choice,
    Decide,
    Delivery,
    Endpoint,
    Fact,
    FeedbackChanges,
    Held,
    Row,
    Unusable,
    Worked,
)
from chappe_sender.domain.addresses import address_key
from chappe_sender.domain.feedback import keys
from chappe_sender.domain.message import Message, State
from chappe_sender.domain.notices import is_staff
from chappe_sender.domain.suppressing import Health, Rules, Site, domain_of
from chappe_sender.domain.template import MessageClass

WRITER: Final = "sender"
RAW_KEPT: Final = dt.timedelta(days=14)
RAW_ROWS_MAX: Final = 100_000
FACTS_KEPT: Final = dt.timedelta(days=30)
REPEATS_LAST: Final = dt.timedelta(days=8)
"""Longer than any provider tries, and than the log is read again."""

SITES_KEPT: Final = dt.timedelta(days=8)

_headers = msgspec.json.Decoder(dict[str, str]).decode
_rules = msgspec.json.Decoder(Rules).decode


@dataclass(slots=True)
class FeedbackTables:
    """Implements ``FeedbackStore`` and ``DeliveryTable``. ``runner`` is set once both exist."""

    pool: asyncpg.Pool
    vault: Vault
    partitions: int
    runner: ShardRunner = field(init=False)

    # -- deliveries -------------------------------------------------------------------------

    async def take_in(self, deliveries: Sequence[Delivery]) -> None:
        await take_in(self.pool, deliveries)

    async def telling(self, messages: Iterable[str]) -> frozenset[str]:
        rows = await self.pool.fetch(sql.TELLING, list(messages))
        return frozenset(row["id"] for row in rows)

    async def due(self, shards: Sequence[int], wall: dt.datetime, limit: int) -> list[Delivery]:
        rows = await self.pool.fetch(sql.DUE, list(shards), wall, limit)
        return [_delivery(row) for row in rows]

    async def place(self, workspace: WorkspaceId, message: str) -> tuple[int, str] | None:
        """A message's shard and state."""
        row = await self.pool.fetchrow(sql.PLACE, workspace, message)
        return (row["shard"], row["state"]) if row is not None else None

    async def waiting(self, wall: dt.datetime) -> int:
        """How many are to be worked off now, of all shards."""
        return await self.pool.fetchval(sql.WAITING, wall)

    async def endpoints(self, ids: Iterable[str]) -> Mapping[str, Endpoint]:
        rows = await self.pool.fetch(sql.ENDPOINTS, [each for each in ids if each])
        return {row["id"]: self._endpoint(row) for row in rows}

    def _endpoint(self, row: Any) -> Endpoint:
        where = secret_place(row["id"])
        return Endpoint(
            id=row["id"],
            workspace=row["workspace"],
            kind=row["kind"],
            keys=keys.read(self.vault.decrypt(where, row["secret"])) if row["secret"] else None,
            topic=row["topic"],
            deleted=row["state"] == "deleted",
        )

    async def pin(self, endpoint: str, topic: str) -> bool:
        return await self.pool.fetchval(sql.PIN, endpoint, topic) is not None

    async def postpone(self, delivery: Delivery, until: dt.datetime, reason: str) -> None:
        await self.pool.execute(sql.POSTPONE, delivery.id, until, reason[:500])

    async def wait(self, delivery: Delivery, most: int) -> bool:
        row = await self.pool.fetchval(sql.WAIT, delivery.id, delivery.endpoint, most)
        return row is not None

    async def known(self, facts: Sequence[Fact]) -> list[tuple[str, State] | None]:
        if not facts:
            return []
        by_id, by_provider = await _known(self.pool, facts)
        found: list[tuple[str, State] | None] = []
        for fact in facts:
            named = [by_provider.get((fact.workspace or "", id_)) for id_ in fact.provider_ids]
            ids = [*fact.candidates, *(each for each in named if each is not None)]
            row = next((by_id[id_] for id_ in ids if id_ in by_id), None)
            found.append((row["address_key"] or "", State(row["state"])) if row else None)
        return found

    # -- the commit -------------------------------------------------------------------------

    async def apply(
        self,
        facts: Sequence[Fact],
        choices: Sequence[Choice],
        worked: Sequence[Worked],
        sites: Mapping[str, str],
        now: dt.datetime,
        wall: dt.datetime,
        decide: Decide,
    ) -> FeedbackChanges:
        shards = {each.delivery.shard for each in worked}
        gone = [shard for shard in shards if shard not in self.runner.owned]
        if gone:
            raise LostShards(gone)
        try:
            async with self.runner.transaction() as tx:
                held = await _hold(tx.connection, facts, choices, sites, now)
                changes = decide(held)
                await self.runner.commit(
                    sql.APPLY,
                    {"now": now, "wall": wall, **_columns_of(changes, worked, held, now)},
                    shards=shards,
                    outbox=self._outbox(changes.told),
                    transaction=tx,
                )
        except asyncpg.DeadlockDetectedError as error:
            # Nothing was written, and nothing is lost but a moment.
            raise LostShards([]) from error
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise Unusable(str(error)) from error
        return changes

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
                to_contact(shard, EVENTS, what.workspace, what.contact, body, self.partitions)
            )
        for shard, made in decisions.items():
            out += to_journal(WRITER, shard, made)
        return out

    async def tidy(self, now: dt.datetime, wall: dt.datetime) -> None:
        await self.pool.execute(sql.FORGET_DELIVERIES, wall - RAW_KEPT)
        await self.pool.execute(sql.BOUND_DELIVERIES, RAW_ROWS_MAX)
        await self.pool.execute(sql.FORGET_FEEDBACK, wall - REPEATS_LAST, wall - FACTS_KEPT)
        await self.pool.execute(sql.FORGET_SITES, now - SITES_KEPT)
        await self.pool.execute(sql.RELEASE_QUARANTINED, now, Rules().quarantine_hours)


def secret_place(endpoint: str) -> str:
    """What an endpoint's secret is sealed for."""
    return f"feedback_endpoint/{endpoint}"


async def take_in(pool: asyncpg.Pool, deliveries: Sequence[Delivery]) -> None:
    """Keep deliveries, to be worked off at once by whoever owns their shards."""
    await pool.execute(
        sql.TAKE_IN,
        [each.id for each in deliveries],
        [each.shard for each in deliveries],
        [each.kind for each in deliveries],
        [each.endpoint for each in deliveries],
        [each.received_at for each in deliveries],
        [each.received_wall for each in deliveries],
        [json.dumps(dict(each.headers)).replace("\\u0000", "") for each in deliveries],
        [each.body for each in deliveries],
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    )


def rules_of(body: str) -> Rules:
    """A workspace's policy as it is stored."""
    return _rules(body)


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=row["id"],
        shard=row["shard"],
        kind=row["kind"],
        endpoint=row["endpoint"],
        received_at=row["received_at"],
        received_wall=row["received_wall"],
        headers=_headers(row["headers"]),
        body=row["body"],
        attempts=row["attempts"],
    )


# -- loading --------------------------------------------------------------------------------------


async def _known(
    connection: Any, facts: Sequence[Fact]
) -> tuple[dict[str, Any], dict[tuple[str, str], str]]:
    ids = {id_ for fact in facts for id_ in fact.candidates}
    named = {id_ for fact in facts for id_ in fact.provider_ids}
    rows = await connection.fetch(sql.KNOWN, list(ids), list(named))
    by_provider = {
        (row["workspace"], row["provider_message_id"]): row["id"]
        for row in rows
        if row["provider_message_id"] is not None
    }
    return {row["id"]: row for row in rows}, by_provider


async def _hold(
    connection: Any,
    facts: Sequence[Fact],
    choices: Sequence[Choice],
    sites: Mapping[str, str],
    now: dt.datetime,
) -> Held:
    by_id, by_provider = await _known(connection, facts)
    ids = sorted({*by_id, *(choice.message for choice in choices)})
    messages = {row["id"]: _row(row) for row in await connection.fetch(sql.ROWS, ids)}
    about = _about(facts, messages, by_provider)
    workspaces = sorted({workspace for workspace, _ in about})
    rules = {
        row["workspace"]: rules_of(row["body"])
        for row in await connection.fetch(sql.POLICIES, workspaces)
    }
    return Held(
        messages=messages,
        by_provider=by_provider,
        keys=await _keys(connection, facts, about),
        health=await _health(connection, about),
        sites=await _sites(connection, about, sites, rules, now),
        rules=rules,
    )


def _about(
    facts: Sequence[Fact],
    messages: Mapping[str, Row],
    by_provider: Mapping[tuple[str, str], str],
) -> set[tuple[WorkspaceId, str]]:
    """(workspace, address) of every fact that may be about somebody."""
    about: set[tuple[WorkspaceId, str]] = set()
    for fact in facts:
        named = [by_provider.get((fact.workspace or "", id_), "") for id_ in fact.provider_ids]
        for id_ in (*fact.candidates, *named):
            if (row := messages.get(id_)) is not None:
                about.add((row.message.workspace, row.address))
        if fact.workspace is not None and fact.event.recipient:
            about.add((fact.workspace, address_key(fact.event.recipient)))
    return about


async def _keys(
    connection: Any, facts: Sequence[Fact], about: Iterable[tuple[WorkspaceId, str]]
) -> frozenset[tuple[str, str]]:
    workspaces = {workspace for workspace, _ in about}
    wanted = [
        (workspace, fact.event.dedupe or fact.delivery.id)
        for fact in facts
        for workspace in ([fact.workspace] if fact.workspace is not None else workspaces)
    ]
    rows = await connection.fetch(sql.KEYS, *_unzip(wanted, 2))
    return frozenset((row["workspace"], row["key"]) for row in rows)


async def _health(
    connection: Any, about: Iterable[tuple[WorkspaceId, str]]
) -> dict[tuple[str, str], Health]:
    people = set(about)
    wanted = sorted(people | {(w, f"@{domain_of(address)}") for w, address in people})
    return {
        (row["workspace"], row["address"]): Health(
            row["soft"], row["soft_since"], row["full_count"], row["full_since"], row["bad_since"]
        )
        for row in await connection.fetch(sql.HEALTH, *_unzip(wanted, 2))
    }


async def _sites(
    connection: Any,
    about: Iterable[tuple[WorkspaceId, str]],
    sites: Mapping[str, str],
    rules: Mapping[str, Rules],
    now: dt.datetime,
) -> dict[tuple[str, str], Site]:
    pairs = {(w, sites.get(domain_of(a), domain_of(a))) for w, a in about}
    wanted = [
        (w, site, now - dt.timedelta(minutes=rules.get(w, Rules()).spike_minutes))
        for w, site in sorted(pairs)
    ]
    return {
        (row["workspace"], row["site"]): Site(row["delivered"], row["hard"])
        for row in await connection.fetch(sql.SITE_HOURS, *_unzip(wanted, 3))
    }


def _row(row: Any) -> Row:
    return Row(
        message=Message(
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
        ),
        state=State(row["state"]),
        attempts=row["attempts"],
        address=row["address_key"] or "",
        topic=row["topic"],
    )


# -- writing --------------------------------------------------------------------------------------


def _columns_of(
    changes: FeedbackChanges, worked: Sequence[Worked], held: Held, now: dt.datetime
) -> dict[str, list[Any]]:
    return {
        **_moved(changes),
        **_heard(changes),
        **_healthy(changes),
        **_counted(changes),
        **_closed(changes),
        **_quarantined(changes, held, now),
        **_endpoints(worked),
        "d_kept": [each.delivery.id for each in worked if each.keep and not each.refused],
        "d_dropped": [each.delivery.id for each in worked if not each.keep or each.refused],
    }


def _moved(changes: FeedbackChanges) -> dict[str, list[Any]]:
    rows = [(m.id, m.state, m.reason, m.detail, m.again, m.was) for m in changes.moved.values()]
    return _named(("m_ids", "m_states", "m_reasons", "m_details", "m_agains", "m_was"), rows)


def _heard(changes: FeedbackChanges) -> dict[str, list[Any]]:
    rows = [
        (h.workspace, h.key, h.message, h.event.kind.value,
         h.event.bounce_class.value if h.event.bounce_class else None, h.event.permanent,
         h.provider, h.event.recipient, h.event.reason, h.event.machine, h.effect, h.delivery,
         h.occurred_at)
        for h in changes.heard.values()
    ]  # fmt: skip
    names = (
        "h_workspaces", "h_keys", "h_messages", "h_kinds", "h_classes", "h_permanents",
        "h_providers", "h_recipients", "h_reasons", "h_machines", "h_effects", "h_deliveries",
        "h_ats",
    )  # fmt: skip
    return _named(names, rows)


def _healthy(changes: FeedbackChanges) -> dict[str, list[Any]]:
    ill = [(key, h) for key, h in changes.health.items() if h != Health()]
    well = [key for key, h in changes.health.items() if h == Health()]
    rows = [(*key, h.soft, h.soft_since, h.full, h.full_since, h.bad_since) for key, h in ill]
    names = (
        "a_workspaces", "a_addresses", "a_softs", "a_soft_sinces", "a_fulls", "a_full_sinces",
        "a_bad_sinces",
    )  # fmt: skip
    return _named(names, rows) | _named(("r_workspaces", "r_addresses"), well)


def _counted(changes: FeedbackChanges) -> dict[str, list[Any]]:
    rows = [(*key, site.delivered, site.hard) for key, site in sorted(changes.sites.items())]
    return _named(("s_workspaces", "s_sites", "s_delivered", "s_hard"), rows)


def _closed(changes: FeedbackChanges) -> dict[str, list[Any]]:
    rows = [
        (c.workspace, c.address, c.reason, c.source, c.site, c.bounce_class, c.detail)
        for _, c in sorted(changes.closed.items())
    ]
    names = ("c_workspaces", "c_addresses", "c_reasons", "c_sources", "c_sites", "c_classes")
    return _named((*names, "c_details"), rows)


def _quarantined(changes: FeedbackChanges, held: Held, now: dt.datetime) -> dict[str, list[Any]]:
    rows = [
        (w, site, now - dt.timedelta(minutes=held.rules.get(w, Rules()).spike_minutes))
        for w, site in sorted(changes.spikes)
    ]
    found = _named(("q_workspaces", "q_sites", "q_sinces"), rows)
    return found | {"q_except": [f"{w} {address}" for w, address in changes.closed]}


def _endpoints(worked: Sequence[Worked]) -> dict[str, list[Any]]:
    counted: dict[str, tuple[int, int, str | None]] = {}
    for each in worked:
        id_ = each.delivery.endpoint
        accepted, refused, reason = counted.get(id_, (0, 0, None))
        counted[id_] = (
            accepted + (not each.refused),
            refused + each.refused,
            each.reason if each.refused else reason,
        )
    rows = [(id_, *counts) for id_, counts in sorted(counted.items()) if id_]
    return _named(("e_ids", "e_accepted", "e_refused", "e_reasons"), rows)


def _named(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def _unzip(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[at] for row in rows] for at in range(width)]
