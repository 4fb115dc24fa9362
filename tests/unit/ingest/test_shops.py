"""The two clients against their fake shops, where the resolver is not needed to see the answer."""

import dataclasses
import datetime as dt
from collections.abc import AsyncIterator

import pytest

from chappe.http import Outbound
from chappe_ingest.adapters.shops import asking, opening
from chappe_ingest.adapters.shops.asking import Asker
from chappe_ingest.adapters.shops.shopify import ShopifyShop
from chappe_ingest.adapters.shops.woocommerce import WooShop
from chappe_ingest.application.pulling_ports import ShopBusy, ShopForbids, ShopRefuses, Told
from chappe_ingest.domain.pulls import CHECKOUTS, CUSTOMERS, ORDERS, Found, Window
from tests.fakes import shopify_shop, woo_shop
from tests.fakes.playing import played
from tests.unit.ingest.shop import NOW, at, order
from tests.unit.ingest.test_pulls import source

SINCE = Window(NOW - dt.timedelta(days=900))


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    made = Outbound(allow_loopback=True)
    yield made
    await made.aclose()


@pytest.fixture
async def shop() -> AsyncIterator[tuple[shopify_shop.ShopifyShop, str]]:
    fake = shopify_shop.ShopifyShop()
    async with played(fake.app()) as address:
        yield fake, address


@pytest.fixture
async def woo() -> AsyncIterator[tuple[woo_shop.WooShop, str]]:
    fake = woo_shop.WooShop()
    async with played(fake.app()) as address:
        yield fake, address


Shop = tuple[shopify_shop.ShopifyShop, str]
Woo = tuple[woo_shop.WooShop, str]


def shopify(outbound: Outbound, address: str, token: str = shopify_shop.TOKEN) -> ShopifyShop:
    return ShopifyShop(Asker(outbound, address), token)


async def every(client: ShopifyShop | WooShop, subject: str, window: Window) -> list[Found]:
    pages: list[Found] = []
    cursor = None
    while not pages or cursor is not None:
        pages.append(await client.page(subject, window, cursor))
        cursor = pages[-1].cursor
        assert len(pages) < 50
    return pages


async def test_a_name_that_leads_into_our_own_network_is_not_asked() -> None:
    guarded = Outbound()
    for host in ("127.0.0.1", "10.0.0.7", "169.254.169.254", "localhost"):
        with pytest.raises(ShopRefuses, match="not asked"):
            await WooShop(Asker(guarded, f"https://{host}"), woo_shop.KEYS).page(
                ORDERS, SINCE, None
            )
    await guarded.aclose()


async def test_where_a_shop_is_played_counts_only_where_tests_may_say_so() -> None:
    made = source("woocommerce", "shop.example")
    played_at = {"loopback": "http://127.0.0.1:1"}
    made = dataclasses.replace(made, config=played_at)
    assert opening.addresses(loopback=False)(made) == "https://shop.example"
    assert opening.addresses(loopback=True)(made) == "http://127.0.0.1:1"


async def test_a_slow_shop_is_busy(
    outbound: Outbound, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, address = shop
    fake.slow_seconds = 0.5
    monkeypatch.setattr(asking, "ANSWER_SECONDS_MAX", 0.1)
    with pytest.raises(ShopBusy, match="does not answer"):
        await shopify(outbound, address).page(ORDERS, SINCE, None)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ShopRefuses), (403, ShopForbids), (404, ShopRefuses), (429, ShopBusy), (503, ShopBusy)],
)
async def test_each_status_means_what_to_do(
    outbound: Outbound, shop: Shop, status: int, error: type[Exception]
) -> None:
    fake, address = shop
    fake.fails = [status]
    with pytest.raises(error) as raised:
        await shopify(outbound, address).page(ORDERS, SINCE, None)
    assert shopify_shop.TOKEN not in str(raised.value)
    if isinstance(raised.value, ShopBusy) and status == 429:
        assert raised.value.rest == dt.timedelta(seconds=2)


async def test_a_shop_without_a_list_of_checkouts_is_a_shop_all_the_same(
    outbound: Outbound, shop: Shop
) -> None:
    fake, address = shop
    fake.fails = [404]
    with pytest.raises(ShopForbids):
        await shopify(outbound, address).page(CHECKOUTS, SINCE, None)


async def test_the_next_page_is_asked_from_the_shop_and_not_from_where_its_link_points(
    outbound: Outbound, shop: Shop
) -> None:
    fake, address = shop
    fake.orders += [order(n, None, updated_at=at(-n)) for n in range(1, 121)]
    pages = await every(shopify(outbound, address), ORDERS, SINCE)
    assert [len(page.documents) for page in pages] == [50, 50, 20]
    times = [page.at for page in pages]
    assert times == sorted(time for time in times if time)


async def test_a_list_without_order_says_how_far_it_is_only_at_its_end(
    outbound: Outbound, shop: Shop
) -> None:
    fake, address = shop
    for n in range(1, 71):
        fake.checkouts.append({"token": f"t{n}", "created_at": at(-n), "updated_at": at(-n)})
    first, last = await every(shopify(outbound, address), CHECKOUTS, SINCE)
    assert first.at is None
    assert last.at == NOW - dt.timedelta(minutes=1)
    assert {each.id for each in (*first.documents, *last.documents)} == {
        f"t{n}" for n in range(1, 71)
    }


async def test_a_throttled_mutation_says_how_long_to_wait(outbound: Outbound, shop: Shop) -> None:
    fake, address = shop
    fake.throttled = 1
    with pytest.raises(ShopBusy) as raised:
        await shopify(outbound, address).unsubscribe("7", NOW)
    assert raised.value.rest == dt.timedelta(seconds=2)  # (204 - 4) / 100


@pytest.mark.parametrize("number", ["7", "x", '7") { id } #', "7/8", ""])
async def test_nobody_is_unsubscribed_who_is_no_customer(
    outbound: Outbound, shop: Shop, number: str
) -> None:
    fake, address = shop
    assert await shopify(outbound, address).unsubscribe(number, NOW) is Told.NO_CUSTOMER
    assert fake.consents == []


async def test_consent_is_only_lowered(outbound: Outbound, shop: Shop) -> None:
    fake, address = shop
    consent = {"state": "unsubscribed", "consent_updated_at": at(-60)}
    fake.customers.append({"id": 7, "email": "z@x.example", "email_marketing_consent": consent})
    assert await shopify(outbound, address).unsubscribe("7", NOW) is Told.KNOWN
    consent["state"] = "subscribed"
    assert await shopify(outbound, address).unsubscribe("7", NOW) is Told.WRITTEN
    states = [each["emailMarketingConsent"]["marketingState"] for each in fake.consents]
    assert states == ["UNSUBSCRIBED"]


async def test_customers_of_woocommerce_are_read_from_the_newest_back_to_the_window(
    outbound: Outbound, woo: Woo
) -> None:
    fake, address = woo
    fake.customers += [{"id": n, "date_created_gmt": at(-n)[:-1]} for n in range(1, 200)]
    client = WooShop(Asker(outbound, address), woo_shop.KEYS)
    pages = await every(client, CUSTOMERS, Window(NOW - dt.timedelta(minutes=90)))
    assert {each.id for page in pages for each in page.documents} == {str(n) for n in range(1, 91)}
    assert pages[-1].at == NOW - dt.timedelta(minutes=1)
    assert len(fake.asked) < 4
