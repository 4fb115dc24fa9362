"""The quarantine in Postgres, each delivery sealed with CHAPPE_SECRET_KEY."""

from collections.abc import Sequence

import asyncpg
import msgspec

from chappe.ids import SourceId
from chappe.tokens import Vault
from chappe_ingest.application.quarantine import HELD_BYTES_MAX, HELD_MAX, HeldDelivery

ADD = """
    INSERT INTO ingest.quarantine (source, id, sealed, received_at)
    SELECT $1, $2, $3, $4
     WHERE (SELECT count(*) < $5 AND coalesce(sum(octet_length(sealed)), 0) + $6 <= $7
              FROM ingest.quarantine WHERE source = $1)
"""
OF = """
    SELECT id, sealed FROM ingest.quarantine WHERE source = $1 ORDER BY received_at, id LIMIT $2
"""
FORGET = "DELETE FROM ingest.quarantine WHERE source = $1 AND id = ANY($2::text[])"
SOURCES = "SELECT DISTINCT source FROM ingest.quarantine"
FORGET_OLD = """
    DELETE FROM ingest.quarantine WHERE received_at < now() - make_interval(days => $1)
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(HeldDelivery).decode


class PostgresQuarantine:
    def __init__(self, pool: asyncpg.Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def add(self, source: SourceId, held: HeldDelivery) -> bool:
        sealed = self._vault.encrypt(_where(source, held.id), _encode(held).decode())
        answer = await self._pool.execute(
            ADD,
            source,
            held.id,
            sealed,
            held.received_wall,
            HELD_MAX,
            len(sealed),
            HELD_BYTES_MAX,
        )
        return answer.endswith(" 1")

    async def of(self, source: SourceId) -> Sequence[HeldDelivery]:
        rows = await self._pool.fetch(OF, source, HELD_MAX)
        return [
            _decode(self._vault.decrypt(_where(source, row["id"]), row["sealed"]).encode())
            for row in rows
        ]

    async def forget(self, source: SourceId, ids: Sequence[str]) -> None:
        await self._pool.execute(FORGET, source, list(ids))

    async def sources(self) -> Sequence[SourceId]:
        return [SourceId(row["source"]) for row in await self._pool.fetch(SOURCES)]

    async def forget_old(self, days: int) -> None:
        await self._pool.execute(FORGET_OLD, days)


def _where(source: str, id_: str) -> str:
    return f"quarantine {source} {id_}"
