"""Who is who now, and what an erasure takes out of the tables."""

from collections.abc import Iterable
from typing import Any

from chappe.events import contact_key
from chappe.ids import ContactId, WorkspaceId, partition_of
from chappe_analytics.application.ports import ContactKey

ALIASES = """
    SELECT a.workspace, a.contact, a."into"
      FROM unnest($1::text[], $2::text[]) u(workspace, contact)
      JOIN analytics.alias a ON a.workspace = u.workspace AND a.contact = u.contact
"""

SHORTEN = """UPDATE analytics.alias SET "into" = $3 WHERE workspace = $1 AND "into" = $2"""

ALIAS = """
    INSERT INTO analytics.alias (workspace, contact, "into") VALUES ($1, $2, $3)
        ON CONFLICT (workspace, contact) DO UPDATE SET "into" = excluded."into"
"""

EVERYBODY = """
    SELECT $2 AS contact
     UNION
    SELECT contact FROM analytics.alias WHERE workspace = $1 AND "into" = $2
"""

# The line stays, so that a repeat is known; what it showed of the person does not.
BLANK = """
    UPDATE analytics.entry
       SET doc = convert_to(
               (convert_from(doc, 'UTF8')::jsonb - 'data'
                || jsonb_build_object('text', 'Erased at the contact''s request'))::text, 'UTF8')
     WHERE workspace = $1 AND contact = ANY($2::text[])
"""

# All of one contact's events lie in one shard.
FORGET_EVENTS = """
    DELETE FROM analytics.event
     WHERE shard = $1 AND workspace = $2 AND position(convert_to($3, 'UTF8') IN body) > 0
"""

BLANK_LETTERS = """
    UPDATE analytics.dead_letter
       SET value = '', key = '', reason = 'erased at a contact''s request'
     WHERE key = ANY($1::bytea[])
"""


async def aliases(
    connection: Any, contacts: Iterable[ContactKey]
) -> dict[ContactKey, ContactId | None]:
    """Those of ``contacts`` that are another now, or nobody."""
    keys = list(contacts)
    rows = await connection.fetch(
        ALIASES, [key.workspace for key in keys], [key.contact for key in keys]
    )
    return {ContactKey(row["workspace"], row["contact"]): row["into"] for row in rows}


async def alias(
    connection: Any, workspace: WorkspaceId, contact: ContactId, into: ContactId
) -> None:
    """``contact``'s history is shown as ``into``'s from now on."""
    await connection.execute(SHORTEN, workspace, contact, into)
    await connection.execute(ALIAS, workspace, contact, into)


async def forget(connection: Any, key: ContactKey, partitions: int) -> None:
    """Counts stay; excerpts, addresses and links of this person go, and of who they were before."""
    contacts = [row["contact"] for row in await connection.fetch(EVERYBODY, *key)]
    await connection.execute(BLANK, key.workspace, contacts)
    keys = [contact_key(key.workspace, contact) for contact in contacts]
    await connection.execute(BLANK_LETTERS, keys)
    for contact, name in zip(contacts, keys, strict=True):
        shard = partition_of(name, partitions)
        await connection.execute(FORGET_EVENTS, shard, key.workspace, contact)
        await connection.execute(ALIAS, key.workspace, contact, None)
