"""What a merge or an erasure changes beyond the rows that a batch holds, in its own transaction."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from chappe.events import contact_key
from chappe.ids import ContactId, WorkspaceId
from chappe_sender.application.ports import Forgotten
from chappe_sender.domain.addresses import address_key

Fingerprint: TypeAlias = Callable[[str, str], str]

REDIRECTS = """
    SELECT r.workspace, r.contact, r."into"
      FROM unnest($1::text[], $2::text[]) u(workspace, contact)
      JOIN sender.contact_redirect r ON r.workspace = u.workspace AND r.contact = u.contact
"""

# Two shards may change one contact at the time of its merge: whoever comes second reads again.
LOCK_PERMISSIONS = """
    INSERT INTO sender.permission AS was (workspace, contact)
    SELECT workspace, contact FROM unnest($1::text[], $2::text[]) u(workspace, contact)
     ORDER BY workspace, contact
        ON CONFLICT (workspace, contact) DO UPDATE SET erased = was.erased
    RETURNING workspace, contact, state, at, source, proof, topics_out::text AS topics_out, erased,
              tracking, tracking_at, tracking_source, tracking_proof
"""

SHORTEN = """UPDATE sender.contact_redirect SET "into" = $3 WHERE workspace = $1 AND "into" = $2"""

REDIRECT = """
    INSERT INTO sender.contact_redirect (workspace, contact, "into") VALUES ($1, $2, $3)
        ON CONFLICT (workspace, contact) DO UPDATE SET "into" = excluded."into"
"""

# An enrollment keeps its id, and so its code. Where both hold one, what stays is the first.
MOVE_COUPONS = """
    UPDATE sender.coupon c SET contact = $3
     WHERE c.workspace = $1 AND c.contact = $2
       AND NOT EXISTS (SELECT FROM sender.coupon o
                        WHERE o.workspace = $1 AND o.contact = $3 AND o.pool = c.pool
                          AND o.enrollment = c.enrollment)
"""

# A code that may be known to somebody is used for good, by nobody; any other is free again.
FORGET_COUPONS = """
    WITH held AS (
        SELECT c.pool, c.code, EXISTS (
                   SELECT FROM sender.message m
                    WHERE m.id = ANY(c.messages)
                      AND m.state NOT IN ('pending', 'scheduled', 'skipped', 'cancelled', 'failed')
               ) AS known
          FROM sender.coupon c WHERE c.workspace = $1 AND c.contact = ANY($2::text[]))
    UPDATE sender.coupon c
       SET contact = CASE WHEN held.known THEN 'erased' END,
           enrollment = CASE WHEN held.known THEN c.code END,
           reserved_at = CASE WHEN held.known THEN c.reserved_at END,
           messages = ARRAY[]::text[]
      FROM held WHERE c.workspace = $1 AND c.pool = held.pool AND c.code = held.code
"""

EVERYBODY = """
    SELECT $2 AS contact
     UNION
    SELECT contact FROM sender.contact_redirect WHERE workspace = $1 AND "into" = $2
"""

# An event is keyed by its contact, and so is a send.
BLANK_LETTERS = """
    UPDATE sender.dead_letter SET value = '', key = '', reason = 'erased at a contact''s request'
     WHERE key = ANY($1::bytea[])
"""

MESSAGES_OF = """
    SELECT id, address_key FROM sender.message
     WHERE workspace = $1
       AND contact IN (SELECT $2 UNION ALL
                       SELECT contact FROM sender.contact_redirect
                        WHERE workspace = $1 AND "into" = $2)
"""

KEEP_AS_HASH = """
    INSERT INTO sender.suppression AS was (workspace, address, scope, reason, at, source)
    SELECT s.workspace, u.hash, s.scope, s.reason, s.at, s.source
      FROM unnest($2::text[], $3::text[]) u(address, hash)
      JOIN sender.suppression s ON s.workspace = $1 AND s.address = u.address
        ON CONFLICT (workspace, address, scope) DO UPDATE
           SET reason = excluded.reason, at = excluded.at
         WHERE was.reason IN ('unsubscribed', 'erased')
"""

CLOSE = """
    INSERT INTO sender.suppression (workspace, address, scope, reason, at, source)
    SELECT $1, hash, '', 'erased', $3, 'event' FROM unnest($2::text[]) u(hash)
        ON CONFLICT (workspace, address, scope) DO NOTHING
"""

FORGET_ADDRESSES = (
    "DELETE FROM sender.suppression WHERE workspace = $1 AND address = ANY($2::text[])",
    "DELETE FROM sender.suppression_history WHERE workspace = $1 AND address = ANY($2::text[])",
    "DELETE FROM sender.address_health WHERE workspace = $1 AND address = ANY($2::text[])",
    """UPDATE sender.feedback SET recipient = NULL, reason = NULL
        WHERE workspace = $1 AND recipient = ANY($2::text[])""",
)

FORGET_CAPTURED = "DELETE FROM sender.captured WHERE message = ANY($1::text[])"

BLANK = """
    UPDATE sender.message
       SET address = NULL, address_key = NULL, address_hash = NULL, locale = NULL,
           subject = NULL, detail = NULL, snapshot = NULL
     WHERE id = ANY($1::text[])
"""

BLANK_FEEDBACK = """
    UPDATE sender.feedback SET recipient = NULL, reason = NULL WHERE message = ANY($1::text[])
"""


async def redirects(
    connection: Any, contacts: Sequence[tuple[WorkspaceId, ContactId]]
) -> dict[tuple[WorkspaceId, ContactId], ContactId]:
    """Which of ``contacts`` were merged, and whom they are now."""
    workspaces, ids = zip(*contacts, strict=True)
    rows = await connection.fetch(REDIRECTS, workspaces, ids)
    return {(row["workspace"], row["contact"]): ContactId(row["into"]) for row in rows}


async def redirect(
    connection: Any, workspace: WorkspaceId, gone: ContactId, into: ContactId
) -> None:
    """What is still asked for ``gone`` is checked against ``into``."""
    await connection.execute(SHORTEN, workspace, gone, into)
    await connection.execute(REDIRECT, workspace, gone, into)
    await connection.execute(MOVE_COUPONS, workspace, gone, into)


async def forget(connection: Any, forgotten: Forgotten, fingerprint: Fingerprint) -> None:
    """Keep that a message was, and that its address is closed; not whose it was."""
    workspace = forgotten.workspace
    rows = await connection.fetch(MESSAGES_OF, workspace, forgotten.contact)
    messages = [row["id"] for row in rows]
    keys = {address_key(each) for each in forgotten.addresses}
    addresses = sorted(keys | {row["address_key"] for row in rows if row["address_key"]})
    hashes = [fingerprint("address", each) for each in addresses]
    await connection.execute(KEEP_AS_HASH, workspace, addresses, hashes)
    await connection.execute(CLOSE, workspace, hashes, forgotten.at)
    for sql in FORGET_ADDRESSES:
        await connection.execute(sql, workspace, addresses)
    await connection.execute(BLANK, messages)
    await connection.execute(FORGET_CAPTURED, messages)
    await connection.execute(BLANK_FEEDBACK, messages)
    everybody = await connection.fetch(EVERYBODY, workspace, forgotten.contact)
    ids = [row["contact"] for row in everybody]
    await connection.execute(BLANK_LETTERS, [contact_key(workspace, each) for each in ids])
    await connection.execute(FORGET_COUPONS, workspace, ids)
