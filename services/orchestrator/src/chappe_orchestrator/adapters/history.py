"""The events of contacts in Postgres, for what a profile cannot answer."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from chappe.journey.history import Answer, Query
from chappe.journey.sql import Over, answer_sql
from chappe_orchestrator.application.ports import HistoryAway, Who
from chappe_orchestrator.domain.effects import Remembered
from chappe_orchestrator.domain.facts import Asked

ANSWERS = """
    SELECT u.number, {answer} AS answer
      FROM unnest($1::int[], $2::int[], $3::text[], $4::timestamptz[])
           u(number, shard, contact, entered_at)
"""

NEWEST = """
    SELECT k.shard, k.contact, k.event, k.name, k.at, k.data::text AS data
      FROM unnest($1::int[], $2::text[]) u(shard, contact)
     CROSS JOIN LATERAL (
           SELECT n.*, sum(octet_length(n.data::text)) OVER (ORDER BY n.at DESC, n.event) AS bytes
             FROM (SELECT * FROM orchestrator.event_history h
                    WHERE h.shard = u.shard AND h.contact = u.contact
                    ORDER BY h.at DESC, h.event LIMIT $3) n) k
     WHERE k.bytes <= $4
     ORDER BY k.at, k.event
"""

FORGET = """
    DELETE FROM orchestrator.event_history
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM orchestrator.event_history
                              WHERE at < $1 LIMIT $2))
"""

_data = msgspec.json.Decoder(dict[str, Any]).decode

_OVER = Over(
    schema="orchestrator",
    known="u",
    history="orchestrator.event_history h",
    belongs="h.shard = u.shard AND h.contact = u.contact",
)


class PostgresHistory:
    """``History`` over the orchestrator's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def answers(
        self, asked: Sequence[tuple[Who, Asked]], now: dt.datetime
    ) -> dict[tuple[Who, Asked], Answer]:
        by_query: defaultdict[Query, list[tuple[Who, Asked]]] = defaultdict(list)
        for one in asked:
            by_query[one[1].query].append(one)
        found: dict[tuple[Who, Asked], Answer] = {}
        for query, wanted in by_query.items():
            sql = answer_sql(query, _OVER, now=now, first=5)
            rows = await self._pool.fetch(
                ANSWERS.format(answer=sql.text),
                list(range(len(wanted))),
                [who.shard for who, _ in wanted],
                [who.contact for who, _ in wanted],
                [about.entered_at for _, about in wanted],
                *sql.args,
            )
            for row in rows:
                found[wanted[row["number"]]] = row["answer"]
        return found

    async def remembered(
        self, contacts: Sequence[Who], limit: int, bytes_max: int
    ) -> dict[Who, list[Remembered]]:
        found: defaultdict[Who, list[Remembered]] = defaultdict(list)
        shards, ids = [who.shard for who in contacts], [who.contact for who in contacts]
        for row in await self._pool.fetch(NEWEST, shards, ids, limit, bytes_max):
            fact = Remembered(row["event"], row["name"], row["at"], _data(row["data"]))
            found[Who(row["shard"], row["contact"])].append(fact)
        return found

    async def forget(self, before: dt.datetime, limit: int) -> int:
        """Drop at most ``limit`` facts that are older; returns how many."""
        try:
            done = await self._pool.execute(FORGET, before, limit)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise HistoryAway(repr(error)) from error
        return int(done.rpartition(" ")[2])
