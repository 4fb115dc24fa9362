"""Stops, the mode of delivery and captured mail in Postgres."""

import datetime as dt
import json
from typing import Any

import asyncpg

from chappe.events.streams import Stream
from chappe.ids import WorkspaceId
from chappe_sender.application.bad_day import Stop, StopKind
from chappe_sender.domain.delivery import Mode, Override

COLUMNS = """
    id, workspace, kind, value, provider, from_domain, reason, created_at, since, resumed_at
"""

STOP = """
    INSERT INTO sender.stop (id, workspace, kind, value, provider, from_domain, reason, created_at,
                             since)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

RESUME = f"""
    UPDATE sender.stop SET resumed_at = $3
     WHERE workspace = $1 AND resumed_at IS NULL AND ($2::text IS NULL OR id = $2)
    RETURNING {COLUMNS}
"""  # noqa: S608 - our own columns

# What was put aside goes back into its lane; what another stop is about will be put aside again.
UNPARK = """
    UPDATE sender.message SET parked = false, reason = NULL WHERE parked AND workspace = $1
"""

ACTIVE = f"""
    SELECT {COLUMNS} FROM sender.stop
     WHERE resumed_at IS NULL AND ($1::text IS NULL OR workspace = $1) ORDER BY created_at, id
"""  # noqa: S608 - our own columns

FIND = f"SELECT {COLUMNS} FROM sender.stop WHERE workspace = $1 AND id = $2"  # noqa: S608 - ours

# Over by the wire, surely or perhaps: what a stop can take back no more.
COUNTS = """
    SELECT count(*) FILTER (WHERE m.state IN ('accepted', 'delivered', 'bounced')) AS received,
           count(*) FILTER (WHERE m.state = 'in_doubt') AS in_doubt,
           count(*) FILTER (WHERE m.state = 'sending' AND m.committing) AS on_the_wire,
           count(*) FILTER (WHERE m.state IN ('pending', 'scheduled')
                            OR m.state = 'sending' AND NOT m.committing) AS waiting
      FROM sender.message m, sender.stop s
     WHERE s.id = $1 AND m.workspace = s.workspace
       AND (m.state IN ('pending', 'scheduled', 'sending') OR m.updated_at >= s.since)
       AND sender.covers(s, m, coalesce(m.provider, 'default'))
"""

RECEIVED = """
    SELECT m.id, m.contact, m.address, m.journey, m.template, m.message_class, m.state,
           m.accepted_at, coalesce(m.accepted_at, m.updated_at) AS at
      FROM sender.message m, sender.stop s
     WHERE s.id = $1 AND m.workspace = s.workspace
       AND m.state IN ('accepted', 'delivered', 'bounced', 'in_doubt')
       AND coalesce(m.accepted_at, m.updated_at) >= s.since
       AND ($2::timestamptz IS NULL OR (coalesce(m.accepted_at, m.updated_at), m.id) < ($2, $3))
       AND sender.covers(s, m, coalesce(m.provider, 'default'))
     ORDER BY coalesce(m.accepted_at, m.updated_at) DESC, m.id DESC
     LIMIT $4
"""

OVERRIDE = "SELECT mode, reason, at, wall_at FROM sender.delivery"

DECIDE = """
    INSERT INTO sender.delivery AS d (mode, reason, at, wall_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (one) DO UPDATE
           SET mode = excluded.mode, reason = excluded.reason, at = excluded.at,
               wall_at = excluded.wall_at,
               accepted = CASE WHEN excluded.mode = 'live'
                               THEN coalesce(d.reason, d.accepted) ELSE d.accepted END
"""

# Once: what somebody has seen and gone live with is not asked again.
MISFIT = """
    INSERT INTO sender.delivery AS d (mode, reason, at, wall_at) VALUES ('capture', $1, $2, $3)
        ON CONFLICT (one) DO UPDATE
           SET mode = 'capture', reason = excluded.reason, at = excluded.at,
               wall_at = excluded.wall_at
         WHERE d.mode <> 'capture' AND d.accepted IS DISTINCT FROM excluded.reason
    RETURNING mode
"""

OFFSETS = "SELECT shard, next_offsets::text AS next_offsets FROM sender.shard"

PUBLISHED = "SELECT shard, out_seq FROM sender.shard"

INCARNATION = "SELECT incarnation FROM sender.producer"

# Readers drop what they believe to have seen: as another producer we are heard.
RENEW = "UPDATE sender.producer SET incarnation = $2 WHERE incarnation = $1"

CAPTURED = "SELECT content FROM sender.captured WHERE workspace = $1 AND message = $2"

FORGET_CAPTURED = "DELETE FROM sender.captured WHERE captured_at < $1"


class PostgresBadDay:
    """Implements ``BadDayStore``."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def stop(self, stop: Stop) -> None:
        await self._pool.execute(
            STOP, stop.id, stop.workspace, stop.kind, stop.value, stop.provider, stop.from_domain,
            stop.reason, stop.created_at, stop.since,
        )  # fmt: skip

    async def resume(self, workspace: WorkspaceId, ref: str | None, now: dt.datetime) -> list[Stop]:
        """One, or all of the workspace's."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(RESUME, workspace, ref, now)
            await connection.execute(UNPARK, workspace)
        return [_stop(row) for row in rows]

    async def stops(self, workspace: WorkspaceId | None) -> list[Stop]:
        return [_stop(row) for row in await self._pool.fetch(ACTIVE, workspace)]

    async def find(self, workspace: WorkspaceId, id_: str) -> Stop | None:
        row = await self._pool.fetchrow(FIND, workspace, id_)
        return _stop(row) if row is not None else None

    async def counts(self, stop: Stop) -> dict[str, int]:
        row = await self._pool.fetchrow(COUNTS, stop.id)
        assert row is not None
        return dict(row)

    async def received(
        self, stop: Stop, after: tuple[dt.datetime, str] | None, limit: int
    ) -> list[dict[str, Any]]:
        at, id_ = after if after is not None else (None, None)
        return [dict(row) for row in await self._pool.fetch(RECEIVED, stop.id, at, id_, limit)]

    async def override(self) -> Override | None:
        row = await self._pool.fetchrow(OVERRIDE)
        if row is None:
            return None
        return Override(Mode(row["mode"]), row["reason"], row["at"], row["wall_at"])

    async def decide(self, override: Override) -> None:
        await self._pool.execute(
            DECIDE, override.mode, override.reason, override.at, override.wall_at
        )

    async def offsets(self) -> dict[int, dict[Stream, int]]:
        rows = await self._pool.fetch(OFFSETS)
        return {row["shard"]: json.loads(row["next_offsets"]) for row in rows}

    async def published(self) -> dict[int, int]:
        return {row["shard"]: row["out_seq"] for row in await self._pool.fetch(PUBLISHED)}

    async def incarnation(self) -> str | None:
        return await self._pool.fetchval(INCARNATION)

    async def renew(self, incarnation: str, other: str) -> None:
        await self._pool.execute(RENEW, incarnation, other)

    async def misfit(self, reason: str, now: dt.datetime, wall: dt.datetime) -> bool:
        """Capture from now on; False when somebody went live knowing it, or it is so already."""
        return await self._pool.fetchval(MISFIT, reason, now, wall) is not None

    async def captured(self, workspace: WorkspaceId, message: str) -> bytes | None:
        return await self._pool.fetchval(CAPTURED, workspace, message)

    async def forget_captured(self, before: dt.datetime) -> None:
        await self._pool.execute(FORGET_CAPTURED, before)


def _stop(row: Any) -> Stop:
    fields: dict[str, Any] = {**row, "kind": StopKind(row["kind"])}
    return Stop(**fields)
