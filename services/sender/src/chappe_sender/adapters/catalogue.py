"""Templates, brand kits and suppressions in Postgres."""

import json
from collections import OrderedDict
from collections.abc import Mapping

import asyncpg
import msgspec

from chappe.clock import Clock, monotonic
from chappe.ids import WorkspaceId
from chappe_sender.adapters.built_in import double_opt_in_template, notice_template
from chappe_sender.application.ports import TemplateRow
from chappe_sender.domain import double_opt_in, notices
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.template import (
    MessageClass,
    TemplateVersion,
    decode_version,
    encode_version,
)

VERSIONS_KEPT = 512
BRAND_SECONDS = 5.0
"""How long a brand kit is used before it is read again."""

PUBLISH = """
    WITH stored AS (
        INSERT INTO sender.template_version
               (workspace, id, name, message_class, topic, body, files, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8)
            ON CONFLICT (workspace, id) DO NOTHING)
    INSERT INTO sender.template (workspace, name, version, updated_at) VALUES ($1, $3, $2, $8)
        ON CONFLICT (workspace, name) DO UPDATE
           SET version = excluded.version, updated_at = excluded.updated_at
"""

VERSION = "SELECT body FROM sender.template_version WHERE workspace = $1 AND id = $2"

CURRENT = "SELECT version FROM sender.template WHERE workspace = $1 AND name = $2"

LIST = """
    SELECT t.name, t.version, v.message_class, v.topic, t.updated_at
      FROM sender.template t
      JOIN sender.template_version v ON v.workspace = t.workspace AND v.id = t.version
     WHERE t.workspace = $1 AND t.name > $2 ORDER BY t.name LIMIT $3
"""

SHOW = """
    SELECT t.name, t.version, v.message_class, v.topic, t.updated_at, v.files::text AS files,
           (SELECT array_agg(o.id ORDER BY o.created_at DESC) FROM sender.template_version o
             WHERE o.workspace = t.workspace AND o.name = t.name) AS versions
      FROM sender.template t
      JOIN sender.template_version v ON v.workspace = t.workspace AND v.id = t.version
     WHERE t.workspace = $1 AND t.name = $2
"""

TOPICS = """
    SELECT DISTINCT topic FROM sender.template_version
     WHERE workspace = $1 AND topic IS NOT NULL ORDER BY topic LIMIT 200
"""

BRAND = "SELECT body::text FROM sender.brand WHERE workspace = $1"

SAVE_BRAND = """
    INSERT INTO sender.brand (workspace, body, updated_at) VALUES ($1, $2::jsonb, $3)
        ON CONFLICT (workspace) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at
"""


class PostgresCatalogue:
    """Implements ``Catalogue``. Versions are immutable, so those read are kept."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._versions: OrderedDict[tuple[str, str], TemplateVersion] = OrderedDict()
        self._brands: dict[str, tuple[float, Brand]] = {}

    async def version(self, workspace: WorkspaceId, template: str) -> TemplateVersion | None:
        if template.partition("@")[0] == double_opt_in.NAME:
            return await self._double_opt_in(workspace, template)
        if template in (notices.NAME, notice_template().id):
            return notice_template()
        return await self._version(workspace, template)

    async def _double_opt_in(self, workspace: WorkspaceId, template: str) -> TemplateVersion:
        """The workspace's own where it has one that is fit, else the built-in one."""
        built_in = double_opt_in_template()
        own = None if template == built_in.id else await self._version(workspace, template)
        fit = own is not None and own.message_class is MessageClass.TRANSACTIONAL
        return own if own is not None and fit else built_in

    async def _version(self, workspace: WorkspaceId, template: str) -> TemplateVersion | None:
        if "@" not in template:
            current = await self._pool.fetchval(CURRENT, workspace, template)
            if current is None:
                return None
            template = current
        key = (workspace, template)
        if (known := self._versions.get(key)) is not None:
            self._versions.move_to_end(key)
            return known
        body = await self._pool.fetchval(VERSION, *key)
        if body is None:
            return None
        version = self._versions[key] = decode_version(body)
        if len(self._versions) > VERSIONS_KEPT:
            self._versions.popitem(last=False)
        return version

    async def brand(self, workspace: WorkspaceId) -> Brand:
        until, brand = self._brands.get(workspace, (0.0, Brand()))
        if monotonic() < until:
            return brand
        text = await self._pool.fetchval(BRAND, workspace)
        brand = msgspec.json.decode(text, type=Brand) if text else Brand()
        self._brands[workspace] = (monotonic() + BRAND_SECONDS, brand)
        return brand

    async def save_brand(self, workspace: WorkspaceId, brand: Brand) -> None:
        text = msgspec.json.encode(brand).decode()
        await self._pool.execute(SAVE_BRAND, workspace, text, self._clock.now())
        self._brands.pop(workspace, None)

    async def publish(
        self, workspace: WorkspaceId, version: TemplateVersion, files: Mapping[str, str]
    ) -> None:
        """Store the version, unless it is there, and make it the current one of its name."""
        await self._pool.execute(
            PUBLISH, workspace, version.id, version.name, version.message_class, version.topic,
            encode_version(version), json.dumps(dict(files)).replace("\\u0000", ""),
            self._clock.now(),
        )  # fmt: skip

    async def listed(self, workspace: WorkspaceId, after: str, limit: int) -> list[TemplateRow]:
        rows = await self._pool.fetch(LIST, workspace, after, limit)
        return [TemplateRow(*row) for row in rows]

    async def show(
        self, workspace: WorkspaceId, name: str
    ) -> tuple[TemplateRow, dict[str, str], list[str]] | None:
        """The current version, its files, and the ids of all versions, newest first."""
        row = await self._pool.fetchrow(SHOW, workspace, name)
        if row is None:
            return None
        shown = TemplateRow(
            *(row[key] for key in ("name", "version", "message_class", "topic", "updated_at"))
        )
        return shown, json.loads(row["files"]), row["versions"]

    async def topics(self, workspace: WorkspaceId) -> list[str]:
        return [row["topic"] for row in await self._pool.fetch(TOPICS, workspace)]
