"""Contacts and enrollments as the API reads them. Reading changes nothing and locks nothing."""

import datetime as dt
from dataclasses import replace
from typing import Any

import asyncpg
import msgspec

from chappe.ids import ContactId, EventId, WorkspaceId
from chappe_orchestrator.application.ports import Counts, ParkedRow, Slice
from chappe_orchestrator.domain import Enrollment, Profile
from chappe_orchestrator.domain.profile import read_profile

CONTACT = """
    SELECT contact, doc FROM orchestrator.profile
     WHERE shard = $1 AND contact = $2 AND workspace = $3
"""

EXPORT_ENROLLMENTS = """
    SELECT doc FROM orchestrator.enrollment
     WHERE shard = $1 AND contact = $2 ORDER BY entered_at, id LIMIT $3
"""

EXPORT_KEYS = """
    SELECT journey, value, entered_at, closed_at FROM orchestrator.journey_key
     WHERE shard = $1 AND contact = $2 ORDER BY journey, value LIMIT $3
"""

EXPORT_MAX = 5_000

CONTACTS = """
    SELECT shard, contact, doc FROM orchestrator.profile
     WHERE workspace = $1 AND (shard, contact) > ($2, $3)
     ORDER BY shard, contact LIMIT $4
"""

# Of each journey the newest few by its index, then the newest of them all: no page looks at more
# than it was told to, whatever it is asked to find.
ENROLLMENTS = """
    SELECT e.contact, e.doc, e.entered_at, e.id,
           ($4::text IS NULL OR e.status = $4) AND ($5::int IS NULL OR e.version = $5)
           AND ($6::text IS NULL OR (e.step = $6 AND e.status = 'active')) AS wanted
      FROM orchestrator.journey j
     CROSS JOIN LATERAL (
           SELECT * FROM orchestrator.enrollment e
            WHERE e.workspace = j.workspace AND e.journey = j.name
              AND ($7::timestamptz IS NULL OR (e.entered_at, e.id) < ($7, $8))
            ORDER BY e.entered_at DESC, e.id DESC LIMIT $3) e
     WHERE j.workspace = $1 AND ($2::text IS NULL OR j.name = $2)
     ORDER BY e.entered_at DESC, e.id DESC LIMIT $3
"""

OF_CONTACT = """
    SELECT e.contact, e.doc, e.entered_at, e.id,
           ($4::text IS NULL OR e.status = $4) AND ($5::int IS NULL OR e.version = $5)
           AND ($6::text IS NULL OR (e.step = $6 AND e.status = 'active'))
           AND ($2::text IS NULL OR e.journey = $2) AS wanted
      FROM orchestrator.enrollment e
     WHERE e.workspace = $1 AND e.shard = $9 AND e.contact = $10
       AND ($7::timestamptz IS NULL OR (e.entered_at, e.id) < ($7, $8))
     ORDER BY e.entered_at DESC, e.id DESC LIMIT $3
"""

LOOKED_AT_MAX = 5_000
"""Enrollments that one page looks at when it is asked for few of them."""

COUNTS = """
    SELECT status, place, sum(people)::bigint AS people, sum(held)::bigint AS held
      FROM orchestrator.enrollment_count
     WHERE workspace = $1 AND journey = $2 AND version = $3
     GROUP BY status, place
"""

INSIDE = """
    SELECT version, place, sum(people)::bigint AS people FROM orchestrator.enrollment_count
     WHERE workspace = $1 AND journey = $2 AND status = 'active'
     GROUP BY version, place HAVING sum(people) > 0
"""

ONE_ENROLLMENT = """
    SELECT doc FROM orchestrator.enrollment
     WHERE shard = $1 AND contact = $2 AND id = $3 AND workspace = $4
"""

NEWEST_OF_CONTACT = """
    SELECT doc FROM orchestrator.enrollment
     WHERE shard = $1 AND contact = $2 ORDER BY entered_at DESC LIMIT 20
"""

PARKED = """
    SELECT p.shard, p.contact, p.reason, p.parked_at,
           (SELECT count(*) FROM (
                SELECT 1 FROM orchestrator.parked_event e
                 WHERE e.shard = p.shard AND e.contact = p.contact LIMIT 10000) n) AS events
      FROM orchestrator.parked_contact p
     WHERE p.workspace = $1 AND (p.shard, p.contact) > ($2, $3)
     ORDER BY p.shard, p.contact LIMIT $4
"""

IS_PARKED = """
    SELECT EXISTS (SELECT 1 FROM orchestrator.parked_contact WHERE shard = $1 AND contact = $2)
"""

_enrollment = msgspec.json.Decoder(Enrollment).decode


class PostgresPeople:
    """Reads of the state tables."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def contact(
        self, shard: int, workspace: WorkspaceId, contact: ContactId
    ) -> Profile | None:
        row = await self._pool.fetchrow(CONTACT, shard, contact, workspace)
        return read_profile(row["doc"]) if row else None

    async def export(self, shard: int, contact: ContactId) -> dict[str, list[dict[str, Any]]]:
        enrollments = await self._pool.fetch(EXPORT_ENROLLMENTS, shard, contact, EXPORT_MAX)
        keys = await self._pool.fetch(EXPORT_KEYS, shard, contact, EXPORT_MAX)
        return {
            "enrollments": [msgspec.json.decode(row["doc"]) for row in enrollments],
            "keys": [dict(row) for row in keys],
        }

    async def contacts(
        self, workspace: WorkspaceId, after: tuple[int, str], limit: int
    ) -> list[tuple[int, ContactId, Profile]]:
        rows = await self._pool.fetch(CONTACTS, workspace, *after, limit)
        return [(row["shard"], row["contact"], read_profile(row["doc"])) for row in rows]

    async def enrollments(
        self,
        workspace: WorkspaceId,
        *,
        journey: str | None,
        status: str | None,
        contact: tuple[int, ContactId] | None,
        step: str | None = None,
        version: int | None = None,
        before: tuple[dt.datetime, str] | None,
        limit: int,
    ) -> Slice:
        """Newest first; looks at a bounded number of enrollments."""
        entered_at, last = before or (None, None)
        narrow = (status, version, step) != (None, None, None) or contact is not None
        looked_at = max(limit + 1, LOOKED_AT_MAX if narrow else 0)
        arguments = (workspace, journey, looked_at, status, version, step, entered_at, last)
        if contact is None:
            rows = await self._pool.fetch(ENROLLMENTS, *arguments)
        else:
            rows = await self._pool.fetch(OF_CONTACT, *arguments, *contact)
        wanted = [row for row in rows if row["wanted"]]
        page = wanted[:limit]
        if len(wanted) > limit:
            more = page[-1]["entered_at"], page[-1]["id"]
        else:
            more = (rows[-1]["entered_at"], rows[-1]["id"]) if len(rows) == looked_at else None
        return Slice([(row["contact"], _enrollment(row["doc"])) for row in page], more)

    async def counts(self, workspace: WorkspaceId, journey: str, version: int) -> Counts:
        counts = Counts({}, 0, 0, {})
        active = held = 0
        for row in await self._pool.fetch(COUNTS, workspace, journey, version):
            where = counts.at_step if row["status"] == "active" else counts.ended
            if row["people"]:
                where[row["place"]] = row["people"]
            active += row["people"] if row["status"] == "active" else 0
            held += row["held"]
        return replace(counts, active=active, held=held)

    async def inside(self, workspace: WorkspaceId, journey: str) -> dict[int, dict[str, int]]:
        found: dict[int, dict[str, int]] = {}
        for row in await self._pool.fetch(INSIDE, workspace, journey):
            found.setdefault(row["version"], {})[row["place"]] = row["people"]
        return found

    async def enrollment(
        self, workspace: WorkspaceId, enrollment: str, contact: tuple[int, ContactId]
    ) -> Enrollment | None:
        doc = await self._pool.fetchval(ONE_ENROLLMENT, *contact, enrollment, workspace)
        return _enrollment(doc) if doc is not None else None

    async def entered_by(self, contact: tuple[int, ContactId], event: EventId) -> Enrollment | None:
        rows = await self._pool.fetch(NEWEST_OF_CONTACT, *contact)
        found = (_enrollment(row["doc"]) for row in rows)
        return next((one for one in found if one.entered_by == event), None)

    async def parked(
        self, workspace: WorkspaceId, after: tuple[int, str], limit: int
    ) -> list[tuple[int, ParkedRow]]:
        rows = await self._pool.fetch(PARKED, workspace, *after, limit)
        return [
            (
                row["shard"],
                ParkedRow(row["contact"], row["reason"], row["parked_at"], row["events"]),
            )
            for row in rows
        ]

    async def is_parked(self, contact: tuple[int, ContactId]) -> bool:
        return await self._pool.fetchval(IS_PARKED, *contact)
