"""Calls in Postgres: claimed by whoever is free, and made known as facts."""

import datetime as dt
from collections.abc import Sequence

import asyncpg
import msgspec

from chappe.broker import Broker, Outgoing
from chappe.events import EVENTS, Event, contact_key, encode_event
from chappe.ids import partition_of
from chappe.shards import wrap
from chappe_orchestrator.application.call_ports import Claimed
from chappe_orchestrator.domain import Call

CLAIM = """
    UPDATE orchestrator.call c SET attempts = c.attempts + 1, next_at = $2
      FROM (SELECT id FROM orchestrator.call
             WHERE state = 'pending' AND next_at <= $1
             ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED) due
     WHERE c.id = due.id
    RETURNING c.doc, c.attempts
"""

END = """
    UPDATE orchestrator.call SET state = $2, ended_at = $3, reason = $4
     WHERE id = $1 AND state = 'pending'
"""

AGAIN = """
    UPDATE orchestrator.call SET next_at = $2, reason = $3 WHERE id = $1 AND state = 'pending'
"""

NEXT_AT = "SELECT min(next_at) FROM orchestrator.call WHERE state = 'pending'"

FORGET = "DELETE FROM orchestrator.call WHERE state <> 'pending' AND ended_at < $1"

_call = msgspec.json.Decoder(Call).decode


class PostgresCalls:
    """``Calls`` over the orchestrator's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def claim(self, now: dt.datetime, until: dt.datetime, limit: int) -> Sequence[Claimed]:
        rows = await self._pool.fetch(CLAIM, now, until, limit)
        return [Claimed(_call(row["doc"]), row["attempts"]) for row in rows]

    async def end(self, call: str, state: str, now: dt.datetime, reason: str | None) -> None:
        await self._pool.execute(END, call, state, now, reason)

    async def again(self, call: str, at: dt.datetime, reason: str) -> None:
        await self._pool.execute(AGAIN, call, at, reason)

    async def next_at(self) -> dt.datetime | None:
        return await self._pool.fetchval(NEXT_AT)

    async def forget(self, before: dt.datetime) -> None:
        await self._pool.execute(FORGET, before)


class BrokerTeller:
    """``Teller`` over the log: the record has no outbox, and is known by its id."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def tell(self, event: Event) -> None:
        if event.contact is None:
            return
        key = contact_key(event.workspace, event.contact)
        partition = partition_of(key, self._broker.partitions)
        await self._broker.append(EVENTS, [Outgoing(partition, key, wrap(encode_event(event)))])
