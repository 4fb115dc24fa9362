"""Which mail waits because of its MX site, and how long: by a relay or a provider."""

import datetime as dt
from collections.abc import Mapping

import pytest

from chappe_sender.adapters.shaping_table import built_in, shaping_with
from chappe_sender.application.quota import Slice
from chappe_sender.application.sites import Rest, Sites
from chappe_sender.domain.shaping import Shaping

YAHOO, GMAIL = "zoe@yahoo.com", "zoe@gmail.com"
SITES: Mapping[str, str] = {"yahoo.com": "yahoodns.net", "gmail.com": "google.com"}
RATED = "[[site]]\nname = 'google'\nrelay_rate = 0.5\n"


class Clock:
    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


class Shared:
    """Quotas in memory, for one process and a hand-moved clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.used: dict[tuple[str, int], int] = {}

    async def lease(self, key: str, seconds: int, cap: int, most: int) -> Slice:
        period, into = divmod(self.clock(), seconds)
        granted = min(most, cap - self.used.get((key, int(period)), 0))
        self.used[key, int(period)] = self.used.get((key, int(period)), 0) + granted
        return Slice(int(period), granted, seconds - into)

    async def give_back(self, key: str, period: int, unused: int) -> None:
        self.used[key, period] -= unused


@pytest.fixture
def now() -> Clock:
    return Clock()


def sites(now: Clock, shaping: Shaping | None = None) -> Sites:
    def site(address: str) -> str:
        return SITES[address.rpartition("@")[2]]

    return Sites(shaping or built_in(), site, Shared(now), now)


async def waits(of: Sites, address: str, *, marketing: bool = True) -> Rest | None:
    return await of.waits(address, marketing=marketing)


async def test_a_site_that_suspends_us_rests_for_marketing_and_no_other_site_does(
    now: Clock,
) -> None:
    of = sites(now)
    of.heard(YAHOO, "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred")
    rest = await waits(of, YAHOO)
    assert rest is not None
    assert (rest.wait, rest.reason) == (dt.timedelta(hours=1), "site_rests")
    assert "[TSS04]" in rest.detail
    assert await waits(of, GMAIL) is None
    assert await waits(of, YAHOO, marketing=False) is None
    now.at += 7_200
    assert await waits(of, YAHOO) is None


async def test_a_site_that_asks_for_less_gets_less_for_a_while(now: Clock) -> None:
    of = sites(now)
    of.heard(YAHOO, "421 4.7.0 [TS03] All messages from 192.0.2.1 will be deferred")
    went = 0
    for _ in range(600):
        went += await waits(of, YAHOO) is None
        now.at += 1
    assert 90 <= went <= 110
    now.at += 1_800
    assert [await waits(of, YAHOO) for _ in range(50)] == [None] * 50


async def test_an_answer_about_one_mailbox_makes_no_site_wait(now: Clock) -> None:
    of = sites(now)
    for said in ("550 5.1.1 no such user", "452 4.2.2 mailbox full"):
        of.heard(GMAIL, said)
    assert await waits(of, GMAIL) is None


async def test_a_rule_may_want_to_hear_it_more_than_once(now: Clock) -> None:
    table = "[[reply]]\nmatch = 'not now'\nseconds = 60\nafter = 3\n"
    of = sites(now, shaping_with(table))
    for expected in (None, None, "site_rests"):
        of.heard(GMAIL, "451 not now")
        rest = await waits(of, GMAIL)
        assert (rest.reason if rest is not None else None) == expected
    now.at += 120
    of.heard(GMAIL, "451 not now")
    assert await waits(of, GMAIL) is None


async def test_a_rate_spreads_what_waits_instead_of_letting_all_of_it_come_back_at_once(
    now: Clock,
) -> None:
    of = sites(now, shaping_with(RATED))
    rests = [await waits(of, GMAIL) for _ in range(105)]
    assert rests[:5] == [None] * 5
    later = [rest.wait.total_seconds() for rest in rests[5:] if rest is not None]
    assert len(later) == 100
    assert later == sorted(later)
    assert later[-1] == pytest.approx(200, abs=10)


async def test_receipts_do_not_queue_behind_the_marketing_that_a_rate_put_off(now: Clock) -> None:
    of = sites(now, shaping_with(RATED))
    for _ in range(500):
        await waits(of, GMAIL)
    rest = await waits(of, GMAIL, marketing=False)
    assert rest is not None
    assert rest.wait <= dt.timedelta(seconds=10)


async def test_without_rates_and_before_anything_was_said_nothing_is_asked(now: Clock) -> None:
    def site(address: str) -> str:
        raise AssertionError(f"nobody asked where {address} is")

    assert await Sites(built_in(), site, Shared(now), now).waits(GMAIL, marketing=True) is None
