"""Sources in Postgres, their secrets sealed."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence

import asyncpg

from chappe.clock import monotonic
from chappe.ids import SourceId, WorkspaceId
from chappe.tokens import Vault
from chappe_ingest.adapters.hydration_shops import Access
from chappe_ingest.application.resolving import Known, KnownOf
from chappe_ingest.application.source_table import NameTaken
from chappe_ingest.application.tally import Seen
from chappe_ingest.domain.roles import Role
from chappe_ingest.domain.source import OLD_SECRET_LIVES, Secret, Source, SourceState, links_for

KNOWN_FRESH_SECONDS = 10.0
KNOWN_SOURCES_MAX = 10_000

ALL = """
    SELECT s.id, s.workspace, s.kind, s.name, s.namespace, s.domains, s.public, s.state,
           s.created_at, s.role, s.config::text AS config, s.note,
           coalesce(array_agg(x.number ORDER BY x.number DESC)
                    FILTER (WHERE x.number IS NOT NULL), '{}') AS numbers,
           coalesce(array_agg(x.sealed ORDER BY x.number DESC)
                    FILTER (WHERE x.number IS NOT NULL), '{}') AS sealed,
           coalesce(array_agg(x.not_after ORDER BY x.number DESC)
                    FILTER (WHERE x.number IS NOT NULL), '{}') AS not_after
      FROM ingest.source s
      LEFT JOIN ingest.source_secret x
        ON x.source = s.id AND (x.not_after IS NULL OR x.not_after > now())
     GROUP BY s.id
"""

ADD = """
    INSERT INTO ingest.source
           (id, workspace, kind, name, namespace, domains, public, state, created_at, config, role)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11)
"""

SEAL = """
    INSERT INTO ingest.source_secret (source, number, sealed, created_at)
    VALUES ($1, $2, $3, $4)
"""

NUMBER = """
    SELECT coalesce(max(number), 0) + 1 FROM ingest.source_secret WHERE source = $1
"""

RETIRE_SECRETS = """
    UPDATE ingest.source_secret SET not_after = $2 WHERE source = $1 AND not_after IS NULL
"""

DROP_OLD_SECRETS = """
    DELETE FROM ingest.source_secret WHERE source = $1 AND number < $2
"""

SET_STATE = """
    UPDATE ingest.source SET state = $3, note = NULL
     WHERE workspace = $1 AND id = $2 AND state <> 'deleted'
"""

SET_API_KEY = "UPDATE ingest.source SET api_token = $2 WHERE id = $1"
API_KEY = "SELECT api_token FROM ingest.source WHERE id = $1"

ACCESS = """
    SELECT domains, api_token, config ->> 'loopback' AS loopback
      FROM ingest.source WHERE id = $1 AND state <> 'deleted'
"""

SET_DOMAINS = "UPDATE ingest.source SET domains = $2 WHERE id = $1"

FORGET_HELD = "DELETE FROM ingest.quarantine WHERE source = $1"
FORGET_SECRETS = "DELETE FROM ingest.source_secret WHERE source = $1"

KNOWN = """
    SELECT id, kind, domains, role, config::text AS config, api_token IS NOT NULL AS can_ask
      FROM ingest.source WHERE id = ANY($1::text[])
"""

# The usual gap forgets slowly: a tenth of each flush's own.
ADD_SEEN = """
    INSERT INTO ingest.source_seen AS was
           (source, accepted, refused, accepted_at, refused_at, refused_because,
            repeats, dead, dead_at, dead_because)
    SELECT u.* FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[],
                           $5::timestamptz[], $6::text[], $7::bigint[], $8::bigint[],
                           $9::timestamptz[], $10::text[])
           u(source, accepted, refused, accepted_at, refused_at, refused_because,
             repeats, dead, dead_at, dead_because)
      JOIN ingest.source s ON s.id = u.source
     ORDER BY u.source
        ON CONFLICT (source) DO UPDATE
       SET accepted = was.accepted + excluded.accepted,
           refused = was.refused + excluded.refused,
           accepted_at = greatest(was.accepted_at, excluded.accepted_at),
           refused_at = greatest(was.refused_at, excluded.refused_at),
           refused_because = coalesce(excluded.refused_because, was.refused_because),
           repeats = was.repeats + excluded.repeats,
           dead = was.dead + excluded.dead,
           dead_at = greatest(was.dead_at, excluded.dead_at),
           dead_because = coalesce(excluded.dead_because, was.dead_because),
           gap_seconds = CASE
               WHEN excluded.accepted = 0 OR excluded.accepted_at <= was.accepted_at
                    OR was.accepted_at IS NULL THEN was.gap_seconds
               ELSE (coalesce(was.gap_seconds,
                              extract(epoch FROM excluded.accepted_at - was.accepted_at)
                              / excluded.accepted) * 9
                     + extract(epoch FROM excluded.accepted_at - was.accepted_at)
                       / excluded.accepted) / 10
           END
"""

SEEN = """
    SELECT source, accepted, refused, accepted_at, refused_at, refused_because,
           repeats, dead, dead_at, dead_because, gap_seconds
      FROM ingest.source_seen WHERE source = ANY($1::text[])
"""


class Sources:
    """The store behind the edge's table, the API and the resolver."""

    def __init__(self, pool: asyncpg.Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault
        self._known: dict[SourceId, tuple[float, Known]] = {}

    async def all(self) -> Sequence[Source]:
        """Raises ``ValueError`` when CHAPPE_SECRET_KEY is not the one that sealed the secrets."""
        return [self._source(row) for row in await self._pool.fetch(ALL)]

    async def add(self, source: Source) -> None:
        """Raises ``NameTaken``."""
        async with self._pool.acquire() as connection, connection.transaction():
            try:
                await connection.execute(
                    ADD,
                    source.id,
                    source.workspace,
                    source.kind,
                    source.name,
                    source.namespace,
                    list(source.domains),
                    source.public,
                    source.state,
                    source.created_at,
                    json.dumps(dict(source.config)),
                    source.role,
                )
            except asyncpg.UniqueViolationError:
                raise NameTaken(source.name) from None
            for number, secret in enumerate(source.secrets, 1):
                sealed = self._vault.encrypt(_where(source.id, number), secret.value)
                await connection.execute(SEAL, source.id, number, sealed, source.created_at)

    async def set_secret(
        self,
        source: Source,
        secret: str,
        *,
        now: dt.datetime,
        lives: dt.timedelta = OLD_SECRET_LIVES,
    ) -> None:
        """``secret`` counts from now on; the one before it goes on for ``lives``; older ones go."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(RETIRE_SECRETS, source.id, now + lives)
            number: int = await connection.fetchval(NUMBER, source.id)
            sealed = self._vault.encrypt(_where(source.id, number), secret)
            await connection.execute(SEAL, source.id, number, sealed, now)
            await connection.execute(DROP_OLD_SECRETS, source.id, number - 1)
            if source.state is SourceState.AWAITING_SECRET:
                await connection.execute(SET_STATE, source.workspace, source.id, SourceState.ACTIVE)

    async def set_api_token(self, source: SourceId, token: str | None) -> None:
        """For asking the shop back; sealed."""
        sealed = self._vault.encrypt(_api_token(source), token) if token is not None else None
        await self._pool.execute(SET_API_KEY, source, sealed)

    async def api_token(self, source: SourceId) -> str | None:
        sealed = await self._pool.fetchval(API_KEY, source)
        return self._vault.decrypt(_api_token(source), sealed) if sealed is not None else None

    async def access(self, source: SourceId) -> Access | None:
        """How to reach the shop behind a source; None: there is no such source any more."""
        row = await self._pool.fetchrow(ACCESS, source)
        if row is None:
            return None
        sealed = row["api_token"]
        token = self._vault.decrypt(_api_token(source), sealed) if sealed is not None else None
        return Access(tuple(row["domains"]), token, row["loopback"])

    async def set_domains(self, source: SourceId, domains: Sequence[str]) -> None:
        await self._pool.execute(SET_DOMAINS, source, list(domains))

    async def set_state(self, workspace: WorkspaceId, source: SourceId, state: SourceState) -> bool:
        """False when there is no such live source."""
        async with self._pool.acquire() as connection, connection.transaction():
            answer = await connection.execute(SET_STATE, workspace, source, state)
            if state is SourceState.DELETED:
                await connection.execute(FORGET_SECRETS, source)
                await connection.execute(SET_API_KEY, source, None)
                await connection.execute(FORGET_HELD, source)
        return answer.endswith(" 1")

    async def seen(self, sources: Sequence[SourceId]) -> dict[str, Seen]:
        rows = await self._pool.fetch(SEEN, list(sources))
        return {
            row["source"]: Seen(**{name: value for name, value in row.items() if name != "source"})
            for row in rows
        }

    async def add_seen(self, seen: Mapping[SourceId, Seen]) -> None:
        each = seen.values()
        await self._pool.execute(
            ADD_SEEN,
            list(seen),
            [one.accepted for one in each],
            [one.refused for one in each],
            [one.accepted_at for one in each],
            [one.refused_at for one in each],
            [one.refused_because for one in each],
            [one.repeats for one in each],
            [one.dead for one in each],
            [one.dead_at for one in each],
            [one.dead_because for one in each],
        )

    async def known_of(self, sources: set[SourceId]) -> KnownOf:
        """How to read what each of ``sources`` sent; at most ``KNOWN_FRESH_SECONDS`` old."""
        now = monotonic()
        fresh = now - KNOWN_FRESH_SECONDS
        if len(self._known) > KNOWN_SOURCES_MAX:
            self._known.clear()
        old = [s for s in sources if s not in self._known or self._known[s][0] < fresh]
        if old:
            found = {row["id"]: _known(row) for row in await self._pool.fetch(KNOWN, old)}
            for source in old:
                self._known[source] = now, found.get(source, Known())
        known = {source: self._known[source][1] for source in sources}
        return lambda source: known.get(source, Known())

    def _source(self, row: asyncpg.Record) -> Source:
        id_ = SourceId(row["id"])
        secrets = zip(row["numbers"], row["sealed"], row["not_after"], strict=True)
        return Source(
            id=id_,
            workspace=WorkspaceId(row["workspace"]),
            kind=row["kind"],
            name=row["name"],
            namespace=row["namespace"],
            domains=tuple(row["domains"]),
            public=row["public"],
            state=SourceState(row["state"]),
            secrets=tuple(
                Secret(self._vault.decrypt(_where(id_, number), sealed), not_after)
                for number, sealed, not_after in secrets
            ),
            role=Role(row["role"] or Role.STORE),
            config=json.loads(row["config"]),
            note=row["note"],
            created_at=row["created_at"],
        )


class SeenSources:
    """The tally's store."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def add(self, seen: Mapping[SourceId, Seen]) -> None:
        await self._sources.add_seen(seen)


def _known(row: asyncpg.Record) -> Known:
    links = links_for(row["kind"], row["domains"])
    role = Role(row["role"] or Role.STORE)
    return Known(links, json.loads(row["config"]), row["can_ask"], role)


def _api_token(source: str) -> str:
    return f"source {source} api token"


def _where(source: str, number: int) -> str:
    return f"source {source} {number}"
