"""The ledger as people read it, and suppressions as they change them by hand."""

import datetime as dt
from typing import Any

import asyncpg

from chappe.ids import ContactId, WorkspaceId
from chappe_sender.adapters.ledger import permission_of
from chappe_sender.adapters.statements import LOAD_PERMISSIONS
from chappe_sender.application.ports import MessageQuery
from chappe_sender.domain.addresses import address_key
from chappe_sender.domain.permission import Permission

_COLUMNS = """
    id, state, reason, detail, contact, address, enrollment, journey, version, step, template,
    message_class AS class, topic, subject, test, held, attempts, asked_at, due_at, deadline,
    CASE WHEN state IN ('pending', 'scheduled') THEN next_attempt_at END AS next_attempt_at,
    accepted_at, header_id AS message_id_header, provider_message_id,
    (SELECT p.name FROM sender.provider p WHERE p.id = message.provider) AS provider
"""

MESSAGES = f"""
    SELECT {_COLUMNS}
      FROM sender.message
     WHERE workspace = $1
       AND ($2::text IS NULL OR contact = $2
            OR contact IN (SELECT r.contact FROM sender.contact_redirect r
                            WHERE r.workspace = $1 AND r."into" = $2))
       AND ($3::text IS NULL OR address_key = $3)
       AND ($4::text IS NULL OR state = $4)
       AND ($5::timestamptz IS NULL OR (asked_at, id) < ($5, $6))
       AND ($8::text IS NULL OR reason = $8)
     ORDER BY asked_at DESC, id DESC LIMIT $7
"""  # noqa: S608 - our own columns

MESSAGE = f"SELECT {_COLUMNS} FROM sender.message WHERE workspace = $1 AND id = $2"  # noqa: S608 - our own columns

SUPPRESSIONS = """
    SELECT address, scope, reason, at, source, site, bounce_class, detail
      FROM sender.suppression
     WHERE workspace = $1 AND (address, scope) > ($2, $3) ORDER BY address, scope LIMIT $4
"""

SUPPRESS = """
    INSERT INTO sender.suppression (workspace, address, scope, reason, at, source)
    VALUES ($1, $2, '', $3, $4, 'api')
        ON CONFLICT (workspace, address, scope) DO UPDATE
           SET reason = excluded.reason, at = excluded.at, source = excluded.source
"""

UNSUPPRESS = "DELETE FROM sender.suppression WHERE workspace = $1 AND address = $2"


DEAD_LETTERS = """
    SELECT id, stream, shard, "offset", reason, source, length(value) AS bytes, at
      FROM sender.dead_letter
     WHERE $1::timestamptz IS NULL OR (at, id) < ($1, $2)
     ORDER BY at DESC, id DESC LIMIT $3
"""


class PostgresReads:
    """Implements ``Reads``."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def messages(self, query: MessageQuery) -> list[dict[str, Any]]:
        at, id_ = query.before or (None, None)
        address = address_key(query.address) if query.address is not None else None
        rows = await self._pool.fetch(
            MESSAGES,
            query.workspace,
            query.contact,
            address,
            query.state,
            at,
            id_,
            query.limit,
            query.reason,
        )
        return [dict(row) for row in rows]

    async def message(self, workspace: WorkspaceId, id_: str) -> dict[str, Any] | None:
        row = await self._pool.fetchrow(MESSAGE, workspace, id_)
        return dict(row) if row is not None else None

    async def permission(self, workspace: WorkspaceId, contact: ContactId) -> Permission:
        rows = await self._pool.fetch(LOAD_PERMISSIONS, [workspace], [contact])
        return permission_of(rows[0]) if rows else Permission()

    async def suppressions(
        self, workspace: WorkspaceId, after: tuple[str, str], limit: int
    ) -> list[dict[str, Any]]:
        rows = await self._pool.fetch(SUPPRESSIONS, workspace, *after, limit)
        return [dict(row) for row in rows]

    async def suppress(
        self, workspace: WorkspaceId, address: str, reason: str, now: dt.datetime
    ) -> None:
        await self._pool.execute(SUPPRESS, workspace, address_key(address), reason, now)

    async def unsuppress(self, workspace: WorkspaceId, address: str) -> bool:
        """Whether there was one."""
        done = await self._pool.execute(UNSUPPRESS, workspace, address_key(address))
        return done != "DELETE 0"

    async def dead_letters(
        self, before: tuple[dt.datetime, str] | None, limit: int
    ) -> list[dict[str, Any]]:
        at, id_ = before or (None, None)
        return [dict(row) for row in await self._pool.fetch(DEAD_LETTERS, at, id_, limit)]
