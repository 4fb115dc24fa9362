"""Endpoints, policies and histories in Postgres, as people and the queue poller read them."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from chappe.ids import WorkspaceId
from chappe.tokens import Vault
from chappe_sender.adapters import feedback_sql as sql
from chappe_sender.adapters.feedback_store import rules_of, secret_place
from chappe_sender.application.feedback_ports import Queue
from chappe_sender.domain.addresses import address_key
from chappe_sender.domain.feedback import keys
from chappe_sender.domain.suppressing import Rules

_SHOWN = """
    id, workspace, kind, name, state, topic, secret IS NOT NULL AS has_secret,
    queue IS NOT NULL AS has_queue, created_at, accepted, refused, accepted_at, refused_at,
    refused_reason
"""

ADD = f"""
    INSERT INTO sender.feedback_endpoint
           (id, workspace, kind, name, secret, topic, queue, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT DO NOTHING RETURNING {_SHOWN}
"""  # noqa: S608 - our own columns

LIST = f"""
    SELECT {_SHOWN} FROM sender.feedback_endpoint
     WHERE workspace = $1 AND state <> 'deleted' AND name > $2 ORDER BY name LIMIT $3
"""  # noqa: S608 - our own columns

FIND = f"""
    SELECT {_SHOWN} FROM sender.feedback_endpoint
     WHERE workspace = $1 AND state <> 'deleted' AND (name = $2 OR id = $2)
"""  # noqa: S608 - our own columns

HELD = "SELECT secret FROM sender.feedback_endpoint WHERE id = $1 FOR UPDATE"

RENEW = "UPDATE sender.feedback_endpoint SET secret = $2 WHERE id = $1"

DELETE = """
    UPDATE sender.feedback_endpoint SET state = 'deleted', secret = NULL, queue = NULL
     WHERE id = $1
"""

QUEUES = """
    SELECT id, queue FROM sender.feedback_endpoint
     WHERE queue IS NOT NULL AND state <> 'deleted' ORDER BY id LIMIT $1
"""

HISTORY = """
    SELECT id, address, scope, change, reason, source, site, bounce_class, detail, at, changed_at
      FROM sender.suppression_history
     WHERE workspace = $1 AND ($2::text IS NULL OR address = $2) AND id < $3
     ORDER BY id DESC LIMIT $4
"""

UNDO = """
    WITH gone AS (
        DELETE FROM sender.suppression
         WHERE workspace = $1 AND scope = '' AND reason IN ('bounced', 'quarantined')
           AND at >= $2
           AND ($3::text IS NULL OR site = $3 OR split_part(address, '@', 2) = $3)
        RETURNING workspace, address),
    well AS (
        DELETE FROM sender.address_health h USING gone g
         WHERE h.workspace = g.workspace AND h.address = g.address)
    SELECT address FROM gone ORDER BY address
"""

COUNT_UNDO = """
    SELECT address FROM sender.suppression
     WHERE workspace = $1 AND scope = '' AND reason IN ('bounced', 'quarantined') AND at >= $2
       AND ($3::text IS NULL OR site = $3 OR split_part(address, '@', 2) = $3)
     ORDER BY address
"""

OF_MESSAGE = """
    SELECT kind, bounce_class, permanent, provider, recipient, reason, machine, effect, delivery,
           occurred_at
      FROM sender.feedback WHERE workspace = $1 AND message = $2
     ORDER BY occurred_at DESC LIMIT 100
"""

RAW = """
    SELECT d.id, d.kind AS provider, d.received_at, d.headers::text AS headers, d.body
      FROM sender.feedback_delivery d
     WHERE d.id = $2 AND d.state = 'done'
       AND EXISTS (SELECT 1 FROM sender.feedback f WHERE f.workspace = $1 AND f.delivery = d.id)
"""


@dataclass(frozen=True, slots=True)
class FeedbackRecords:
    """What the API reads and writes, beside the stream."""

    pool: asyncpg.Pool
    vault: Vault

    async def add(
        self,
        id_: str,
        workspace: WorkspaceId,
        kind: str,
        name: str,
        *,
        secret: str | None,
        topic: str | None,
        queue: Queue | None,
        now: dt.datetime,
    ) -> dict[str, Any] | None:
        """The new endpoint; None when the name is taken."""
        row = await self.pool.fetchrow(
            ADD,
            id_,
            workspace,
            kind,
            name,
            self.vault.encrypt(secret_place(id_), secret) if secret else None,
            topic,
            self.vault.encrypt(_queue_place(id_), msgspec.json.encode(queue).decode())
            if queue
            else None,
            now,
        )
        return dict(row) if row is not None else None

    async def listed(self, workspace: WorkspaceId, after: str, limit: int) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.pool.fetch(LIST, workspace, after, limit)]

    async def find(self, workspace: WorkspaceId, name: str) -> dict[str, Any] | None:
        row = await self.pool.fetchrow(FIND, workspace, name)
        return dict(row) if row is not None else None

    async def set_secret(self, id_: str, secret: str, wall: dt.datetime) -> None:
        """The one before stays good for a while. Also lets go what waited for it."""
        where = secret_place(id_)
        async with self.pool.acquire() as connection, connection.transaction():
            held = await connection.fetchval(HELD, id_)
            fresh = keys.Keys(secret)
            if held is not None:
                fresh = keys.read(self.vault.decrypt(where, held)).renewed(secret, wall)
            await connection.execute(RENEW, id_, self.vault.encrypt(where, keys.write(fresh)))
        await self.pool.execute(sql.RELEASE, id_, wall)

    async def delete(self, id_: str) -> None:
        await self.pool.execute(DELETE, id_)

    async def queues(self, limit: int) -> dict[str, Queue]:
        """By endpoint."""
        rows = await self.pool.fetch(QUEUES, limit)
        return {
            row["id"]: msgspec.json.decode(
                self.vault.decrypt(_queue_place(row["id"]), row["queue"]), type=Queue
            )
            for row in rows
        }

    # -- policy and suppressions --------------------------------------------------------------

    async def rules(self, workspace: WorkspaceId) -> Rules:
        rows = await self.pool.fetch(sql.POLICIES, [workspace])
        return rules_of(rows[0]["body"]) if rows else Rules()

    async def save_rules(self, workspace: WorkspaceId, rules: Rules, now: dt.datetime) -> None:
        body = msgspec.json.encode(rules).decode()
        await self.pool.execute(sql.SAVE_POLICY, workspace, body, now)

    async def history(
        self, workspace: WorkspaceId, address: str | None, before: int, limit: int
    ) -> list[dict[str, Any]]:
        key = address_key(address) if address is not None else None
        rows = await self.pool.fetch(HISTORY, workspace, key, before, limit)
        return [dict(row) for row in rows]

    async def undo(
        self, workspace: WorkspaceId, since: dt.datetime, site: str | None, *, dry_run: bool
    ) -> list[str]:
        """Take back the bounces' suppressions since then, at one site; whose they were."""
        statement = COUNT_UNDO if dry_run else UNDO
        rows = await self.pool.fetch(statement, workspace, since, site)
        return [row["address"] for row in rows]

    # -- one message ----------------------------------------------------------------------------

    async def of_message(self, workspace: WorkspaceId, message: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.pool.fetch(OF_MESSAGE, workspace, message)]

    async def raw(self, workspace: WorkspaceId, id_: str) -> dict[str, Any] | None:
        row = await self.pool.fetchrow(RAW, workspace, id_)
        return dict(row) if row is not None else None


def _queue_place(endpoint: str) -> str:
    return f"feedback_endpoint/{endpoint}/queue"
