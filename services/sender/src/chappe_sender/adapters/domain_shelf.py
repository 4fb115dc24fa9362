"""Sender domains and their keys in Postgres; private keys sealed."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from chappe.ids import WorkspaceId
from chappe.tokens import Vault
from chappe_sender.domain.sender_domain import DomainKey, KeyState, SenderDomain

ADD = """
    INSERT INTO sender.domain (workspace, name, created_at) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING RETURNING name
"""

ADD_KEY = """
    INSERT INTO sender.domain_key (workspace, domain, selector, algorithm, secret, record, state,
                                   created_at, changed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
"""

DOMAINS = """
    SELECT workspace, name, created_at, checked_at, mismatches, blocked FROM sender.domain
     WHERE ($1::text IS NULL OR workspace = $1) AND ($2::text IS NULL OR name = $2)
     ORDER BY workspace, name
"""

KEYS = """
    SELECT workspace, domain, selector, algorithm, secret, record, state, created_at, changed_at
      FROM sender.domain_key
     WHERE ($1::text IS NULL OR workspace = $1) AND ($2::text IS NULL OR domain = $2)
     ORDER BY created_at, selector
"""

SET_KEY = """
    UPDATE sender.domain_key SET state = $4, changed_at = $5
     WHERE workspace = $1 AND domain = $2 AND selector = $3 AND state <> $4
"""

CHECKED = """
    UPDATE sender.domain SET checked_at = $3, found = $4::text::jsonb, mismatches = $5, blocked = $6
     WHERE workspace = $1 AND name = $2
"""

# Whoever moves the time looks: one process at a time.
TO_CHECK = """
    UPDATE sender.domain d SET checked_at = $1
     WHERE (d.workspace, d.name) IN (
           SELECT workspace, name FROM sender.domain
            WHERE checked_at < CASE WHEN mismatches > 0 THEN $3 ELSE $2 END
            ORDER BY checked_at LIMIT $4 FOR UPDATE SKIP LOCKED)
    RETURNING d.workspace, d.name
"""

REMOVE = """
    WITH keys AS (DELETE FROM sender.domain_key WHERE workspace = $1 AND domain = $2)
    DELETE FROM sender.domain WHERE workspace = $1 AND name = $2 RETURNING name
"""


class PostgresDomains:
    """Implements ``DomainShelf``."""

    def __init__(self, pool: asyncpg.Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def all(
        self, workspace: WorkspaceId | None = None, name: str | None = None
    ) -> list[SenderDomain]:
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(DOMAINS, workspace, name)
            keys: dict[tuple[str, str], list[DomainKey]] = {}
            for row in await connection.fetch(KEYS, workspace, name):
                keys.setdefault((row["workspace"], row["domain"]), []).append(self._key(row))
        return [_domain(row, keys.get((row["workspace"], row["name"]), [])) for row in rows]

    async def add(
        self, workspace: WorkspaceId, name: str, keys: Sequence[DomainKey], now: dt.datetime
    ) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(ADD, workspace, name, now) is None:
                return False
            await self._add_keys(connection, workspace, name, keys)
        return True

    async def add_keys(self, workspace: WorkspaceId, name: str, keys: Sequence[DomainKey]) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await self._add_keys(connection, workspace, name, keys)

    async def set_states(
        self,
        workspace: WorkspaceId,
        name: str,
        states: Mapping[str, KeyState],
        now: dt.datetime,
    ) -> None:
        """Together, so that there is always one key that signs. By selector."""
        async with self._pool.acquire() as connection, connection.transaction():
            for selector, state in states.items():
                await connection.execute(SET_KEY, workspace, name, selector, state, now)

    async def checked(
        self, domain: SenderDomain, found: Sequence[Mapping[str, Any]], now: dt.datetime
    ) -> None:
        await self._pool.execute(
            CHECKED, domain.workspace, domain.name, now, json.dumps(list(found)),
            domain.mismatches, domain.blocked,
        )  # fmt: skip

    async def to_check(
        self, now: dt.datetime, well: dt.datetime, wrong: dt.datetime, limit: int
    ) -> list[tuple[WorkspaceId, str]]:
        rows = await self._pool.fetch(TO_CHECK, now, well, wrong, limit)
        return [(row["workspace"], row["name"]) for row in rows]

    async def remove(self, workspace: WorkspaceId, name: str) -> bool:
        return await self._pool.fetchval(REMOVE, workspace, name) is not None

    async def _add_keys(
        self, connection: Any, workspace: WorkspaceId, name: str, keys: Sequence[DomainKey]
    ) -> None:
        for key in keys:
            sealed = self._vault.encrypt(_where(workspace, name, key.selector), key.pem)
            await connection.execute(
                ADD_KEY, workspace, name, key.selector, key.algorithm, sealed, key.record,
                key.state, key.created_at,
            )  # fmt: skip

    def _key(self, row: Any) -> DomainKey:
        where = _where(row["workspace"], row["domain"], row["selector"])
        return DomainKey(
            selector=row["selector"],
            algorithm=row["algorithm"],
            pem=self._vault.decrypt(where, row["secret"]),
            record=row["record"],
            state=KeyState(row["state"]),
            created_at=row["created_at"],
            changed_at=row["changed_at"],
        )


def _where(workspace: str, domain: str, selector: str) -> str:
    return f"sender.domain_key/{workspace}/{domain}/{selector}"


def _domain(row: Any, keys: Sequence[DomainKey]) -> SenderDomain:
    return SenderDomain(
        workspace=row["workspace"],
        name=row["name"],
        created_at=row["created_at"],
        keys=tuple(keys),
        checked_at=row["checked_at"],
        mismatches=row["mismatches"],
        blocked=row["blocked"],
    )
