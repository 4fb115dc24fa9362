"""What a merge and an erasure do to rows that the batch does not hold: in its own transaction,
before its commit.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import asyncpg

from chappe.ids import ContactId, WorkspaceId
from chappe_ingest.application.rows import ContactKey, Outcome
from chappe_ingest.domain import identity
from chappe_ingest.domain.normalised import scope_of

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Fingerprint: TypeAlias = Callable[[str, str], str]

REDIRECTS = """
    SELECT r.workspace, r.contact, r."into"
      FROM unnest($1::text[], $2::text[]) u(workspace, contact)
      JOIN ingest.contact_redirect r ON r.workspace = u.workspace AND r.contact = u.contact
"""

ERASED = """
    SELECT e.workspace, e.digest, e.times, e.at
      FROM unnest($1::text[], $2::text[]) u(workspace, digest)
      JOIN ingest.erased_identifier e ON e.workspace = u.workspace AND e.digest = u.digest
"""

MOVE = "UPDATE ingest.identifier SET contact = $3 WHERE workspace = $1 AND contact = $2"

SHORTEN = """UPDATE ingest.contact_redirect SET "into" = $3 WHERE workspace = $1 AND "into" = $2"""

REDIRECT = """
    INSERT INTO ingest.contact_redirect (workspace, contact, "into", at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (workspace, contact) DO UPDATE SET "into" = excluded."into"
"""

FORGET_CONTACT = "DELETE FROM ingest.contact WHERE workspace = $1 AND id = $2"

FORGET_NAMES = """
    DELETE FROM ingest.identifier WHERE workspace = $1 AND contact = $2
    RETURNING type, value
"""

FORGET_REDIRECTS = """DELETE FROM ingest.contact_redirect WHERE workspace = $1 AND "into" = $2"""

FORGET_CONFLICTS = """
    DELETE FROM ingest.identity_conflict
     WHERE workspace = $1 AND (wanted_by = $2 OR held_by = $2)
"""

FORGET_NAMED_CONFLICTS = """
    DELETE FROM ingest.identity_conflict c
     USING unnest($1::text[], $2::text[], $3::text[]) u(workspace, type, value)
     WHERE c.workspace = u.workspace AND c.type = u.type AND c.value = u.value
"""

FORGET_NAMELESS = """
    DELETE FROM ingest.identifier i
     USING unnest($1::text[], $2::text[], $3::text[]) u(workspace, type, value)
     WHERE i.workspace = u.workspace AND i.type = u.type AND i.value = u.value
       AND i.contact IS NULL
"""

NAME_AGAIN = """
    INSERT INTO ingest.identifier (workspace, type, value)
    SELECT workspace, type, value
      FROM unnest($1::text[], $2::text[], $3::text[]) u(workspace, type, value)
     ORDER BY workspace, type, value
        ON CONFLICT (workspace, type, value) DO NOTHING
"""

REMEMBER = """
    INSERT INTO ingest.erased_identifier AS was (workspace, digest, at)
    SELECT $1, digest, $3 FROM unnest($2::text[]) u(digest) ORDER BY digest
        ON CONFLICT (workspace, digest) DO UPDATE
       SET at = greatest(was.at, excluded.at), times = was.times + 1
"""

NOTE = """
    INSERT INTO ingest.erasure (id, workspace, contact, source, asked_at, at, identifiers)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (id) DO NOTHING
"""

COUNT_DROPPED = """
    INSERT INTO ingest.erased_dropped AS was (source, n, at)
    SELECT source, n, $3 FROM unnest($1::text[], $2::bigint[]) u(source, n) ORDER BY source
        ON CONFLICT (source) DO UPDATE SET n = was.n + excluded.n, at = excluded.at
"""


ASK_OPERATOR = """
    INSERT INTO ingest.shop_erasure (id, workspace, source, scope, shop, asked_at, due_at, state)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting')
        ON CONFLICT (id) DO NOTHING
"""

# Both asked the same shop for the same thing: one row is enough.
MOVE_WISHES = """
    UPDATE ingest.write_back AS w SET contact = $3
     WHERE w.workspace = $1 AND w.contact = $2
       AND NOT EXISTS (SELECT FROM ingest.write_back o WHERE o.source = w.source AND o.contact = $3)
"""

FORGET_WISHES = "DELETE FROM ingest.write_back WHERE workspace = $1 AND contact = $2"

SHOP_MAX_CHARS = 200
SHOPS_WAIT = dt.timedelta(days=30)
"""Shopify: complete the action within 30 days of receiving it."""


def digest_of(fingerprint: Fingerprint, key: identity.Key) -> str:
    return fingerprint("identifier", " ".join(key))


async def redirects(
    connection: Connection, contacts: Sequence[ContactKey]
) -> dict[ContactKey, ContactId]:
    rows = await connection.fetch(REDIRECTS, *_columns(contacts, 2))
    return {
        (WorkspaceId(row["workspace"]), ContactId(row["contact"])): ContactId(row["into"])
        for row in rows
    }


async def erased(
    connection: Connection, keys: Sequence[identity.Key], fingerprint: Fingerprint
) -> dict[identity.Key, identity.Erased]:
    """Which of ``keys`` were names of people who were erased."""
    by_digest = {(key[0], digest_of(fingerprint, key)): key for key in keys}
    rows = await connection.fetch(ERASED, *_columns(list(by_digest), 2))
    return {
        by_digest[row["workspace"], row["digest"]]: identity.Erased(row["times"], row["at"])
        for row in rows
    }


async def apply(
    connection: Connection, outcome: Outcome, fingerprint: Fingerprint, now: dt.datetime
) -> None:
    """Everything that merges and erasures change outside the rows that are locked."""
    for workspace, gone, into in outcome.merged:
        await connection.execute(MOVE, workspace, gone, into)
        await connection.execute(SHORTEN, workspace, gone, into)
        await connection.execute(REDIRECT, workspace, gone, into, now)
        await connection.execute(MOVE_WISHES, workspace, gone, into)
        await connection.execute(FORGET_WISHES, workspace, gone)
        await connection.execute(FORGET_CONTACT, workspace, gone)
    await _erase(connection, outcome, fingerprint, now)
    if outcome.unnamed:
        await connection.execute(FORGET_NAMELESS, *_columns(sorted(outcome.unnamed), 3))
    if outcome.erasures or outcome.unnamed:
        # A name that somebody new took within the same batch has a row again.
        await connection.execute(NAME_AGAIN, *_columns(sorted(outcome.bound), 3))
    for raw, event in outcome.shops:
        shop = event.data.get("shop_domain") or event.data.get("shop_id")
        asked = event.received_at
        await connection.execute(
            ASK_OPERATOR, event.id, raw.workspace, raw.source, scope_of(raw),
            str(shop)[:SHOP_MAX_CHARS] if shop else None, asked, asked + SHOPS_WAIT,
        )  # fmt: skip
    if outcome.dropped:
        sources = sorted(outcome.dropped)
        counts = [outcome.dropped[source] for source in sources]
        await connection.execute(COUNT_DROPPED, sources, counts, now)


async def _erase(
    connection: Connection, outcome: Outcome, fingerprint: Fingerprint, now: dt.datetime
) -> None:
    for erasure in outcome.erasures:
        workspace = erasure.event.workspace
        names = set(erasure.named)
        if erasure.contact is not None:
            for row in await connection.fetch(FORGET_NAMES, workspace, erasure.contact):
                names.add((workspace, row["type"], row["value"]))
            for sql in (FORGET_CONTACT, FORGET_REDIRECTS, FORGET_CONFLICTS, FORGET_WISHES):
                await connection.execute(sql, workspace, erasure.contact)
        if names:
            await connection.execute(FORGET_NAMED_CONFLICTS, *_columns(sorted(names), 3))
            digests = sorted(digest_of(fingerprint, key) for key in names)
            await connection.execute(REMEMBER, workspace, digests, erasure.event.received_at)
        await connection.execute(
            NOTE,
            erasure.event.id,
            workspace,
            erasure.contact,
            erasure.event.source,
            erasure.event.occurred_at,
            now,
            len(names),
        )


def _columns(rows: Iterable[tuple[str, ...]], width: int) -> list[list[str]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
