"""Take back what is queued, or claimed and not yet on the wire, when its permission goes.

The claim judges what is due by the permissions it reads; this reaches what was claimed before them,
and what waits in a retry. Both lock the message's row, so one of them sees the other.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from chappe.ids import ContactId, MessageId, WorkspaceId
from chappe_sender.application.ports import Changes
from chappe_sender.domain.permission import Permission
from chappe_sender.domain.template import MessageClass
from chappe_sender.domain.withdrawing import lowers, withdrawal

QUEUED = """
    WITH found AS (
        SELECT m.id, u.contact AS now
          FROM unnest($1::text[], $2::text[]) u(workspace, contact)
          JOIN sender.message m ON m.workspace = u.workspace AND m.contact = u.contact
         WHERE m.state IN ('pending', 'scheduled', 'sending') AND NOT m.committing
         UNION ALL
        SELECT m.id, u.contact
          FROM unnest($1::text[], $2::text[]) u(workspace, contact)
          JOIN sender.contact_redirect r ON r.workspace = u.workspace AND r."into" = u.contact
          JOIN sender.message m ON m.workspace = r.workspace AND m.contact = r.contact
         WHERE m.state IN ('pending', 'scheduled', 'sending') AND NOT m.committing
         UNION ALL
        SELECT m.id, NULL
          FROM unnest($3::text[], $4::text[]) u(workspace, address)
          JOIN sender.message m ON m.workspace = u.workspace AND m.address_key = u.address
         WHERE m.state IN ('pending', 'scheduled', 'sending') AND NOT m.committing)
    SELECT m.id, m.shard, m.workspace, m.contact, m.enrollment, m.journey, m.version, m.step,
           m.template, m.message_class, m.test, m.topic, m.address_key,
           (SELECT max(f.now) FROM found f WHERE f.id = m.id) AS now
      FROM sender.message m
     WHERE m.id IN (SELECT id FROM found)
       AND m.state IN ('pending', 'scheduled', 'sending') AND NOT m.committing
     ORDER BY m.id
       FOR UPDATE OF m
"""

WITHDRAW = """
    UPDATE sender.message m
       SET state = 'skipped', reason = u.reason, parked = false, updated_at = $3
      FROM unnest($1::text[], $2::text[]) u(id, reason) WHERE m.id = u.id
"""


async def withdraw(connection: Any, changes: Changes, now: dt.datetime) -> list[tuple[Any, str]]:
    """The messages' rows, and why each does not go."""
    lowered = {key: each for key, each in changes.permissions.items() if lowers(each)}
    closed = _closed(changes)
    if not lowered and not closed:
        return []
    rows = await connection.fetch(QUEUED, *_columns([*lowered]), *_columns([*closed]))
    gone: list[tuple[Any, str]] = []
    for row in rows:
        reason = _reason(row, lowered, closed)
        if reason is not None and MessageId(row["id"]) not in changes.cancelled:
            gone.append((row, reason))
    if gone:
        ids, reasons = [row["id"] for row, _ in gone], [reason for _, reason in gone]
        await connection.execute(WITHDRAW, ids, reasons, now)
    return gone


def _closed(changes: Changes) -> dict[tuple[WorkspaceId, str], dict[str, str]]:
    """What was closed, by address: scope → reason."""
    closed: dict[tuple[WorkspaceId, str], dict[str, str]] = {}
    for each in changes.closings.values():
        if each.reason is not None:
            closed.setdefault((each.workspace, each.address), {})[each.scope] = each.reason
    return closed


def _reason(
    row: Any,
    lowered: Mapping[tuple[WorkspaceId, ContactId], Permission],
    closed: Mapping[tuple[WorkspaceId, str], Mapping[str, str]],
) -> str | None:
    workspace = WorkspaceId(row["workspace"])
    permission = lowered.get((workspace, ContactId(row["now"] or "")))
    message_class = MessageClass(row["message_class"]) if row["message_class"] else None
    its = closed.get((workspace, row["address_key"] or ""), {})
    return withdrawal(message_class, row["topic"], permission, its)


def _columns(keys: list[Any]) -> tuple[list[str], list[str]]:
    return [key[0] for key in keys], [key[1] for key in keys]
