"""Backlogs: one workspace's does not starve another's, and none is looked through by each claim."""

import datetime as dt
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from chappe.clock import HandClock
from chappe.ids import DEFAULT_WORKSPACE
from chappe_sender.adapters import ledger, statements
from tests.integration.sender.place import PARTITIONS, Place, a_sender

BACKLOG = 200_000
LIMIT = 64
ROWS_READ_MAX = 2_000
"""Of a backlog a hundred times as large."""

FILL = """
    INSERT INTO sender.message (id, shard, workspace, contact, template, message_class, address,
                                address_key, priority, state, next_attempt_at, asked_at, due_at,
                                deadline, updated_at, snapshot, journey)
    SELECT $1 || n, n % $2, $3, 'c', $4, $5, 'zoe@example.com', 'zoe@example.com',
           CASE WHEN $5 = 'transactional' THEN 0 ELSE 1 END, 'pending',
           $6::timestamptz + n * interval '1 millisecond', $6, $6, $6 + interval '1 day', $6,
           '{}'::bytea, $8
      FROM generate_series(1, $7) n
"""


COPY_TEMPLATES = """
    INSERT INTO sender.template_version (workspace, id, name, message_class, topic, body, files,
                                         created_at)
    SELECT 'small', id, name, message_class, topic, body, files, created_at
      FROM sender.template_version
"""


async def fill(
    place: Place,
    prefix: str,
    count: int,
    workspace: str = DEFAULT_WORKSPACE,
    *,
    template: str = "receipt",
    message_class: str = "transactional",
    journey: str = "abandoned-cart",
    before: dt.timedelta = dt.timedelta(hours=1),
) -> None:
    """Queued, as if it had been asked for ``before`` now."""
    await place.pool.execute(
        FILL, prefix, PARTITIONS, workspace, place.versions[template], message_class,
        place.clock.now() - before, count, journey,
    )  # fmt: skip


def nodes(plan: Any) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def rows_read(plan: Any) -> int:
    """Of the ledger's table and its indexes, the filtered ones too."""
    return sum(
        int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan)
        if node.get("Relation Name") == "message"
    )


@contextmanager
def explained(monkeypatch: pytest.MonkeyPatch) -> Generator[dict[str, list[Any]]]:
    """The plans of each LANES and CLAIM that runs, as Postgres executed them."""
    plans: dict[str, list[Any]] = {"LANES": [], "CLAIM": []}
    fetch = asyncpg.Connection.fetch

    async def explain(self: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        for name, seen in plans.items():
            if query == getattr(statements, name):
                transaction = self.transaction()
                await transaction.start()
                (row,) = await fetch(self, f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *args)
                await transaction.rollback()
                seen.append(json.loads(row[0])[0]["Plan"])
        return await fetch(self, query, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "fetch", explain)
        yield plans


async def claims_are_short(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receipt goes past the backlog, and no statement on its way reads the backlog."""
    await place.pool.execute("ANALYZE sender.message")
    with explained(monkeypatch) as plans:
        await place.ask("zoe", "m_new", "receipt", journey="other")
        await place.until("m_new", "accepted")
    for name, seen in plans.items():
        assert seen, f"{name} never ran"
        assert max(map(rows_read, seen)) < ROWS_READ_MAX, name
        assert not any(
            node["Node Type"] == "Seq Scan" and node.get("Relation Name") == "message"
            for plan in seen
            for node in nodes(plan)
        ), name


async def test_a_large_backlog_elsewhere_does_not_starve_a_small_workspace(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.http.post(
            "/api/v1/sending/stops", json={"kind": "provider", "value": "default"}
        )
        await place.pool.execute(COPY_TEMPLATES)
        await fill(place, "large_", 1_000)
        await fill(place, "small_", 3, "small", before=dt.timedelta(minutes=1))
        await place.http.post("/api/v1/sending/resume", json={})
        await place.until("large_1000", "accepted")
        arrived = [str(mail["Chappe-Message"]) for mail in place.mails()]
        assert len(arrived) == 1_003
        assert all(arrived.index(f"small_{n}") < 3 * LIMIT for n in (1, 2, 3))


async def test_a_stopped_backlog_is_put_aside_and_comes_back(
    pool: asyncpg.Pool, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_sender(pool, clock) as place:
        answer = await place.http.post(
            "/api/v1/sending/stops", json={"kind": "journey", "value": "abandoned-cart"}
        )
        assert answer.status_code == 201, answer.text
        await fill(place, "old_", 2_000)
        monkeypatch.setattr(ledger, "PARK_MAX", 200)
        await place.ask("zoe", "m_new", "receipt", journey="other")
        await place.until("m_new", "accepted")
        await place.settle()
        states = "SELECT state, reason, parked, count(*) FROM sender.message GROUP BY 1, 2, 3"
        found = {tuple(row)[:3]: row["count"] for row in await place.pool.fetch(states)}
        assert found["pending", "stopped", True] == 2_000
        await place.http.post("/api/v1/sending/resume", json={})
        await place.until("old_7", "accepted")
        assert not await place.pool.fetchval("SELECT count(*) FROM sender.message WHERE parked")


async def test_a_stopped_backlog_is_not_looked_through_by_each_claim(
    pool: asyncpg.Pool, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_sender(pool, clock) as place:
        await place.http.post(
            "/api/v1/sending/stops", json={"kind": "journey", "value": "abandoned-cart"}
        )
        await fill(place, "old_", BACKLOG // 10)
        await place.ask("zoe", "m_first", "receipt", journey="other")
        await place.until("m_first", "accepted")
        await claims_are_short(place, monkeypatch)


async def test_a_backlog_without_an_open_way_is_not_looked_through(
    pool: asyncpg.Pool, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_sender(pool, clock) as place:
        added = await place.http.post(
            "/api/v1/providers",
            json={"name": "main", "kind": "sendgrid", "secrets": {"api_key": "k"},
                  "classes": ["marketing"]},
        )  # fmt: skip
        assert added.status_code == 201, added.text
        await place.http.post("/api/v1/providers/main/pause", json={})
        await fill(place, "old_", BACKLOG, template="cart", message_class="marketing")
        await claims_are_short(place, monkeypatch)
        assert await place.state("old_1") == ("pending", None)


async def test_messages_that_wait_for_their_shard_to_read_on_are_not_looked_through(
    pool: asyncpg.Pool, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_sender(pool, clock) as place:
        await fill(place, "old_", BACKLOG, template="cart", message_class="marketing")
        await place.pool.execute("UPDATE sender.message SET need_live = 1000000")
        await claims_are_short(place, monkeypatch)
