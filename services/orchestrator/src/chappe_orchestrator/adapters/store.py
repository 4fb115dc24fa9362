"""Contacts, timers and keys in Postgres: one reading and one fenced writing per batch."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from chappe.events import contact_key
from chappe.ids import ContactId, WorkspaceId
from chappe.shards import Batch, FencedStatement, Input
from chappe_orchestrator.application.ports import Changes, KeptInput, Loaded, SweepRow, Wakeup, Who
from chappe_orchestrator.domain import Contact, Enrollment, Key, KeyMark, Timer
from chappe_orchestrator.domain.profile import read_profile

READ = """
    SELECT 'generation' AS kind, 0 AS shard, NULL AS contact, NULL AS workspace, NULL AS journey,
           NULL AS value, NULL::timestamptz AS entered_at, NULL::timestamptz AS closed_at,
           NULL AS enrollment, NULL::bytea AS doc, generation
      FROM orchestrator.definitions
    UNION ALL
    SELECT 'profile', p.shard, p.contact, p.workspace, NULL, NULL, NULL, NULL, NULL, p.doc, 0
      FROM unnest($1::int[], $2::text[]) u(shard, contact)
      JOIN orchestrator.profile p ON p.shard = u.shard AND p.contact = u.contact
    UNION ALL
    SELECT 'enrollment', e.shard, e.contact, NULL, NULL, NULL, NULL, NULL, NULL, e.doc, 0
      FROM unnest($1::int[], $2::text[]) u(shard, contact)
      JOIN orchestrator.enrollment e ON e.shard = u.shard AND e.contact = u.contact
       AND (e.status = 'active' OR e.watch_until > $7)
    UNION ALL
    SELECT 'key', k.shard, k.contact, NULL, k.journey, k.value, k.entered_at, k.closed_at,
           k.enrollment, NULL, 0
      FROM unnest($3::int[], $4::text[], $5::text[], $6::text[]) u(shard, contact, journey, value)
      JOIN orchestrator.journey_key k ON k.shard = u.shard AND k.contact = u.contact
       AND k.journey = u.journey AND k.value = u.value
    UNION ALL
    SELECT 'parked', p.shard, p.contact, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
      FROM unnest($1::int[], $2::text[]) u(shard, contact)
      JOIN orchestrator.parked_contact p ON p.shard = u.shard AND p.contact = u.contact
    UNION ALL
    SELECT 'gone', g.shard, g.contact, g.workspace, NULL, g."into", NULL, NULL, NULL, NULL, 0
      FROM unnest($1::int[], $2::text[]) u(shard, contact)
      JOIN orchestrator.gone g ON g.shard = u.shard AND g.contact = u.contact
"""

# Of the erased, and of whom they were before they were merged.
FORMER = """
    SELECT u.workspace, u.contact
      FROM unnest($1::text[], $2::text[]) u(workspace, contact)
     UNION
    SELECT g.workspace, g.contact
      FROM unnest($1::text[], $2::text[]) u(workspace, contact)
      JOIN orchestrator.gone g ON g.workspace = u.workspace AND g."into" = u.contact
"""

BLANK_LETTERS = """
    UPDATE orchestrator.dead_letter
       SET value = '', key = '', reason = 'erased at a contact''s request'
     WHERE key = ANY($1::bytea[])
"""

# They hold what texts may show of the contact; one under way ends without a trace.
FORGET_CALLS = """
    DELETE FROM orchestrator.call c
     USING unnest($1::text[], $2::text[]) u(workspace, contact)
     WHERE c.workspace = u.workspace AND c.contact = u.contact
"""

COMMIT = FencedStatement(
    "orchestrator",
    {
        "gone": """
            INSERT INTO {schema}.gone AS g (shard, contact, workspace, "into", at)
            SELECT u.*, {at}::timestamptz
              FROM unnest({z_shards}::int[], {z_contacts}::text[], {z_workspaces}::text[],
                          {z_intos}::text[]) u
                ON CONFLICT (shard, contact) DO UPDATE SET "into" = (excluded."into")""",
        "profile_gone": """
            DELETE FROM {schema}.profile x
             USING unnest({z_shards}::int[], {z_contacts}::text[]) u(shard, contact)
             WHERE x.shard = u.shard AND x.contact = u.contact""",
        "enrollment_gone": """
            DELETE FROM {schema}.enrollment x
             USING unnest({z_shards}::int[], {z_contacts}::text[]) u(shard, contact)
             WHERE x.shard = u.shard AND x.contact = u.contact""",
        "journey_key_gone": """
            DELETE FROM {schema}.journey_key x
             USING unnest({z_shards}::int[], {z_contacts}::text[]) u(shard, contact)
             WHERE x.shard = u.shard AND x.contact = u.contact""",
        "event_history_gone": """
            DELETE FROM {schema}.event_history x
             USING unnest({z_shards}::int[], {z_contacts}::text[]) u(shard, contact)
             WHERE x.shard = u.shard AND x.contact = u.contact""",
        "parked_contact_gone": """
            DELETE FROM {schema}.parked_contact x
             USING unnest({z_shards}::int[], {z_contacts}::text[]) u(shard, contact)
             WHERE x.shard = u.shard AND x.contact = u.contact""",
        "parked_event_gone": """
            DELETE FROM {schema}.parked_event x
             USING unnest({z_shards}::int[], {z_contacts}::text[]) u(shard, contact)
             WHERE x.shard = u.shard AND x.contact = u.contact""",
        "profiles": """
            INSERT INTO {schema}.profile AS p (shard, contact, workspace, doc)
            SELECT * FROM unnest({p_shards}::int[], {p_contacts}::text[], {p_workspaces}::text[],
                                 {p_docs}::bytea[])
                ON CONFLICT (shard, contact) DO UPDATE SET doc = excluded.doc""",
        "enrollments": """
            INSERT INTO {schema}.enrollment AS e
                   (shard, contact, id, workspace, journey, version, key, step, status, reason,
                    held, token, due_at, entered_at, watch_until, doc)
            SELECT * FROM unnest({e_shards}::int[], {e_contacts}::text[], {e_ids}::text[],
                                 {e_workspaces}::text[], {e_journeys}::text[], {e_versions}::int[],
                                 {e_keys}::text[], {e_steps}::text[], {e_statuses}::text[],
                                 {e_reasons}::text[], {e_held}::boolean[], {e_tokens}::bigint[],
                                 {e_dues}::timestamptz[], {e_entered}::timestamptz[],
                                 {e_watch}::timestamptz[], {e_docs}::bytea[])
                ON CONFLICT (shard, contact, id) DO UPDATE
                   SET version = excluded.version, step = excluded.step, status = excluded.status,
                       reason = excluded.reason, held = excluded.held, token = excluded.token,
                       due_at = excluded.due_at, watch_until = excluded.watch_until,
                       doc = excluded.doc""",
        "keys": """
            INSERT INTO {schema}.journey_key AS k
                   (shard, contact, journey, value, entered_at, closed_at, enrollment)
            SELECT * FROM unnest({k_shards}::int[], {k_contacts}::text[], {k_journeys}::text[],
                                 {k_values}::text[], {k_entered}::timestamptz[],
                                 {k_closed}::timestamptz[], {k_enrollments}::text[])
                ON CONFLICT (shard, contact, journey, value) DO UPDATE
                   SET entered_at = excluded.entered_at, closed_at = excluded.closed_at,
                       enrollment = excluded.enrollment""",
        "timers_gone": """
            DELETE FROM {schema}.timer t
             USING unnest({g_shards}::int[], {g_dues}::timestamptz[], {g_ids}::text[],
                          {g_tokens}::bigint[], {g_kinds}::smallint[])
                   u(shard, due_at, id, token, kind)
             WHERE t.shard = u.shard AND t.due_at = u.due_at AND t.subject_kind = u.kind
               AND t.subject_id = u.id AND t.token = u.token""",
        "timers_armed": """
            INSERT INTO {schema}.timer (shard, due_at, subject_kind, subject_id, token, contact)
            SELECT u.shard, u.due_at, u.kind, u.id, u.token, u.contact
              FROM unnest({t_shards}::int[], {t_dues}::timestamptz[], {t_ids}::text[],
                          {t_tokens}::bigint[], {t_contacts}::text[], {t_kinds}::smallint[])
                   u(shard, due_at, id, token, contact, kind)""",
        "parked": """
            INSERT INTO {schema}.parked_contact (shard, contact, workspace, reason, parked_at)
            SELECT u.*, {at}::timestamptz
              FROM unnest({x_shards}::int[], {x_contacts}::text[], {x_workspaces}::text[],
                          {x_reasons}::text[]) u
                ON CONFLICT (shard, contact) DO UPDATE SET reason = excluded.reason""",
        "unparked": """
            DELETE FROM {schema}.parked_contact x
             USING unnest({u_shards}::int[], {u_contacts}::text[], {u_whole}::boolean[])
                   u(shard, contact, whole)
             WHERE x.shard = u.shard AND x.contact = u.contact AND u.whole""",
        "unparked_events": """
            DELETE FROM {schema}.parked_event x
             USING unnest({u_shards}::int[], {u_contacts}::text[], {u_numbers}::bigint[])
                   u(shard, contact, number)
             WHERE x.shard = u.shard AND x.contact = u.contact AND x.number <= u.number""",
        "counts": """
            INSERT INTO {schema}.enrollment_count AS n
                   (workspace, journey, version, status, place, shard, people, held)
            SELECT u.workspace, u.journey, u.version, u.status, u.place, {n_shard}::int,
                   u.people, u.held
              FROM unnest({n_workspaces}::text[], {n_journeys}::text[], {n_versions}::int[],
                          {n_statuses}::text[], {n_places}::text[], {n_people}::bigint[],
                          {n_held}::bigint[])
                   u(workspace, journey, version, status, place, people, held)
                ON CONFLICT (workspace, journey, version, status, place, shard) DO UPDATE
                   SET people = n.people + excluded.people, held = n.held + excluded.held""",
        "history": """
            INSERT INTO {schema}.event_history (shard, contact, name, at, event, data)
            SELECT * FROM unnest({h_shards}::int[], {h_contacts}::text[], {h_names}::text[],
                                 {h_times}::timestamptz[], {h_events}::text[], {h_datas}::jsonb[])
                ON CONFLICT DO NOTHING""",
        "calls": """
            INSERT INTO {schema}.call (id, shard, workspace, contact, next_at, deadline, doc)
            SELECT * FROM unnest({c_ids}::text[], {c_shards}::int[], {c_workspaces}::text[],
                                 {c_contacts}::text[], {c_nexts}::timestamptz[],
                                 {c_deadlines}::timestamptz[], {c_docs}::bytea[])
                ON CONFLICT (id) DO NOTHING""",
        "calls_dropped": """
            UPDATE {schema}.call SET state = 'cancelled', ended_at = {at}::timestamptz
             WHERE id = ANY({c_dropped}::text[]) AND state = 'pending'""",
        "sweeps": """
            INSERT INTO {schema}.watch_sweep AS w
                   (shard, workspace, journey, version, after, done)
            SELECT * FROM unnest({w_shards}::int[], {w_workspaces}::text[], {w_journeys}::text[],
                                 {w_versions}::int[], {w_afters}::text[], {w_done}::boolean[])
                ON CONFLICT (shard, workspace, journey) DO UPDATE
                   SET version = excluded.version, after = excluded.after, done = excluded.done""",
        "parked_events": """
            INSERT INTO {schema}.parked_event (shard, contact, stream, "offset", body)
            SELECT * FROM unnest({y_shards}::int[], {y_contacts}::text[], {y_streams}::text[],
                                 {y_offsets}::bigint[], {y_bodies}::bytea[])""",
    },
)

EVERY_ENROLLMENT = """
    SELECT e.shard, e.contact, e.doc
      FROM unnest($1::int[], $2::text[]) u(shard, contact)
      JOIN orchestrator.enrollment e ON e.shard = u.shard AND e.contact = u.contact
     ORDER BY e.entered_at, e.id
"""

EVERY_KEY = """
    SELECT k.shard, k.contact, k.journey, k.value, k.entered_at, k.closed_at, k.enrollment
      FROM unnest($1::int[], $2::text[]) u(shard, contact)
      JOIN orchestrator.journey_key k ON k.shard = u.shard AND k.contact = u.contact
"""

TIMERS = """
    SELECT t.shard, t.due_at, t.subject_id, t.token, t.contact, t.subject_kind
      FROM unnest($1::int[], $2::timestamptz[]) u(shard, since)
     CROSS JOIN LATERAL (
           SELECT * FROM orchestrator.timer t
            WHERE t.shard = u.shard AND t.due_at >= u.since
            ORDER BY t.due_at, t.subject_kind, t.subject_id, t.token LIMIT $3) t
"""

SWEEPS = """
    SELECT shard, workspace, journey, version, after, done FROM orchestrator.watch_sweep
     WHERE shard = ANY($1::int[])
"""

CONTACTS_AFTER = """
    SELECT contact FROM orchestrator.profile
     WHERE shard = $1 AND contact > $3 AND workspace = $2 ORDER BY contact LIMIT $4
"""

RESUMABLE = """
    SELECT e.shard, e.contact, e.id, e.due_at, e.token
      FROM orchestrator.enrollment e
      JOIN orchestrator.journey j ON j.workspace = e.workspace AND j.name = e.journey
     WHERE e.held AND e.shard = ANY($1::int[]) AND e.status = 'active' AND NOT j.paused
       AND (e.shard, e.contact, e.id) > ($2, $3, $4)
     ORDER BY e.shard, e.contact, e.id LIMIT $5
"""

PARKED_INPUTS = """
    SELECT u.shard, u.contact, p.number, p.stream, p."offset", p.body
      FROM unnest($1::int[], $2::text[]) u(shard, contact)
     CROSS JOIN LATERAL (
           SELECT * FROM orchestrator.parked_event e
            WHERE e.shard = u.shard AND e.contact = u.contact ORDER BY e.number LIMIT $3) p
     ORDER BY u.shard, u.contact, p.number
"""

_enrollment = msgspec.json.Decoder(Enrollment).decode


class PostgresStore:
    """``Store`` over the orchestrator's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def load(
        self, contacts: Sequence[Who], keys: Collection[tuple[Who, Key]], now: dt.datetime
    ) -> Loaded:
        rows = await self._pool.fetch(
            READ,
            [who.shard for who in contacts],
            [who.contact for who in contacts],
            [who.shard for who, _ in keys],
            [who.contact for who, _ in keys],
            [key.journey for _, key in keys],
            [key.value for _, key in keys],
            now,
        )
        loaded = Loaded(generation=-1)
        enrollments: list[tuple[Who, Enrollment]] = []
        for row in rows:
            who = Who(row["shard"], row["contact"])
            match row["kind"]:
                case "generation":
                    loaded.generation = row["generation"]
                case "profile":
                    loaded.contacts[who] = Contact(
                        id=who.contact, workspace=row["workspace"], profile=read_profile(row["doc"])
                    )
                case "enrollment":
                    enrollments.append((who, _enrollment(row["doc"])))
                case "key":
                    mark = KeyMark(row["entered_at"], row["closed_at"], row["enrollment"])
                    loaded.keys.setdefault(who, {})[Key(row["journey"], row["value"])] = mark
                case "gone":
                    loaded.gone[who] = row["value"]
                case _:
                    loaded.parked.add(who)
        enrollments.sort(key=lambda pair: pair[1].entered_at)
        for who, enrollment in enrollments:
            loaded.contacts[who].enrollments[enrollment.id] = enrollment
        for who, state in loaded.contacts.items():
            state.keys = loaded.keys.get(who, {})
        return loaded

    async def everything(
        self, contacts: Sequence[Who]
    ) -> dict[Who, tuple[list[Enrollment], dict[Key, KeyMark]]]:
        found: dict[Who, tuple[list[Enrollment], dict[Key, KeyMark]]] = {
            who: ([], {}) for who in contacts
        }
        columns = [who.shard for who in contacts], [who.contact for who in contacts]
        for row in await self._pool.fetch(EVERY_ENROLLMENT, *columns):
            found[Who(row["shard"], row["contact"])][0].append(_enrollment(row["doc"]))
        for row in await self._pool.fetch(EVERY_KEY, *columns):
            mark = KeyMark(row["entered_at"], row["closed_at"], row["enrollment"])
            found[Who(row["shard"], row["contact"])][1][Key(row["journey"], row["value"])] = mark
        return found

    async def commit(self, batch: Batch, changes: Changes) -> None:
        arguments, outbox, dead = _arguments(changes), changes.outbox, changes.dead
        erased = [row for row in changes.gone if row.into is None]
        if not erased:
            await batch.commit(COMMIT, arguments, outbox=outbox, dead=dead)
            return
        async with batch.transaction() as transaction:
            connection = transaction.connection
            everybody = await connection.fetch(
                FORMER, [row.workspace for row in erased], [row.who.contact for row in erased]
            )
            keys = [contact_key(row["workspace"], row["contact"]) for row in everybody]
            await connection.execute(BLANK_LETTERS, keys)
            await connection.execute(
                FORGET_CALLS,
                [row["workspace"] for row in everybody],
                [row["contact"] for row in everybody],
            )
            await batch.commit(COMMIT, arguments, outbox=outbox, dead=dead, transaction=transaction)

    async def timers(self, after: Mapping[int, dt.datetime], limit: int) -> dict[int, list[Wakeup]]:
        found: dict[int, list[Wakeup]] = {}
        if after:
            for row in await self._pool.fetch(TIMERS, list(after), list(after.values()), limit):
                timer = Timer(row["due_at"], row["subject_id"], row["token"], row["subject_kind"])
                wakeup = Wakeup(timer, ContactId(row["contact"]))
                found.setdefault(row["shard"], []).append(wakeup)
        return found

    async def sweeps(self, shards: Iterable[int]) -> list[SweepRow]:
        rows = await self._pool.fetch(SWEEPS, list(shards))
        return [SweepRow(*row) for row in rows]

    async def contacts_after(
        self, shard: int, workspace: WorkspaceId, after: str, limit: int
    ) -> list[ContactId]:
        rows = await self._pool.fetch(CONTACTS_AFTER, shard, workspace, after, limit)
        return [row["contact"] for row in rows]

    async def resumable(
        self, shards: Iterable[int], after: tuple[int, str, str], limit: int
    ) -> list[tuple[Who, Timer]]:
        rows = await self._pool.fetch(RESUMABLE, list(shards), *after, limit)
        return [
            (Who(row["shard"], row["contact"]), Timer(row["due_at"], row["id"], row["token"]))
            for row in rows
        ]

    async def parked_inputs(self, contacts: Sequence[Who], limit: int) -> list[KeptInput]:
        rows = await self._pool.fetch(
            PARKED_INPUTS,
            [who.shard for who in contacts],
            [who.contact for who in contacts],
            limit,
        )
        return [
            KeptInput(
                Who(row["shard"], row["contact"]),
                row["number"],
                Input(row["shard"], row["stream"], row["offset"], b"", row["body"]),
            )
            for row in rows
        ]


def _arguments(changes: Changes) -> dict[str, Any]:
    return {
        "at": changes.at,
        **_profiles(changes),
        **_enrollments(changes),
        **_keys(changes),
        **_timers(changes),
        **_parked(changes),
        **_counts(changes),
        **_calls(changes),
        **_sweeps(changes),
        **_gone(changes),
        **_history(changes),
    }


def _profiles(changes: Changes) -> dict[str, Any]:
    rows = changes.profiles
    return {
        "p_shards": [row.who.shard for row in rows],
        "p_contacts": [row.who.contact for row in rows],
        "p_workspaces": [row.workspace for row in rows],
        "p_docs": [row.doc for row in rows],
    }


def _enrollments(changes: Changes) -> dict[str, Any]:
    rows = changes.enrollments
    held = [row.enrollment for row in rows]
    return {
        "e_shards": [row.who.shard for row in rows],
        "e_contacts": [row.who.contact for row in rows],
        "e_workspaces": [row.workspace for row in rows],
        "e_ids": [e.id for e in held],
        "e_journeys": [e.journey for e in held],
        "e_versions": [e.version for e in held],
        "e_keys": [e.key for e in held],
        "e_steps": [e.step for e in held],
        "e_statuses": [e.status for e in held],
        "e_reasons": [e.reason for e in held],
        "e_held": [e.held for e in held],
        "e_tokens": [e.token for e in held],
        "e_dues": [e.due_at for e in held],
        "e_entered": [e.entered_at for e in held],
        "e_watch": [e.watch_until for e in held],
        "e_docs": [row.doc for row in rows],
    }


def _keys(changes: Changes) -> dict[str, Any]:
    rows = changes.keys
    return {
        "k_shards": [who.shard for who, _, _ in rows],
        "k_contacts": [who.contact for who, _, _ in rows],
        "k_journeys": [key.journey for _, key, _ in rows],
        "k_values": [key.value for _, key, _ in rows],
        "k_entered": [mark.entered_at for _, _, mark in rows],
        "k_closed": [mark.closed_at for _, _, mark in rows],
        "k_enrollments": [mark.enrollment for _, _, mark in rows],
    }


def _timers(changes: Changes) -> dict[str, Any]:
    gone, armed = changes.timers_gone, changes.timers_armed
    return {
        "g_shards": [who.shard for who, _ in gone],
        "g_dues": [timer.due_at for _, timer in gone],
        "g_ids": [timer.subject for _, timer in gone],
        "g_tokens": [timer.token for _, timer in gone],
        "g_kinds": [timer.kind for _, timer in gone],
        "t_shards": [who.shard for who, _ in armed],
        "t_dues": [timer.due_at for _, timer in armed],
        "t_ids": [timer.subject for _, timer in armed],
        "t_tokens": [timer.token for _, timer in armed],
        "t_kinds": [timer.kind for _, timer in armed],
        "t_contacts": [who.contact for who, _ in armed],
    }


def _calls(changes: Changes) -> dict[str, Any]:
    # A call asked for and taken back in one batch is never made: two parts must not touch one row.
    dropped = set(changes.calls_dropped)
    rows = [row for row in changes.calls if row.call.id not in dropped]
    asked = {row.call.id for row in changes.calls}
    return {
        "c_ids": [row.call.id for row in rows],
        "c_shards": [row.who.shard for row in rows],
        "c_workspaces": [row.call.workspace for row in rows],
        "c_contacts": [row.who.contact for row in rows],
        "c_nexts": [row.call.at for row in rows],
        "c_deadlines": [row.call.deadline for row in rows],
        "c_docs": [row.doc for row in rows],
        "c_dropped": [call for call in changes.calls_dropped if call not in asked],
    }


def _sweeps(changes: Changes) -> dict[str, Any]:
    rows = changes.sweeps
    return {
        "w_shards": [row.shard for row in rows],
        "w_workspaces": [row.workspace for row in rows],
        "w_journeys": [row.journey for row in rows],
        "w_versions": [row.version for row in rows],
        "w_afters": [row.after for row in rows],
        "w_done": [row.done for row in rows],
    }


def _parked(changes: Changes) -> dict[str, Any]:
    contacts, inputs = changes.parked, changes.parked_inputs
    return {
        "x_shards": [one.who.shard for one in contacts],
        "x_contacts": [one.who.contact for one in contacts],
        "x_workspaces": [one.workspace for one in contacts],
        "x_reasons": [one.reason for one in contacts],
        "u_shards": [one.who.shard for one in changes.unparked],
        "u_contacts": [one.who.contact for one in changes.unparked],
        "u_numbers": [one.number for one in changes.unparked],
        "u_whole": [one.whole for one in changes.unparked],
        "y_shards": [one.who.shard for one in inputs],
        "y_contacts": [one.who.contact for one in inputs],
        "y_streams": [one.input.stream for one in inputs],
        "y_offsets": [one.input.offset for one in inputs],
        "y_bodies": [one.input.body for one in inputs],
    }


def _counts(changes: Changes) -> dict[str, Any]:
    # Always in one order: two processes that may both believe to own the shard must not deadlock.
    keys = sorted(
        key for key in {*changes.people, *changes.held} if changes.people[key] or changes.held[key]
    )
    return {
        "n_shard": changes.counted_by,
        "n_workspaces": [key.workspace for key in keys],
        "n_journeys": [key.journey for key in keys],
        "n_versions": [key.version for key in keys],
        "n_statuses": [key.status for key in keys],
        "n_places": [key.place for key in keys],
        "n_people": [changes.people[key] for key in keys],
        "n_held": [changes.held[key] for key in keys],
    }


def _gone(changes: Changes) -> dict[str, Any]:
    rows = changes.gone
    return {
        "z_shards": [row.who.shard for row in rows],
        "z_contacts": [row.who.contact for row in rows],
        "z_workspaces": [row.workspace for row in rows],
        "z_intos": [row.into for row in rows],
    }


def _history(changes: Changes) -> dict[str, Any]:
    gone = {row.who for row in changes.gone}
    rows = [row for row in changes.history if row.who not in gone]
    return {
        "h_shards": [row.who.shard for row in rows],
        "h_contacts": [row.who.contact for row in rows],
        "h_names": [row.fact.name for row in rows],
        "h_times": [row.fact.at for row in rows],
        "h_events": [row.fact.event for row in rows],
        "h_datas": [row.data for row in rows],
    }
