"""Coupon pools in Postgres: a code is reserved where the message is claimed, in one transaction."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from chappe.ids import MessageId, WorkspaceId
from chappe_sender import metrics
from chappe_sender.domain.message import Message

COUNT_MAX = 1_000
"""A pool's stock is counted up to this, wherever it is counted while sending."""
POOLS_KEPT = 4_096

POOL = """
    SELECT convert_from(body, 'UTF8')::jsonb->>'coupon' FROM sender.template_version
     WHERE workspace = $1 AND id = $2
"""

# The code that this contact has in this enrollment already, else the oldest free one. Who was
# merged is asked for under both ids, and holds codes under the one that is left.
RESERVE = """
    WITH owner AS (
        SELECT coalesce((SELECT r."into" FROM sender.contact_redirect r
                          WHERE r.workspace = $1 AND r.contact = $3), $3) AS contact),
    had AS (
        UPDATE sender.coupon SET messages = array_append(array_remove(messages, $5), $5)
         WHERE workspace = $1 AND pool = $2 AND contact = (SELECT contact FROM owner)
           AND enrollment = $4
        RETURNING code),
    free AS (
        SELECT code FROM sender.coupon
         WHERE workspace = $1 AND pool = $2 AND contact IS NULL AND NOT EXISTS (SELECT FROM had)
         ORDER BY added_at, code LIMIT 1 FOR UPDATE SKIP LOCKED),
    took AS (
        UPDATE sender.coupon c
           SET contact = owner.contact, enrollment = $4, messages = ARRAY[$5], reserved_at = $6
          FROM free, owner WHERE c.workspace = $1 AND c.pool = $2 AND c.code = free.code
        RETURNING c.code)
    SELECT code FROM had UNION ALL SELECT code FROM took
"""

HELD = """
    SELECT code FROM sender.coupon
     WHERE workspace = $1 AND pool = $2 AND enrollment = $4
       AND contact = coalesce((SELECT r."into" FROM sender.contact_redirect r
                                WHERE r.workspace = $1 AND r.contact = $3), $3)
"""

# Only where no other message with the same code went out, or may have.
RELEASE = """
    UPDATE sender.coupon c
       SET contact = NULL, enrollment = NULL, messages = ARRAY[]::text[], reserved_at = NULL
      FROM sender.message m
     WHERE m.id = ANY($1::text[]) AND c.workspace = m.workspace
       AND c.contact = coalesce((SELECT r."into" FROM sender.contact_redirect r
                                  WHERE r.workspace = m.workspace AND r.contact = m.contact),
                                m.contact)
       AND c.enrollment = coalesce(m.enrollment, m.id) AND m.id = ANY(c.messages)
       AND NOT EXISTS (
           SELECT FROM sender.message o
            WHERE o.id = ANY(c.messages) AND o.id <> ALL($1::text[])
              AND o.state NOT IN ('skipped', 'cancelled', 'failed'))
"""

LEFT = """
    SELECT count(*) FROM (
        SELECT FROM sender.coupon WHERE workspace = $1 AND pool = $2 AND contact IS NULL
         LIMIT $3) free
"""

OUT_OF_STOCK = """
    UPDATE sender.message SET state = 'skipped', reason = 'no_coupon', updated_at = $2
     WHERE id = ANY($1::text[]) AND state = 'sending'
"""

ADD = """
    INSERT INTO sender.coupon (workspace, pool, code, added_at)
    SELECT $1, $2, code, $4 FROM unnest($3::text[]) u(code)
        ON CONFLICT DO NOTHING
    RETURNING 1
"""

LIST = """
    SELECT pool, count(*) AS codes, count(*) FILTER (WHERE contact IS NULL) AS "left"
      FROM sender.coupon WHERE workspace = $1 AND pool > $2 GROUP BY pool ORDER BY pool LIMIT $3
"""


class Coupons:
    """Which templates take codes, and the codes."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._pools: dict[tuple[str, str], str | None] = {}

    async def reserve(
        self, connection: Any, messages: Iterable[Message], now: dt.datetime
    ) -> tuple[dict[MessageId, str], set[MessageId]]:
        """Codes for the messages that show one, and the messages for which none is left."""
        codes: dict[MessageId, str] = {}
        without: set[MessageId] = set()
        touched: set[tuple[str, str]] = set()
        for message in messages:
            if (pool := await self._pool_of(message)) is None:
                continue
            code = await connection.fetchval(RESERVE, *_who(message, pool), message.id, now)
            touched.add((message.workspace, pool))
            if code is None:
                without.add(message.id)
            else:
                codes[message.id] = code
        if without:
            await connection.execute(OUT_OF_STOCK, sorted(without), now)
        for workspace, pool in touched:
            left = await connection.fetchval(LEFT, workspace, pool, COUNT_MAX)
            metrics.COUPONS_LEFT.labels(workspace, pool).set(left)
        return codes, without

    async def held(self, message: Message) -> str | None:
        """The code that a message shows, if it shows one."""
        if (pool := await self._pool_of(message)) is None:
            return None
        return await self._pool.fetchval(HELD, *_who(message, pool))

    async def release(self, connection: Any, messages: Iterable[Message]) -> None:
        """These were surely not sent, in the transaction that says so."""
        ids = [each.id for each in messages if await self._pool_of(each) is not None]
        if ids:
            await connection.execute(RELEASE, ids)

    async def add(
        self, workspace: WorkspaceId, pool: str, codes: Sequence[str], now: dt.datetime
    ) -> int:
        """How many of them are new."""
        return len(await self._pool.fetch(ADD, workspace, pool, list(codes), now))

    async def listed(self, workspace: WorkspaceId, after: str, limit: int) -> list[dict[str, Any]]:
        rows = await self._pool.fetch(LIST, workspace, after, limit)
        for row in rows:
            metrics.COUPONS_LEFT.labels(workspace, row["pool"]).set(min(row["left"], COUNT_MAX))
        return [dict(row) for row in rows]

    async def _pool_of(self, message: Message) -> str | None:
        """Versions are immutable, so what was read once stays true."""
        if message.template is None or "@" not in message.template:
            return None
        key = (message.workspace, message.template)
        if key not in self._pools:
            if len(self._pools) >= POOLS_KEPT:
                self._pools.clear()
            self._pools[key] = await self._pool.fetchval(POOL, *key)
        return self._pools[key]


def _who(message: Message, pool: str) -> tuple[str, str, str, str]:
    return message.workspace, pool, message.contact, message.enrollment or message.id
