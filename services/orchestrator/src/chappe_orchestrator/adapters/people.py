"""Contacts and enrollments as the API reads them. Reading changes nothing and locks nothing."""

import datetime as dt
from typing import Any

import asyncpg
import msgspec

from chappe.ids import ContactId, WorkspaceId
from chappe_orchestrator.application.ports import Counts
from chappe_orchestrator.domain import Enrollment, Profile

CONTACT = """
    SELECT contact, doc FROM orchestrator.profile
     WHERE shard = $1 AND contact = $2 AND workspace = $3
"""

CONTACTS = """
    SELECT shard, contact, doc FROM orchestrator.profile
     WHERE workspace = $1 AND (shard, contact) > ($2, $3)
     ORDER BY shard, contact LIMIT $4
"""

ENROLLMENTS = """
    SELECT contact, doc FROM orchestrator.enrollment
     WHERE workspace = $1
       AND ($2::text IS NULL OR journey = $2) AND ($3::text IS NULL OR status = $3)
       AND ($4::int IS NULL OR (shard = $4 AND contact = $5))
       AND ($6::timestamptz IS NULL OR (entered_at, id) < ($6, $7))
     ORDER BY entered_at DESC, id DESC LIMIT $8
"""

COUNTS = """
    SELECT step, status, reason, count(*) AS people, count(*) FILTER (WHERE held) AS held
      FROM orchestrator.enrollment
     WHERE workspace = $1 AND journey = $2 AND version = $3
     GROUP BY step, status, reason
"""

_profile = msgspec.json.Decoder(Profile).decode
_enrollment = msgspec.json.Decoder(Enrollment).decode


class PostgresPeople:
    """Reads of the state tables."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def contact(
        self, shard: int, workspace: WorkspaceId, contact: ContactId
    ) -> Profile | None:
        row = await self._pool.fetchrow(CONTACT, shard, contact, workspace)
        return _profile(row["doc"]) if row else None

    async def contacts(
        self, workspace: WorkspaceId, after: tuple[int, str], limit: int
    ) -> list[tuple[int, ContactId, Profile]]:
        rows = await self._pool.fetch(CONTACTS, workspace, *after, limit)
        return [(row["shard"], row["contact"], _profile(row["doc"])) for row in rows]

    async def enrollments(
        self,
        workspace: WorkspaceId,
        *,
        journey: str | None,
        status: str | None,
        contact: tuple[int, ContactId] | None,
        before: tuple[dt.datetime, str] | None,
        limit: int,
    ) -> list[tuple[ContactId, Enrollment]]:
        """Newest first."""
        shard, who = contact or (None, None)
        entered_at, last = before or (None, None)
        rows = await self._pool.fetch(
            ENROLLMENTS, workspace, journey, status, shard, who, entered_at, last, limit
        )
        return [(row["contact"], _enrollment(row["doc"])) for row in rows]

    async def counts(self, workspace: WorkspaceId, journey: str, version: int) -> Counts:
        at_step: dict[str, int] = {}
        ended: dict[str, int] = {}
        active = held = 0
        for row in await self._pool.fetch(COUNTS, workspace, journey, version):
            if row["status"] == "active":
                active += row["people"]
                held += row["held"]
                step: Any = row["step"]
                at_step[step] = at_step.get(step, 0) + row["people"]
            else:
                reason: Any = row["reason"] or "finished"
                ended[reason] = ended.get(reason, 0) + row["people"]
        return Counts(at_step, active, held, ended)
