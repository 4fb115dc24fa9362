"""Moves of everybody inside a journey, in Postgres: how far each has come."""

import datetime as dt
from collections.abc import Sequence

import asyncpg
import msgspec

from chappe.ids import ContactId, EnrollmentId, WorkspaceId
from chappe_orchestrator.application.crowds import CrowdMove, Member, Order, Page

ADD = """
    INSERT INTO orchestrator.crowd_move
           (id, workspace, journey, versions, doc, next_at, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

# Whoever takes one has it until `next_at`; a process that dies lets it go with that.
CLAIM = """
    UPDATE orchestrator.crowd_move SET next_at = $2
     WHERE id = (SELECT id FROM orchestrator.crowd_move
                  WHERE state = 'running' AND next_at <= $1
                  ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING *
"""

PAGE = """
    SELECT contact, id, entered_at, status = 'active' AND version = ANY($3::int[]) AS wanted
      FROM orchestrator.enrollment
     WHERE workspace = $1 AND journey = $2
       AND ($4::timestamptz IS NULL OR (entered_at, id) > ($4, $5))
     ORDER BY entered_at, id LIMIT $6
"""

KEEP = """
    UPDATE orchestrator.crowd_move
       SET after_at = $2, after_id = $3, asked = $4, passes = $5, next_at = $6,
           state = CASE WHEN $7 THEN 'done' ELSE 'running' END,
           ended_at = CASE WHEN $7 THEN $8::timestamptz END
     WHERE id = $1
"""

LEFT = """
    SELECT coalesce(sum(people), 0)::bigint FROM orchestrator.enrollment_count
     WHERE workspace = $1 AND journey = $2 AND version = ANY($3::int[]) AND status = 'active'
"""

ONE = "SELECT * FROM orchestrator.crowd_move WHERE id = $1 AND workspace = $2 AND journey = $3"

RUNNING = """
    SELECT EXISTS (SELECT 1 FROM orchestrator.crowd_move WHERE state = 'running' AND passes = 0)
"""

_order = msgspec.json.Decoder(Order).decode


class PostgresCrowds:
    """``Crowds`` over the orchestrator's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, move: CrowdMove, created_at: dt.datetime) -> None:
        doc = msgspec.json.encode(move.order)
        await self._pool.execute(
            ADD, move.id, move.workspace, move.journey, list(move.versions), doc, move.next_at,
            created_at,
        )  # fmt: skip

    async def claim(self, now: dt.datetime, until: dt.datetime) -> CrowdMove | None:
        row = await self._pool.fetchrow(CLAIM, now, until)
        return _move(row) if row is not None else None

    async def page(self, move: CrowdMove, limit: int) -> Page:
        rows = await self._pool.fetch(
            PAGE, move.workspace, move.journey, list(move.versions), move.after_at, move.after_id,
            limit,
        )  # fmt: skip
        members = [
            Member(ContactId(row["contact"]), EnrollmentId(row["id"]))
            for row in rows
            if row["wanted"]
        ]
        last = (rows[-1]["entered_at"], rows[-1]["id"]) if len(rows) == limit else None
        return Page(members, last)

    async def keep(self, move: CrowdMove, ended_at: dt.datetime | None) -> None:
        await self._pool.execute(
            KEEP, move.id, move.after_at, move.after_id, move.asked, move.passes, move.next_at,
            ended_at is not None, ended_at,
        )  # fmt: skip

    async def left(self, workspace: WorkspaceId, journey: str, versions: Sequence[int]) -> int:
        return await self._pool.fetchval(LEFT, workspace, journey, list(versions))

    async def one(self, workspace: WorkspaceId, journey: str, move: str) -> CrowdMove | None:
        row = await self._pool.fetchrow(ONE, move, workspace, journey)
        return _move(row) if row is not None else None

    async def running(self) -> bool:
        return await self._pool.fetchval(RUNNING)


def _move(row: asyncpg.Record) -> CrowdMove:
    return CrowdMove(
        id=row["id"],
        workspace=row["workspace"],
        journey=row["journey"],
        versions=tuple(row["versions"]),
        order=_order(row["doc"]),
        state=row["state"],
        passes=row["passes"],
        after_at=row["after_at"],
        after_id=row["after_id"],
        asked=row["asked"],
        next_at=row["next_at"],
    )
