"""What people ask of the tables: a timeline, counts, the events of the last days."""

import datetime as dt
from typing import Any

import asyncpg
import msgspec

from chappe.events import EVENTS, EVENTS_BULK, Stream
from chappe.ids import Shard, WorkspaceId
from chappe_analytics.application.ports import (
    Before,
    ContactKey,
    KeptEvent,
    Letter,
    Line,
    Positions,
)
from chappe_analytics.domain.tallies import Counts, Tally, add
from chappe_analytics.domain.timeline import Entry, Kind

_WHOSE = """contact IN (
           SELECT $2 UNION ALL
           SELECT a.contact FROM analytics.alias a WHERE a.workspace = $1 AND a."into" = $2)"""

TIMELINE = f"""
    SELECT seq, doc FROM analytics.entry
     WHERE workspace = $1 AND {_WHOSE} AND ($3::text IS NULL OR kind = $3)
     ORDER BY at DESC, seq DESC LIMIT $4
"""  # noqa: S608 - our own words

TIMELINE_BEFORE = f"""
    SELECT seq, doc FROM analytics.entry
     WHERE workspace = $1 AND {_WHOSE} AND ($3::text IS NULL OR kind = $3)
       AND (at, seq) < ($5::timestamptz, $6::bigint)
     ORDER BY at DESC, seq DESC LIMIT $4
"""  # noqa: S608 - our own words

ENGAGEMENT = f"""
    SELECT g.message, g.kind, g.link, g.human, g.unsure, g.machine
      FROM analytics.message m JOIN analytics.engagement g ON g.message = m.id
     WHERE m.workspace = $1 AND m.{_WHOSE}
     ORDER BY g.message, g.kind, g.link LIMIT $3
"""  # noqa: S608 - our own words

ENGAGEMENT_MAX = 5_000

COUNTS = """
    SELECT workspace, journey, version, step, measure, reason, sum(n) AS n
      FROM analytics.tally
     WHERE workspace = $1 AND journey <> '' AND ($2::text IS NULL OR journey = $2)
       AND ($3::int IS NULL OR version = $3)
     GROUP BY workspace, journey, version, step, measure, reason
"""

POSITIONS = "SELECT now() AS now, shard, next_offsets FROM analytics.shard"

KEPT = """
    SELECT stored_at, shard, stream, "offset", body FROM analytics.event
     WHERE workspace = $1 AND stored_at <= $2
       AND (stored_at, shard, stream, "offset") > ($3::timestamptz, $4::int, $5::text, $6::bigint)
     ORDER BY stored_at, shard, stream, "offset" LIMIT $7
"""

SINCE = """
    SELECT e.stored_at, e.shard, e.stream, e."offset", e.body
      FROM unnest($2::int[], $3::text[], $4::bigint[]) u(shard, stream, next)
     CROSS JOIN LATERAL (
           SELECT * FROM analytics.event o
            WHERE o.shard = u.shard AND o.stream = u.stream AND o."offset" >= u.next
              AND o.workspace = $1
            ORDER BY o."offset" LIMIT $5) e
     ORDER BY e.stored_at, e.shard, e.stream, e."offset"
"""

LETTERS = """
    SELECT id, stream, shard, "offset", reason, source, length(value) AS bytes, at
      FROM analytics.dead_letter
     WHERE $1::timestamptz IS NULL OR at < $1 OR (at = $1 AND id > $2)
     ORDER BY at DESC, id LIMIT $3
"""

START = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_offsets = msgspec.json.Decoder(dict[Stream, int]).decode


class PostgresReading:
    """``Reading``, ``EventLog`` and ``DeadLetters`` in schema ``analytics``."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def timeline(
        self, key: ContactKey, *, kind: Kind | None, before: Before | None, limit: int
    ) -> list[Line]:
        if before is None:
            rows = await self._pool.fetch(TIMELINE, *key, kind, limit)
        else:
            rows = await self._pool.fetch(TIMELINE_BEFORE, *key, kind, limit, *before)
        return [Line(row["seq"], _decode_entry(row["doc"])) for row in rows]

    async def engagement(self, key: ContactKey) -> list[dict[str, Any]]:
        rows = await self._pool.fetch(ENGAGEMENT, *key, ENGAGEMENT_MAX)
        return [dict(row) for row in rows]

    async def counts(
        self, workspace: WorkspaceId, *, journey: str | None, version: int | None
    ) -> Counts:
        counts: Counts = {}
        for *tally, n in await self._pool.fetch(COUNTS, workspace, journey, version):
            add(counts, Tally(*tally), n)
        return counts

    async def positions(self) -> tuple[dt.datetime, Positions]:
        rows = await self._pool.fetch(POSITIONS)
        positions: dict[tuple[Shard, Stream], int] = {}
        for row in rows:
            offsets = _decode_offsets(row["next_offsets"])
            for stream in (EVENTS, EVENTS_BULK):
                positions[row["shard"], stream] = offsets.get(stream, 0)
        return (rows[0]["now"] if rows else START), positions

    async def kept(
        self, workspace: WorkspaceId, *, after: KeptEvent | None, until: dt.datetime, limit: int
    ) -> list[KeptEvent]:
        place = after[:4] if after else (START, -1, "", -1)
        rows = await self._pool.fetch(KEPT, workspace, until, *place, limit)
        return [KeptEvent(*row) for row in rows]

    async def since(
        self, workspace: WorkspaceId, positions: Positions, *, per_shard: int
    ) -> list[KeptEvent]:
        shards = [shard for shard, _ in positions]
        streams = [stream for _, stream in positions]
        offsets = list(positions.values())
        rows = await self._pool.fetch(SINCE, workspace, shards, streams, offsets, per_shard)
        return [KeptEvent(*row) for row in rows]

    async def letters(self, *, before: tuple[dt.datetime, str] | None, limit: int) -> list[Letter]:
        rows = await self._pool.fetch(LETTERS, *(before or (None, None)), limit)
        return [Letter(*row) for row in rows]
