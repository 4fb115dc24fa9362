"""The events of contacts in Postgres, for what a profile cannot answer."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence

import asyncpg

from chappe.journey.history import Answer, Query
from chappe.journey.sql import Over, answer_sql
from chappe_orchestrator.application.ports import Who
from chappe_orchestrator.domain.facts import Asked

ANSWERS = """
    SELECT u.number, {answer} AS answer
      FROM unnest($1::int[], $2::int[], $3::text[], $4::timestamptz[])
           u(number, shard, contact, entered_at)
"""

FORGET = """
    DELETE FROM orchestrator.event_history
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM orchestrator.event_history
                              WHERE at < $1 LIMIT $2))
"""

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

    async def forget(self, before: dt.datetime, limit: int) -> int:
        """Drop at most ``limit`` facts that are older; returns how many."""
        return int((await self._pool.execute(FORGET, before, limit)).rpartition(" ")[2])
