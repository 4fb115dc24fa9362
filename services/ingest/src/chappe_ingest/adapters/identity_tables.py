"""The resolver's tables: lock what a batch touches, and write what it became.

Every batch locks in the same order (deliveries, meanings, objects, identifiers, contacts), each
kind sorted, so that two processes wait for each other and never for themselves.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import asyncpg

from chappe.ids import ContactId, WorkspaceId
from chappe.shards import FencedStatement
from chappe_ingest.adapters import merge_tables
from chappe_ingest.application.resolving import ContactKey, Held, Outcome, Touched
from chappe_ingest.domain import identity
from chappe_ingest.domain.consent import Statements
from chappe_ingest.domain.normalised import PAUSE_SOURCE

SCHEMA = "ingest"

ABOUT_PEOPLE = ("contact.", "privacy.")
"""Facts whose subject is a person: an address, a number, a customer's id."""

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

NEW_DELIVERIES = """
    INSERT INTO ingest.delivery_seen (source, key)
    SELECT source, key FROM unnest($1::text[], $2::text[]) u(source, key) ORDER BY source, key
        ON CONFLICT (source, key) DO NOTHING
    RETURNING source, key
"""

NEW_MEANINGS = """
    INSERT INTO ingest.semantic_key (workspace, key)
    SELECT workspace, key FROM unnest($1::text[], $2::text[]) u(workspace, key)
     ORDER BY workspace, key
        ON CONFLICT (workspace, key) DO NOTHING
    RETURNING workspace, key
"""

LOCK_OBJECTS = """
    INSERT INTO ingest.object_version AS was (workspace, scope, type, id)
    SELECT workspace, scope, type, id
      FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) u(workspace, scope, type, id)
     ORDER BY workspace, scope, type, id
        ON CONFLICT (workspace, scope, type, id) DO UPDATE SET version = was.version
    RETURNING workspace, scope, type, id, version
"""

LOCK_IDENTIFIERS = """
    INSERT INTO ingest.identifier AS was (workspace, type, value)
    SELECT workspace, type, value
      FROM unnest($1::text[], $2::text[], $3::text[]) u(workspace, type, value)
     ORDER BY workspace, type, value
        ON CONFLICT (workspace, type, value) DO UPDATE SET contact = was.contact
    RETURNING workspace, type, value, contact, scope, trusted, ordered
"""

LOCK_CONTACTS = """
    SELECT c.workspace, c.id, c.stated::text AS stated
      FROM ingest.contact c
      JOIN unnest($1::text[], $2::text[]) u(workspace, id)
        ON c.workspace = u.workspace AND c.id = u.id
     ORDER BY c.workspace, c.id
       FOR UPDATE OF c
"""

NAMES_OF_CONTACTS = """
    SELECT i.workspace, i.type, i.value, i.contact, i.scope, i.trusted
      FROM unnest($1::text[], $2::text[]) u(workspace, contact)
      JOIN ingest.identifier i ON i.workspace = u.workspace AND i.contact = u.contact
     WHERE i.type IN ('external_id', 'email', 'phone')
"""

COMMIT = FencedStatement(
    SCHEMA,
    {
        "met": """
            INSERT INTO {schema}.contact AS was (workspace, id, created_at, stated)
            SELECT * FROM unnest({c_workspaces}::text[], {c_ids}::text[], {c_ats}::timestamptz[],
                                 {c_stated}::text[]::jsonb[])
                ON CONFLICT (workspace, id) DO UPDATE SET stated = excluded.stated""",
        "bound": """
            UPDATE {schema}.identifier i
               SET contact = u.contact, scope = u.scope, trusted = u.trusted, ordered = u.ordered
              FROM unnest({i_workspaces}::text[], {i_types}::text[], {i_values}::text[],
                          {i_contacts}::text[], {i_scopes}::text[], {i_trusted}::boolean[],
                          {i_ordered}::boolean[])
                   u(workspace, type, value, contact, scope, trusted, ordered)
             WHERE i.workspace = u.workspace AND i.type = u.type AND i.value = u.value""",
        "moved": """
            UPDATE {schema}.object_version o SET version = u.version
              FROM unnest({v_workspaces}::text[], {v_scopes}::text[], {v_types}::text[],
                          {v_ids}::text[], {v_versions}::text[])
                   u(workspace, scope, type, id, version)
             WHERE o.workspace = u.workspace AND o.scope = u.scope
               AND o.type = u.type AND o.id = u.id AND o.version < u.version""",
        "disputed": """
            INSERT INTO {schema}.identity_conflict AS was
                   (workspace, type, value, wanted_by, held_by, reason, last_at)
            SELECT * FROM unnest({x_workspaces}::text[], {x_types}::text[], {x_values}::text[],
                                 {x_wanted}::text[], {x_held}::text[], {x_reasons}::text[],
                                 {x_ats}::timestamptz[])
                ON CONFLICT (workspace, type, value, wanted_by)
                DO UPDATE SET held_by = excluded.held_by, reason = excluded.reason,
                              times = was.times + 1, last_at = excluded.last_at""",
        "wished": """
            UPDATE {schema}.source s
               SET note = u.note,
                   state = CASE WHEN u.pause AND s.state = 'active' THEN 'paused' ELSE s.state END
              FROM unnest({w_sources}::text[], {w_notes}::text[], {w_pause}::boolean[])
                   u(source, note, pause)
             WHERE s.id = u.source""",
        "waits": """
            INSERT INTO {schema}.hydration
                   (source, kind, key, stream, record, path, content, next_at, deadline)
            SELECT source, kind, key, stream, record, path, content, '-infinity', deadline
              FROM unnest({h_sources}::text[], {h_kinds}::text[], {h_keys}::bytea[],
                          {h_streams}::text[], {h_records}::bytea[], {h_paths}::text[],
                          {h_contents}::text[], {h_deadlines}::timestamptz[]) WITH ORDINALITY
                   u(source, kind, key, stream, record, path, content, deadline, n)
             ORDER BY n""",
    },
)

FORGET_DELIVERIES = """
    DELETE FROM ingest.delivery_seen d
     USING (SELECT source, key FROM ingest.delivery_seen
             WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT $2) old
     WHERE d.source = old.source AND d.key = old.key
"""


class IdentityTables:
    """The tables as the resolver's port speaks of them."""

    schema = SCHEMA
    statement = COMMIT

    def __init__(self, fingerprint: merge_tables.Fingerprint) -> None:
        self._fingerprint = fingerprint

    async def lock(self, connection: Connection, rows: Touched) -> Held:
        """Take the rows until the transaction ends, and say what they hold."""
        held = Held()
        if rows.deliveries:
            new = await connection.fetch(NEW_DELIVERIES, *_columns(rows.deliveries, 2))
            held.delivered = set(rows.deliveries) - {(row[0], row[1]) for row in new}
        if rows.meanings:
            kept = {(each[0], self._nameless(each[1])): each for each in rows.meanings}
            new = await connection.fetch(NEW_MEANINGS, *_columns(sorted(kept), 2))
            held.meant = set(rows.meanings) - {kept[row[0], row[1]] for row in new}
        if rows.objects:
            objects = {(*each[:3], self._nameless(each[3])): each for each in rows.objects}
            for row in await connection.fetch(LOCK_OBJECTS, *_columns(sorted(objects), 4)):
                held.versions[objects[row[0], row[1], row[2], row[3]]] = row[4]
        if rows.contacts:
            held.redirects = await merge_tables.redirects(connection, rows.contacts)
        contacts: set[ContactKey] = set(rows.contacts)
        contacts |= {(key[0], into) for key, into in held.redirects.items()}
        if rows.identifiers:
            held.view.erased = await merge_tables.erased(
                connection, rows.identifiers, self._fingerprint
            )
            for row in await connection.fetch(LOCK_IDENTIFIERS, *_columns(rows.identifiers, 3)):
                key: identity.Key = (row["workspace"], row["type"], row["value"])
                if row["ordered"]:
                    held.view.ordered.add(key)
                if row["contact"] is not None:
                    held.view.bind(key, _binding(row))
                    contacts.add((key[0], ContactId(row["contact"])))
        if contacts:
            await _lock_contacts(connection, held, sorted(contacts))
        if missing := [key for key in rows.contacts if key not in held.contacts]:
            await _follow(connection, held, missing)
        return held

    def _nameless(self, key: str) -> str:
        """These keys are kept for ever: one that names a person is kept as its hash."""
        if "@" in key or key.startswith(ABOUT_PEOPLE):
            return self._fingerprint("once", key)
        return key

    async def merge_and_erase(
        self, connection: Connection, outcome: Outcome, now: dt.datetime
    ) -> None:
        """What merges and erasures change beyond the rows that are held."""
        await merge_tables.apply(connection, outcome, self._fingerprint, now)

    def arguments(self, held: Held, outcome: Outcome, now: dt.datetime) -> Mapping[str, Any]:
        """The service's part of ``COMMIT``: the rows as ``decide`` left them."""
        met = sorted(outcome.created | outcome.stated)
        touched = sorted(outcome.bound | outcome.ordered)
        view = held.view
        versions = sorted(
            ((*key[:3], self._nameless(key[3])), version) for key, version in held.versions.items()
        )
        disputed = {
            (workspace, each.identifier.type, each.identifier.value, each.wanted_by): each
            for workspace, each in outcome.conflicts
        }
        paused = {source for source, each in outcome.wishes if each.name == PAUSE_SOURCE}
        notes = {source: each.reason for source, each in outcome.wishes}
        wishes = ((source, notes[source], source in paused) for source in sorted(notes))
        return {
            **_named("w_sources w_notes w_pause", wishes),
            **_named(
                "h_sources h_kinds h_keys h_streams h_records h_paths h_contents h_deadlines",
                (
                    (
                        each.source,
                        each.kind,
                        each.key,
                        each.stream,
                        each.record,
                        each.question.path,
                        each.question.content,
                        each.deadline,
                    )
                    for each in outcome.asked
                ),
            ),
            **_named(
                "c_workspaces c_ids c_ats c_stated",
                ((*key, now, json.dumps(held.contacts[key])) for key in met),
            ),
            **_named(
                "i_workspaces i_types i_values i_contacts i_scopes i_trusted i_ordered",
                ((*key, *_row(view.bindings.get(key)), key in view.ordered) for key in touched),
            ),
            **_named(
                "v_workspaces v_scopes v_types v_ids v_versions",
                ((*key, version) for key, version in versions),
            ),
            **_named(
                "x_workspaces x_types x_values x_wanted x_held x_reasons x_ats",
                (
                    (*key, disputed[key].held_by, disputed[key].reason, now)
                    for key in sorted(disputed)
                ),
            ),
        }


async def _follow(connection: Connection, held: Held, missing: Sequence[ContactKey]) -> None:
    """Contacts that were merged away while we waited for them."""
    late = await merge_tables.redirects(connection, missing)
    held.redirects |= late
    known = held.contacts.keys()
    if fresh := sorted({(key[0], into) for key, into in late.items()} - known):
        await _lock_contacts(connection, held, fresh)


async def _lock_contacts(
    connection: Connection, held: Held, contacts: Sequence[ContactKey]
) -> None:
    columns = _columns(contacts, 2)
    for row in await connection.fetch(LOCK_CONTACTS, *columns):
        stated: Statements = json.loads(row["stated"])
        held.contacts[WorkspaceId(row["workspace"]), ContactId(row["id"])] = stated
    for row in await connection.fetch(NAMES_OF_CONTACTS, *columns):
        held.view.bind((row["workspace"], row["type"], row["value"]), _binding(row))


def _binding(row: asyncpg.Record) -> identity.Binding:
    return identity.Binding(ContactId(row["contact"]), row["scope"], row["trusted"])


def _row(binding: identity.Binding | None) -> tuple[str | None, str, bool]:
    if binding is None:
        return None, "", False
    return binding.contact, binding.scope, binding.trusted


def _named(names: str, rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Any]]:
    columns = names.split()
    return dict(zip(columns, _columns(list(rows), len(columns)), strict=True))


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows to columns, as ``unnest`` takes them."""
    if not rows:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]
