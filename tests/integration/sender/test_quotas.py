"""What all processes together may give away: never more, and nothing of it is lost."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from chappe_sender import bootstrap
from chappe_sender.adapters.quotas import PostgresQuotas
from chappe_sender.application.quota import DAY, Leased

CAP = 100


@pytest.fixture
async def quotas(pool: asyncpg.Pool) -> PostgresQuotas:
    await bootstrap.migrate(pool)
    return PostgresQuotas(pool)


class Watch:
    """A monotonic clock that stands still until it is moved: one process's."""

    def __init__(self, at: float = 0.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def replica(quotas: PostgresQuotas, now: Callable[[], float] | None = None) -> Leased:
    return Leased(quotas, "day/p/example.com", CAP, DAY, now or Watch())


async def taken(leased: Leased, tries: int) -> int:
    return sum([not await leased.take() for _ in range(tries)])


async def test_two_replicas_together_never_exceed_the_limit(quotas: PostgresQuotas) -> None:
    one, other = replica(quotas), replica(quotas)
    given = await asyncio.gather(taken(one, CAP), taken(other, CAP))
    assert sum(given) == CAP
    assert min(given) > 0


async def test_a_busy_replica_gets_nearly_all_that_an_idle_one_does_not_use(
    quotas: PostgresQuotas,
) -> None:
    idle, busy = replica(quotas), replica(quotas)
    assert await taken(idle, 1) == 1
    assert await taken(busy, CAP) >= CAP - CAP // 8


async def test_what_an_idle_replica_gives_back_is_used_by_the_other(
    quotas: PostgresQuotas,
) -> None:
    watch = Watch()
    idle, busy = replica(quotas), replica(quotas, watch)
    assert await taken(idle, 1) == 1
    used = await taken(busy, CAP)
    await idle.give_back()
    watch.at += DAY / 10
    assert 1 + used + await taken(busy, CAP) == CAP


async def test_a_replica_that_took_its_last_does_not_ask_for_each_message(
    pool: asyncpg.Pool, quotas: PostgresQuotas
) -> None:
    one = replica(quotas)
    assert await taken(one, 2 * CAP) == CAP
    await pool.execute("UPDATE sender.quota SET used = 0")
    assert await one.take() > 0


async def test_clocks_that_differ_share_one_period(
    pool: asyncpg.Pool, quotas: PostgresQuotas
) -> None:
    """Of two hosts an hour apart; only the database says what the day is."""
    one, other = replica(quotas, Watch(0.0)), replica(quotas, Watch(3_600.0))
    assert sum(await asyncio.gather(taken(one, CAP), taken(other, CAP))) == CAP
    assert await pool.fetchval("SELECT count(*) FROM sender.quota") == 1


async def test_a_slice_is_worth_nothing_after_its_period(
    pool: asyncpg.Pool, quotas: PostgresQuotas
) -> None:
    watch = Watch()
    one = replica(quotas, watch)
    assert await taken(one, 1) == 1
    await pool.execute("UPDATE sender.quota SET used = $1", CAP)
    watch.at += DAY + 1
    assert await taken(one, 1) == 0


async def test_the_next_period_starts_whole_and_the_old_one_is_forgotten(
    pool: asyncpg.Pool, quotas: PostgresQuotas
) -> None:
    assert await taken(replica(quotas), 2 * CAP) == CAP
    await pool.execute("UPDATE sender.quota SET period = period - 1")
    assert await taken(replica(quotas), 2 * CAP) == CAP
    assert await pool.fetchval("SELECT count(*) FROM sender.quota") == 1


async def test_what_is_given_back_too_late_changes_nothing(
    pool: asyncpg.Pool, quotas: PostgresQuotas
) -> None:
    one = replica(quotas)
    assert await taken(one, 1) == 1
    await pool.execute("UPDATE sender.quota SET period = period + 1")
    await one.give_back()
    assert await pool.fetchval("SELECT used FROM sender.quota") == CAP // 8
