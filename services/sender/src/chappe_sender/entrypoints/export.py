"""``GET /api/v1/messages/export/{contact}``: the sender's part of a person's export."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from chappe.http import Page, cursor_of, position_of
from chappe.ids import WorkspaceId

EXPORT_MAX = 500
"""Messages of one page."""

_WHOSE = """contact IN (
           SELECT $2 UNION ALL
           SELECT r.contact FROM sender.contact_redirect r
            WHERE r.workspace = $1 AND r."into" = $2)"""

MESSAGES = f"""
    SELECT id, state, reason, journey, version, step, template, message_class AS class, topic,
           address, subject, asked_at, due_at, accepted_at, updated_at
      FROM sender.message
     WHERE workspace = $1 AND {_WHOSE} AND id > $3
     ORDER BY id LIMIT $4
"""  # noqa: S608 - our own words

PERMISSION = """
    SELECT state, at, source, proof, topics_out::text AS topics_out,
           tracking, tracking_at, tracking_source, tracking_proof
      FROM sender.permission
     WHERE workspace = $1 AND contact = $2
"""

SUPPRESSIONS = f"""
    SELECT address, scope, reason, at, source FROM sender.suppression
     WHERE workspace = $1
       AND address IN (SELECT address_key FROM sender.message WHERE workspace = $1 AND {_WHOSE})
     ORDER BY address, scope LIMIT $3
"""  # noqa: S608 - our own words


class Export(BaseModel):
    """``permission`` None: the contact never said anything. ``messages`` go on at ``next``."""

    contact: str
    permission: dict[str, Any] | None
    suppressions: list[dict[str, Any]]
    messages: Page[dict[str, Any]]


def router(
    pool: asyncpg.Pool, workspace_of: Callable[[Request], Awaitable[WorkspaceId]]
) -> APIRouter:
    """Stands before ``/messages/{id}``."""
    routes = APIRouter(prefix="/api/v1")

    @routes.get("/messages/export/{contact}")
    async def export(
        contact: str,
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        cursor: str | None = None,
    ) -> Export:
        """Messages, what the contact agreed to, and addresses of theirs that are closed."""
        after = position_of(cursor, 1) or [""]
        rows = await pool.fetch(MESSAGES, workspace, contact, str(after[0]), EXPORT_MAX + 1)
        page = [dict(row) for row in rows[:EXPORT_MAX]]
        more = cursor_of(page[-1]["id"]) if len(rows) > EXPORT_MAX else None
        permission = await pool.fetchrow(PERMISSION, workspace, contact)
        closed = await pool.fetch(SUPPRESSIONS, workspace, contact, EXPORT_MAX)
        return Export(
            contact=contact,
            permission=dict(permission) if permission else None,
            suppressions=[dict(row) for row in closed],
            messages=Page[dict[str, Any]](items=page, next=more),
        )

    _ = export
    return routes
