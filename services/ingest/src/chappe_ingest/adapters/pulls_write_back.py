"""Who unsubscribed, for each shop that knows them; and the report of what no shop can be told."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from chappe.clock import Clock
from chappe.ids import SourceId
from chappe_ingest.adapters.pulls import newest_jobs
from chappe_ingest.application.pulling_ports import Backfill
from chappe_ingest.application.write_back import PATIENCE, Said
from chappe_ingest.domain.pulls import PULLED_KINDS

NOTE = """
    WITH said AS (
        SELECT workspace, contact, max(at) AS at
          FROM unnest($1::text[], $2::text[], $3::timestamptz[]) u(workspace, contact, at)
         GROUP BY workspace, contact
    ), known AS (
        SELECT said.workspace, said.contact, said.at, s.id AS source, s.kind, s.name,
               s.api_token IS NOT NULL AS can_ask,
               (SELECT max(CASE WHEN s.namespace = '' THEN i.value
                                ELSE substr(i.value, length(s.namespace) + 2) END)
                  FROM ingest.identifier i
                 WHERE i.workspace = said.workspace AND i.contact = said.contact
                   AND i.type = 'external_id'
                   AND i.scope = CASE WHEN s.namespace = '' THEN s.id ELSE s.namespace END)
                   AS external_id,
               coalesce(c.stated ? (s.id || ' email'), false) AS stated
          FROM said
          JOIN ingest.source s ON s.workspace = said.workspace
           AND s.kind = ANY($4::text[]) AND s.state <> 'deleted'
          LEFT JOIN ingest.contact c ON c.workspace = said.workspace AND c.id = said.contact
    ), queued AS (
        INSERT INTO ingest.write_back AS was
               (source, contact, workspace, external_id, wanted, at, state, next_at, give_up_at,
                reason, changed_at)
        SELECT source, contact, workspace, external_id, 'unsubscribed', at,
               CASE WHEN can_write THEN 'pending' ELSE 'divergent' END,
               CASE WHEN can_write THEN $5::timestamptz END,
               CASE WHEN can_write THEN $5::timestamptz + $6::interval END,
               CASE WHEN can_write THEN NULL
                    WHEN kind = 'woocommerce'
                    THEN 'WooCommerce''s API has no e-mail consent that could be written'
                    WHEN external_id IS NULL
                    THEN 'the shop never said which of its customers this is'
                    ELSE 'the source has no API token: chappe sources api-token ' || name END,
               $5
          FROM known,
               LATERAL (SELECT kind = 'shopify' AND can_ask AND external_id IS NOT NULL)
               w(can_write)
         WHERE external_id IS NOT NULL OR stated
         ORDER BY source, contact
            ON CONFLICT (source, contact) DO UPDATE
           SET external_id = excluded.external_id, at = excluded.at, state = excluded.state,
               next_at = excluded.next_at, give_up_at = excluded.give_up_at,
               reason = excluded.reason, changed_at = excluded.changed_at, attempts = 0
         WHERE excluded.at > was.at
        RETURNING source, state
    )
    UPDATE ingest.puller p SET next_at = least(p.next_at, $5)
     WHERE p.source IN (SELECT source FROM queued WHERE state = 'pending')
"""

TAKE_BACK = """
    UPDATE ingest.write_back b
       SET state = 'overtaken', reason = NULL, next_at = NULL, changed_at = $4
      FROM unnest($1::text[], $2::text[], $3::timestamptz[]) u(workspace, contact, at)
     WHERE b.workspace = u.workspace AND b.contact = u.contact AND b.at < u.at
       AND b.state IN ('pending', 'divergent')
"""

SETTLE = """
    UPDATE ingest.write_back b
       SET state = 'written', reason = NULL, next_at = NULL, changed_at = $3
      FROM unnest($1::text[], $2::text[]) u(source, contact)
     WHERE b.source = u.source AND b.contact = u.contact AND b.state IN ('pending', 'divergent')
"""

DIVERGENT = """
    SELECT contact, external_id, at, reason, changed_at FROM ingest.write_back
     WHERE source = $1 AND state = 'divergent' AND (at, contact) < ($2, $3)
     ORDER BY at DESC, contact DESC LIMIT $4
"""

COUNTS = """
    SELECT source, count(*) FILTER (WHERE state = 'divergent') AS divergent,
           count(*) FILTER (WHERE state = 'pending') AS pending
      FROM ingest.write_back
     WHERE state IN ('divergent', 'pending') AND source = ANY($1::text[]) GROUP BY source
"""

HEALTH = """
    SELECT (SELECT count(*)
              FROM ingest.write_back b JOIN ingest.source s ON s.id = b.source
             WHERE b.state = 'divergent' AND s.state <> 'deleted') AS divergent,
           (SELECT min(coalesce(p.polled_at, s.created_at))
              FROM ingest.source s LEFT JOIN ingest.puller p ON p.source = s.id
             WHERE s.kind = ANY($1::text[]) AND s.api_token IS NOT NULL
               AND s.state IN ('active', 'awaiting_secret')) AS polled_at
"""

STANDING = """
    SELECT source, polled_at, problem, failures, pulled
      FROM ingest.puller WHERE source = ANY($1::text[])
"""


class PostgresQueue:
    """``Queue``: writes in the transaction that it is handed. ``wall`` dates the rows."""

    def __init__(self, wall: Clock) -> None:
        self._wall = wall

    async def note(self, connection: Any, said: Sequence[Said]) -> None:
        now = self._wall.now()
        left = [each for each in said if each.left and each.shop is None]
        by_shop = [each for each in said if each.left and each.shop is not None]
        back = [each for each in said if not each.left]
        if left:
            await connection.execute(NOTE, *_columns(left), list(PULLED_KINDS), now, PATIENCE)
        if back:
            await connection.execute(TAKE_BACK, *_columns(back), now)
        if by_shop:
            shops = [str(each.shop) for each in by_shop]
            contacts = [str(each.contact) for each in by_shop]
            await connection.execute(SETTLE, shops, contacts, now)


@dataclass(frozen=True, slots=True)
class Divergence:
    contact: str
    external_id: str | None
    at: dt.datetime
    reason: str
    since: dt.datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How the asking of one shop stands."""

    polled_at: dt.datetime | None = None
    problem: str | None = None
    failures: int = 0
    pulled: int = 0
    divergent: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    divergent: int
    polled_at: dt.datetime | None


class PullReports:
    """What operators are shown of it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def newest(self, sources: Sequence[SourceId]) -> dict[SourceId, Backfill]:
        """The newest job of each, over or not."""
        return await newest_jobs(self._pool, sources)

    async def divergences(
        self, source: SourceId, before: tuple[dt.datetime, str], limit: int
    ) -> Sequence[Divergence]:
        """The newest first."""
        rows = await self._pool.fetch(DIVERGENT, source, *before, limit)
        return [
            Divergence(row["contact"], row["external_id"], row["at"], row["reason"] or "",
                       row["changed_at"])
            for row in rows
        ]  # fmt: skip

    async def standing(self, sources: Sequence[SourceId]) -> dict[SourceId, Standing]:
        asked = list(sources)
        counts = {row["source"]: row for row in await self._pool.fetch(COUNTS, asked)}
        rows = {row["source"]: row for row in await self._pool.fetch(STANDING, asked)}
        found: dict[SourceId, Standing] = {}
        for source in sources:
            row, count = rows.get(source), counts.get(source)
            if row is None and count is None:
                continue
            found[source] = Standing(
                polled_at=row["polled_at"] if row else None,
                problem=row["problem"] if row else None,
                failures=row["failures"] if row else 0,
                pulled=row["pulled"] if row else 0,
                divergent=count["divergent"] if count else 0,
                pending=count["pending"] if count else 0,
            )
        return found

    async def health(self) -> Health:
        row = await self._pool.fetchrow(HEALTH, list(PULLED_KINDS))
        assert row is not None, "an aggregate has one row"
        return Health(row["divergent"], row["polled_at"])


def _columns(said: Sequence[Said]) -> tuple[list[str], list[str], list[dt.datetime]]:
    return (
        [str(each.workspace) for each in said],
        [str(each.contact) for each in said],
        [each.at for each in said],
    )
