"""Who is who, read from the resolver's tables."""

from collections.abc import Sequence

import asyncpg

from chappe.events import Identifier
from chappe.ids import ContactId, WorkspaceId

IDENTIFIERS_MAX = 200

CONTACT_OF = """
    SELECT contact FROM ingest.identifier WHERE workspace = $1 AND type = $2 AND value = $3
"""

CURRENT = """
    SELECT id FROM ingest.contact
     WHERE workspace = $1
       AND id = coalesce((SELECT r."into" FROM ingest.contact_redirect r
                           WHERE r.workspace = $1 AND r.contact = $2), $2)
"""

IDENTIFIERS_OF = """
    SELECT type, value FROM ingest.identifier
     WHERE workspace = $1 AND contact = $2 AND type <> 'object'
     ORDER BY array_position('{external_id,email,phone,anonymous_id,checkout_token}', type), value
     LIMIT $3
"""


class PostgresIdentities:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def contact_of(self, workspace: WorkspaceId, identifier: Identifier) -> ContactId | None:
        found = await self._pool.fetchval(CONTACT_OF, workspace, identifier.type, identifier.value)
        return ContactId(found) if found is not None else None

    async def current(self, workspace: WorkspaceId, contact: ContactId) -> ContactId | None:
        found = await self._pool.fetchval(CURRENT, workspace, contact)
        return ContactId(found) if found is not None else None

    async def identifiers_of(
        self, workspace: WorkspaceId, contact: ContactId
    ) -> Sequence[Identifier]:
        rows = await self._pool.fetch(IDENTIFIERS_OF, workspace, contact, IDENTIFIERS_MAX)
        return [Identifier(row["type"], row["value"]) for row in rows]
