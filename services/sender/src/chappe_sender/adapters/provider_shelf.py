"""Providers as they are set up, in Postgres; their secrets sealed."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import asyncpg

from chappe.ids import WorkspaceId
from chappe.tokens import Vault
from chappe_sender.application.routing import ProviderRecord, RouteState
from chappe_sender.domain.providers import Kind
from chappe_sender.domain.template import MessageClass

_COLUMNS = """
    id, workspace, name, kind, secrets, options::text AS options, classes, domains, priority,
    state, reason, created_at, updated_at
"""

ACTIVE = f"SELECT {_COLUMNS} FROM sender.provider WHERE removed_at IS NULL"  # noqa: S608 - our own columns

LISTED = f"""
    SELECT {_COLUMNS} FROM sender.provider
     WHERE workspace = $1 AND removed_at IS NULL AND name > $2 ORDER BY name LIMIT $3
"""  # noqa: S608 - our own columns

FOUND = f"""
    SELECT {_COLUMNS} FROM sender.provider
     WHERE workspace = $1 AND removed_at IS NULL AND (id = $2 OR name = $2)
"""  # noqa: S608 - our own columns

ADD = """
    INSERT INTO sender.provider (id, workspace, name, kind, secrets, options, classes, domains,
                                 priority, state, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8, $9, 'active', $10, $10)
        ON CONFLICT (workspace, name) WHERE removed_at IS NULL DO NOTHING
    RETURNING id
"""

SET_STATE = """
    UPDATE sender.provider SET state = $2, reason = $3, updated_at = $4
     WHERE id = $1 AND removed_at IS NULL
"""

# The sender's own stop; one that a person paused stays paused.
STOP = """
    UPDATE sender.provider SET state = 'stopped', reason = $2, updated_at = $3
     WHERE id = $1 AND state = 'active' AND removed_at IS NULL
"""

SET_SECRETS = """
    UPDATE sender.provider SET secrets = $2, updated_at = $3
     WHERE id = $1 AND removed_at IS NULL
"""

# The row stays, since messages name it; its secrets do not.
REMOVE = """
    UPDATE sender.provider SET removed_at = $2, updated_at = $2, secrets = ''
     WHERE id = $1 AND removed_at IS NULL
"""


class PostgresProviders:
    """Implements ``ProviderShelf``, and what the API needs."""

    def __init__(self, pool: asyncpg.Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def active(self) -> list[ProviderRecord]:
        return [self._record(row) for row in await self._pool.fetch(ACTIVE)]

    async def stop(self, provider: str, reason: str, now: dt.datetime) -> None:
        await self._pool.execute(STOP, provider, reason, now)

    async def listed(self, workspace: WorkspaceId, after: str, limit: int) -> list[ProviderRecord]:
        rows = await self._pool.fetch(LISTED, workspace, after, limit)
        return [self._record(row) for row in rows]

    async def find(self, workspace: WorkspaceId, ref: str) -> ProviderRecord | None:
        """By id or name."""
        row = await self._pool.fetchrow(FOUND, workspace, ref)
        return self._record(row) if row is not None else None

    async def add(self, record: ProviderRecord) -> bool:
        """False: the workspace has one of this name."""
        added = await self._pool.fetchval(
            ADD, record.id, record.workspace, record.name, record.kind,
            self._seal(record.id, record.secrets), json.dumps(dict(record.options)),
            list(record.classes), list(record.domains), record.priority, record.created_at,
        )  # fmt: skip
        return added is not None

    async def set_state(
        self, provider: str, state: RouteState, reason: str | None, now: dt.datetime
    ) -> None:
        await self._pool.execute(SET_STATE, provider, state, reason, now)

    async def set_secrets(
        self, provider: str, secrets: Mapping[str, str], now: dt.datetime
    ) -> None:
        await self._pool.execute(SET_SECRETS, provider, self._seal(provider, secrets), now)

    async def remove(self, provider: str, now: dt.datetime) -> None:
        await self._pool.execute(REMOVE, provider, now)

    def _seal(self, id_: str, secrets: Mapping[str, str]) -> bytes:
        return self._vault.encrypt(_where(id_), json.dumps(dict(secrets)))

    def _record(self, row: Any) -> ProviderRecord:
        return ProviderRecord(
            id=row["id"],
            workspace=row["workspace"],
            name=row["name"],
            kind=Kind(row["kind"]),
            secrets=json.loads(self._vault.decrypt(_where(row["id"]), row["secrets"])),
            options=json.loads(row["options"]),
            classes=tuple(MessageClass(each) for each in row["classes"]),
            domains=tuple(row["domains"]),
            priority=row["priority"],
            state=RouteState(row["state"]),
            reason=row["reason"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )


def _where(id_: str) -> str:
    return f"sender.provider/{id_}"
