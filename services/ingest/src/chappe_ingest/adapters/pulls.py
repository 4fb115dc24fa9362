"""The pullers' rows in Postgres: leases, marks, jobs, and what is to be written back."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import asyncpg

from chappe.ids import ContactId, SourceId, WorkspaceId
from chappe_ingest.adapters.sources import Sources
from chappe_ingest.application.pulling_ports import (
    Backfill,
    BackfillState,
    LeaseLost,
    Told,
    Turn,
    WriteBack,
)
from chappe_ingest.domain.pulls import PULLED_KINDS, Mark

CLAIM = """
    INSERT INTO ingest.puller AS was (source, holder, lease_until, next_at)
    SELECT s.id, $1, $3, $2
      FROM ingest.source s
      LEFT JOIN ingest.puller p ON p.source = s.id
     WHERE s.kind = ANY($4::text[]) AND s.api_token IS NOT NULL
       AND s.state IN ('active', 'awaiting_secret')
       AND (p.lease_until IS NULL OR p.lease_until <= $2)
       AND (p.next_at IS NULL OR p.next_at <= $2)
     ORDER BY p.next_at NULLS FIRST, s.id
     LIMIT 1
        ON CONFLICT (source) DO UPDATE
       SET holder = excluded.holder, lease_until = excluded.lease_until
     WHERE was.lease_until IS NULL OR was.lease_until <= $2
    RETURNING source, failures, poll_at
"""

KEEP = """
    UPDATE ingest.puller SET lease_until = $3 WHERE source = $1 AND holder = $2
"""

LEAVE = """
    UPDATE ingest.puller SET holder = NULL, lease_until = NULL WHERE starts_with(holder, $1)
"""

RELEASE = """
    UPDATE ingest.puller p
       SET holder = NULL,
           lease_until = NULL,
           poll_at = $5,
           polled_at = CASE WHEN $8 AND $5::timestamptz IS NOT NULL THEN $3 ELSE p.polled_at END,
           failures = CASE WHEN $9 THEN p.failures + 1 ELSE 0 END,
           problem = $6,
           pulled = p.pulled + $7,
           next_at = greatest($4, least(
               coalesce($5, $3),
               (SELECT min(b.next_at) FROM ingest.write_back b
                 WHERE b.source = $1 AND b.state = 'pending'),
               (SELECT $3::timestamptz FROM ingest.backfill j
                 WHERE j.source = $1 AND j.state IN ('waiting', 'running'))))
     WHERE p.source = $1 AND p.holder = $2
"""

MARKS = "SELECT subject, at, cursor, tail FROM ingest.pull_mark WHERE source = $1"

SET_MARK = """
    INSERT INTO ingest.pull_mark (source, subject, at, cursor, tail) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (source, subject) DO UPDATE
       SET at = excluded.at, cursor = excluded.cursor, tail = excluded.tail
"""

_JOB: Final = """
    id, workspace, source, since, until, state, subject, at, cursor, done, total, failures, note,
    created_at, finished_at
"""

JOB = f"""
    SELECT {_JOB} FROM ingest.backfill
     WHERE source = $1 AND state IN ('waiting', 'running')
"""  # noqa: S608 - our own list of columns

NEWEST_JOBS = f"""
    SELECT DISTINCT ON (source) {_JOB} FROM ingest.backfill
     WHERE source = ANY($1::text[]) ORDER BY source, created_at DESC, id
"""  # noqa: S608 - our own list of columns

ADD_JOB = """
    INSERT INTO ingest.backfill (id, workspace, source, since, until, state, created_at)
    VALUES ($1, $2, $3, $4, $5, 'waiting', $6)
"""

WANT_A_TURN = """
    INSERT INTO ingest.puller AS was (source, next_at) VALUES ($1, $2)
        ON CONFLICT (source) DO UPDATE SET next_at = least(was.next_at, excluded.next_at)
"""

PROGRESS = """
    UPDATE ingest.backfill
       SET state = $2, subject = $3, at = $4, cursor = $5, done = $6, total = $7, failures = $8,
           note = $9, finished_at = $10
     WHERE id = $1 AND state IN ('waiting', 'running')
"""

CANCEL = """
    UPDATE ingest.backfill SET state = 'cancelled', finished_at = $2
     WHERE source = $1 AND state IN ('waiting', 'running')
"""

UNWRITTEN = """
    SELECT source, contact, external_id, at, attempts, give_up_at FROM ingest.write_back
     WHERE source = $1 AND state = 'pending' AND next_at <= $2 AND external_id IS NOT NULL
     ORDER BY next_at LIMIT $3
"""

WRITTEN = """
    UPDATE ingest.write_back
       SET state = $4, reason = $5, next_at = NULL, changed_at = $6, attempts = attempts + 1
     WHERE source = $1 AND contact = $2 AND at = $3 AND state = 'pending'
"""

POSTPONE = """
    UPDATE ingest.write_back
       SET attempts = attempts + 1, reason = $4, next_at = $5, changed_at = $6
     WHERE source = $1 AND contact = $2 AND at = $3 AND state = 'pending'
"""

_STATES: Final = {
    Told.WRITTEN: "written",
    Told.KNOWN: "written",
    Told.OVERTAKEN: "overtaken",
    Told.NO_CUSTOMER: "divergent",
    Told.NO_FIELD: "divergent",
    Told.GIVEN_UP: "divergent",
}


class PostgresPulls:
    """``Pulls``, and the API's side of the jobs."""

    def __init__(self, pool: asyncpg.Pool, sources: Sources) -> None:
        self._pool = pool
        self._sources = sources

    async def claim(self, me: str, now: dt.datetime, until: dt.datetime) -> Turn | None:
        row = await self._pool.fetchrow(CLAIM, me, now, until, list(PULLED_KINDS))
        if row is None:
            return None
        sources = {source.id: source for source in await self._sources.all()}
        return Turn(sources[row["source"]], row["failures"], row["poll_at"])

    async def keep(self, turn: Turn, me: str, until: dt.datetime) -> None:
        if await self._pool.execute(KEEP, turn.source.id, me, until) != "UPDATE 1":
            raise LeaseLost

    async def release(
        self,
        turn: Turn,
        me: str,
        *,
        now: dt.datetime,
        not_before: dt.datetime,
        poll_at: dt.datetime | None,
        problem: str | None,
        pulled: int,
        failed: bool,
    ) -> None:
        polled = poll_at is not None and poll_at != turn.poll_at
        await self._pool.execute(
            RELEASE, turn.source.id, me, now, not_before, poll_at, problem, pulled, polled, failed
        )

    async def leave(self, me: str) -> None:
        await self._pool.execute(LEAVE, f"{me} ")

    async def marks(self, source: SourceId) -> dict[str, Mark]:
        return {
            row["subject"]: Mark(row["at"], row["cursor"], tuple(row["tail"]))
            for row in await self._pool.fetch(MARKS, source)
        }

    async def mark(self, source: SourceId, subject: str, mark: Mark) -> None:
        await self._pool.execute(SET_MARK, source, subject, mark.at, mark.cursor, list(mark.tail))

    async def backfill(self, source: SourceId) -> Backfill | None:
        row = await self._pool.fetchrow(JOB, source)
        return _job(row) if row is not None else None

    async def newest(self, sources: Sequence[SourceId]) -> dict[SourceId, Backfill]:
        """The newest job of each, over or not."""
        return await newest_jobs(self._pool, sources)

    async def add(self, job: Backfill, now: dt.datetime) -> bool:
        """Queue a job; False: the source has one that is not over. ``now``: wall clock."""
        async with self._pool.acquire() as connection, connection.transaction():
            try:
                async with connection.transaction():
                    await connection.execute(
                        ADD_JOB,
                        job.id,
                        job.workspace,
                        job.source,
                        job.since,
                        job.until,
                        job.created_at,
                    )
            except asyncpg.UniqueViolationError:
                return False
            await connection.execute(WANT_A_TURN, job.source, now)
        return True

    async def cancel(self, source: SourceId, at: dt.datetime) -> bool:
        """False: there was none to cancel."""
        return await self._pool.execute(CANCEL, source, at) != "UPDATE 0"

    async def progress(self, job: Backfill) -> bool:
        done = await self._pool.execute(
            PROGRESS,
            job.id,
            job.state.value,
            job.subject,
            job.at,
            job.cursor,
            job.done,
            job.total,
            job.failures,
            job.note,
            job.finished_at,
        )
        return done == "UPDATE 1"

    async def unwritten(
        self, source: SourceId, now: dt.datetime, limit: int
    ) -> Sequence[WriteBack]:
        return [
            WriteBack(
                SourceId(row["source"]),
                ContactId(row["contact"]),
                row["external_id"],
                row["at"],
                row["attempts"],
                row["give_up_at"],
            )
            for row in await self._pool.fetch(UNWRITTEN, source, now, limit)
        ]

    async def written(
        self, back: WriteBack, told: Told, reason: str | None, now: dt.datetime
    ) -> None:
        await self._pool.execute(
            WRITTEN, back.source, back.contact, back.at, _STATES[told], reason, now
        )

    async def postpone(
        self, back: WriteBack, reason: str, next_at: dt.datetime, now: dt.datetime
    ) -> None:
        await self._pool.execute(POSTPONE, back.source, back.contact, back.at, reason, next_at, now)


async def newest_jobs(pool: asyncpg.Pool, sources: Sequence[SourceId]) -> dict[SourceId, Backfill]:
    rows = await pool.fetch(NEWEST_JOBS, list(sources))
    return {SourceId(row["source"]): _job(row) for row in rows}


def _job(row: asyncpg.Record) -> Backfill:
    return Backfill(
        id=row["id"],
        workspace=WorkspaceId(row["workspace"]),
        source=SourceId(row["source"]),
        since=row["since"],
        until=row["until"],
        state=BackfillState(row["state"]),
        subject=row["subject"],
        at=row["at"],
        cursor=row["cursor"],
        done=row["done"],
        total=row["total"],
        failures=row["failures"],
        note=row["note"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
