"""The tables that batches change: what is loaded before, and the one statement after."""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from chappe.ids import MessageId
from chappe.shards import Batch, DeadLetter, FencedStatement, Out
from chappe_analytics.adapters import merging
from chappe_analytics.application.ports import Changes, ContactKey, EntryKey, Held, Wanted
from chappe_analytics.domain.engagement import Engagement, EngagementKey
from chappe_analytics.domain.message import Message

SCHEMA = "analytics"

KNOWN_ENTRIES = """
    SELECT e.workspace, e.contact, e.id
      FROM unnest($1::text[], $2::text[], $3::text[]) u(workspace, contact, id)
      JOIN analytics.entry e USING (workspace, contact, id)
"""

KNOWN_HITS = "SELECT id FROM analytics.hit WHERE id = ANY($1::text[])"

ENGAGEMENTS = """
    SELECT e.message, e.kind, e.link, e.human, e.unsure, e.machine
      FROM unnest($1::text[], $2::text[], $3::int[]) u(message, kind, link)
      JOIN analytics.engagement e USING (message, kind, link)
"""

# Those that the batch speaks of, and those that its orders may be owed to.
MESSAGES = """
    SELECT doc FROM analytics.message WHERE id = ANY($1::text[])
     UNION ALL
    SELECT m.doc
      FROM (SELECT workspace, contact, since
              FROM unnest($2::text[], $3::text[], $4::timestamptz[]) u(workspace, contact, since)
             UNION ALL
            SELECT u.workspace, a.contact, u.since
              FROM unnest($2::text[], $3::text[], $4::timestamptz[]) u(workspace, contact, since)
              JOIN analytics.alias a ON a.workspace = u.workspace AND a."into" = u.contact) u
      JOIN analytics.message m
        ON m.workspace = u.workspace AND m.contact = u.contact AND m.touched_at >= u.since
     WHERE m.id <> ALL($1::text[])
"""

SAVE = FencedStatement(
    SCHEMA,
    {
        "lines": """
    INSERT INTO {schema}.entry (workspace, contact, id, at, kind, doc)
    SELECT workspace, contact, id, at, kind, doc
      FROM unnest({e_workspaces}::text[], {e_contacts}::text[], {e_ids}::text[],
                  {e_ats}::timestamptz[], {e_kinds}::text[], {e_docs}::bytea[])
           WITH ORDINALITY u(workspace, contact, id, at, kind, doc, n)
     ORDER BY n
        ON CONFLICT (workspace, contact, id) DO NOTHING""",
        "kept": """
    INSERT INTO {schema}.event (shard, stream, "offset", workspace, body)
    SELECT * FROM unnest({v_shards}::int[], {v_streams}::text[], {v_offsets}::bigint[],
                         {v_workspaces}::text[], {v_bodies}::bytea[])""",
        "hits": """
    INSERT INTO {schema}.hit (id, message, kind, link, verdict, at)
    SELECT * FROM unnest({h_ids}::text[], {h_messages}::text[], {h_kinds}::text[],
                         {h_links}::int[], {h_verdicts}::text[], {h_ats}::timestamptz[])
        ON CONFLICT (id) DO NOTHING""",
        "engaged": """
    INSERT INTO {schema}.engagement (message, kind, link, human, unsure, machine)
    SELECT * FROM unnest({g_messages}::text[], {g_kinds}::text[], {g_links}::int[],
                         {g_humans}::int[], {g_unsures}::int[], {g_machines}::int[])
        ON CONFLICT (message, kind, link)
        DO UPDATE SET human = excluded.human, unsure = excluded.unsure,
                      machine = excluded.machine""",
        "messages": """
    INSERT INTO {schema}.message (id, workspace, contact, touched_at, doc)
    SELECT * FROM unnest({m_ids}::text[], {m_workspaces}::text[], {m_contacts}::text[],
                         {m_touched_ats}::timestamptz[], {m_docs}::bytea[])
        ON CONFLICT (id) DO UPDATE SET touched_at = excluded.touched_at, doc = excluded.doc""",
        "counted": """
    INSERT INTO {schema}.tally AS was
           (workspace, journey, version, step, measure, reason, shard, n)
    SELECT * FROM unnest({t_workspaces}::text[], {t_journeys}::text[], {t_versions}::int[],
                         {t_steps}::text[], {t_measures}::text[], {t_reasons}::text[],
                         {t_shards}::int[], {t_ns}::numeric[])
        ON CONFLICT (workspace, journey, version, step, measure, reason, shard)
        DO UPDATE SET n = was.n + excluded.n""",
    },
)

_encode = msgspec.json.Encoder().encode
_encode_packed = msgspec.msgpack.Encoder().encode
_decode_message = msgspec.msgpack.Decoder(Message).decode


class PostgresStore:
    """``Store`` in schema ``analytics``."""

    def __init__(self, pool: asyncpg.Pool, partitions: int) -> None:
        self._pool = pool
        self._partitions = partitions

    async def load(self, wanted: Wanted) -> Held:
        """At most four reads; none for what the batch does not touch."""
        held = Held()
        if wanted.entries:
            rows = await self._pool.fetch(KNOWN_ENTRIES, *_columns(wanted.entries, 3))
            held.entries.update(EntryKey(*row) for row in rows)
        if wanted.hits:
            rows = await self._pool.fetch(KNOWN_HITS, list(wanted.hits))
            held.hits.update(row["id"] for row in rows)
        if wanted.engagements:
            rows = await self._pool.fetch(ENGAGEMENTS, *_columns(wanted.engagements, 3))
            for message, kind, link, *counts in rows:
                held.engagements[EngagementKey(message, kind, link)] = Engagement(*counts)
        if wanted.messages or wanted.orders:
            held.messages.update(await self._messages(wanted))
        known = wanted.contacts | {
            ContactKey(message.workspace, message.contact) for message in held.messages.values()
        }
        if known:
            held.aliases.update(await merging.aliases(self._pool, known))
        return held

    async def _messages(self, wanted: Wanted) -> dict[MessageId, Message]:
        orders = [(*key, since) for key, since in wanted.orders.items()]
        rows = await self._pool.fetch(MESSAGES, list(wanted.messages), *_columns(orders, 3))
        messages = (_decode_message(row["doc"]) for row in rows)
        return {message.id: message for message in messages}

    async def save(
        self,
        batch: Batch,
        changes: Changes,
        *,
        outbox: Sequence[Out] = (),
        dead: Sequence[DeadLetter] = (),
    ) -> None:
        arguments: dict[str, Any] = {
            **_lines(changes),
            **_kept(changes),
            **_hits(changes),
            **_engaged(changes),
            **_messages(changes),
            **_counted(changes),
        }
        if not changes.merged and not changes.forgotten:
            await batch.commit(SAVE, arguments, outbox=outbox, dead=dead)
            return
        async with batch.transaction() as transaction:
            for key, into in changes.merged:
                await merging.alias(transaction.connection, *key, into)
            for key in changes.forgotten:
                await merging.forget(transaction.connection, key, self._partitions)
            await batch.commit(SAVE, arguments, outbox=outbox, dead=dead, transaction=transaction)


def _lines(changes: Changes) -> dict[str, Any]:
    names = ("e_workspaces", "e_contacts", "e_ids", "e_ats", "e_kinds", "e_docs")
    rows = [(e.workspace, e.contact, e.id, e.at, e.kind, _encode(e)) for e in changes.entries]
    return _named(names, rows)


def _kept(changes: Changes) -> dict[str, Any]:
    names = ("v_shards", "v_streams", "v_offsets", "v_workspaces", "v_bodies")
    return _named(names, changes.events)


def _hits(changes: Changes) -> dict[str, Any]:
    names = ("h_ids", "h_messages", "h_kinds", "h_links", "h_verdicts", "h_ats")
    return _named(names, changes.hits)


def _engaged(changes: Changes) -> dict[str, Any]:
    names = ("g_messages", "g_kinds", "g_links", "g_humans", "g_unsures", "g_machines")
    rows = [(*key, e.human, e.unsure, e.machine) for key, e in changes.engagements.items()]
    return _named(names, rows)


def _messages(changes: Changes) -> dict[str, Any]:
    names = ("m_ids", "m_workspaces", "m_contacts", "m_touched_ats", "m_docs")
    rows = [
        (m.id, m.workspace, m.contact, m.touched_at, _encode_packed(m)) for m in changes.messages
    ]
    return _named(names, rows)


def _counted(changes: Changes) -> dict[str, Any]:
    names = (
        "t_workspaces", "t_journeys", "t_versions", "t_steps",
        "t_measures", "t_reasons", "t_shards", "t_ns",
    )  # fmt: skip
    rows = [
        (*tally, one.shard, n) for one in changes.counts for tally, n in one.counts.items() if n
    ]
    return _named(names, rows)


def _named(names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    return dict(zip(names, _columns(rows, len(names)), strict=True))


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows to columns, as ``unnest`` takes them."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
