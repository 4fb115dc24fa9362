"""Contacts, timers and keys in Postgres: one reading and one fenced writing per batch."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from chappe.ids import ContactId, EnrollmentId
from chappe.shards import Batch, FencedStatement
from chappe_orchestrator.application.ports import Changes, Loaded, Wakeup, Who
from chappe_orchestrator.domain import Contact, Enrollment, Key, KeyMark, Profile, Timer

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
"""

COMMIT = FencedStatement(
    "orchestrator",
    {
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
                          {g_tokens}::bigint[]) u(shard, due_at, id, token)
             WHERE t.shard = u.shard AND t.due_at = u.due_at AND t.subject_kind = 1
               AND t.subject_id = u.id AND t.token = u.token""",
        "timers_armed": """
            INSERT INTO {schema}.timer (shard, due_at, subject_kind, subject_id, token, contact)
            SELECT u.shard, u.due_at, 1, u.id, u.token, u.contact
              FROM unnest({t_shards}::int[], {t_dues}::timestamptz[], {t_ids}::text[],
                          {t_tokens}::bigint[], {t_contacts}::text[])
                   u(shard, due_at, id, token, contact)""",
        "parked": """
            INSERT INTO {schema}.parked_contact (shard, contact, workspace, reason, parked_at)
            SELECT u.*, {at}::timestamptz
              FROM unnest({x_shards}::int[], {x_contacts}::text[], {x_workspaces}::text[],
                          {x_reasons}::text[]) u
                ON CONFLICT (shard, contact) DO NOTHING""",
        "parked_events": """
            INSERT INTO {schema}.parked_event (shard, contact, stream, "offset", body)
            SELECT * FROM unnest({y_shards}::int[], {y_contacts}::text[], {y_streams}::text[],
                                 {y_offsets}::bigint[], {y_bodies}::bytea[])""",
    },
)

TIMERS = """
    SELECT t.shard, t.due_at, t.subject_id, t.token, t.contact
      FROM unnest($1::int[], $2::timestamptz[]) u(shard, since)
     CROSS JOIN LATERAL (
           SELECT * FROM orchestrator.timer t
            WHERE t.shard = u.shard AND t.due_at >= u.since AND t.subject_kind = 1
            ORDER BY t.due_at, t.subject_kind, t.subject_id, t.token LIMIT $3) t
"""

RESUMABLE = """
    SELECT e.shard, e.contact, e.id, e.due_at, e.token
      FROM orchestrator.enrollment e
      JOIN orchestrator.journey j ON j.workspace = e.workspace AND j.name = e.journey
     WHERE e.held AND e.shard = ANY($1::int[]) AND e.status = 'active' AND NOT j.paused
"""

_profile = msgspec.json.Decoder(Profile).decode
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
                        id=who.contact, workspace=row["workspace"], profile=_profile(row["doc"])
                    )
                case "enrollment":
                    enrollments.append((who, _enrollment(row["doc"])))
                case "key":
                    mark = KeyMark(row["entered_at"], row["closed_at"], row["enrollment"])
                    loaded.keys.setdefault(who, {})[Key(row["journey"], row["value"])] = mark
                case _:
                    loaded.parked.add(who)
        enrollments.sort(key=lambda pair: pair[1].entered_at)
        for who, enrollment in enrollments:
            loaded.contacts[who].enrollments[enrollment.id] = enrollment
        for who, state in loaded.contacts.items():
            state.keys = loaded.keys.get(who, {})
        return loaded

    async def commit(self, batch: Batch, changes: Changes) -> None:
        await batch.commit(COMMIT, _arguments(changes), outbox=changes.outbox, dead=changes.dead)

    async def timers(self, after: Mapping[int, dt.datetime], limit: int) -> dict[int, list[Wakeup]]:
        found: dict[int, list[Wakeup]] = {}
        if after:
            for row in await self._pool.fetch(TIMERS, list(after), list(after.values()), limit):
                timer = Timer(row["due_at"], EnrollmentId(row["subject_id"]), row["token"])
                wakeup = Wakeup(timer, ContactId(row["contact"]))
                found.setdefault(row["shard"], []).append(wakeup)
        return found

    async def resumable(self, shards: Iterable[int]) -> list[tuple[Who, Timer]]:
        rows = await self._pool.fetch(RESUMABLE, list(shards))
        return [
            (Who(row["shard"], row["contact"]), Timer(row["due_at"], row["id"], row["token"]))
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
        "g_ids": [timer.enrollment for _, timer in gone],
        "g_tokens": [timer.token for _, timer in gone],
        "t_shards": [who.shard for who, _ in armed],
        "t_dues": [timer.due_at for _, timer in armed],
        "t_ids": [timer.enrollment for _, timer in armed],
        "t_tokens": [timer.token for _, timer in armed],
        "t_contacts": [who.contact for who, _ in armed],
    }


def _parked(changes: Changes) -> dict[str, Any]:
    contacts, inputs = changes.parked, changes.parked_inputs
    return {
        "x_shards": [one.who.shard for one in contacts],
        "x_contacts": [one.who.contact for one in contacts],
        "x_workspaces": [one.workspace for one in contacts],
        "x_reasons": [one.reason for one in contacts],
        "y_shards": [one.who.shard for one in inputs],
        "y_contacts": [one.who.contact for one in inputs],
        "y_streams": [one.input.stream for one in inputs],
        "y_offsets": [one.input.offset for one in inputs],
        "y_bodies": [one.input.body for one in inputs],
    }
