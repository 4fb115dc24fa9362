"""From a source to the shop behind it: its host, its token, its kind of API."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from chappe.http import Outbound
from chappe.ids import SourceId
from chappe_ingest.adapters.shops.asking import Asker
from chappe_ingest.adapters.shops.shopify import ShopifyShop
from chappe_ingest.adapters.shops.woocommerce import WooShop
from chappe_ingest.application.pulling_ports import ShopApi, ShopRefuses
from chappe_ingest.domain.pulls import SHOPIFY, no_host, shop_host
from chappe_ingest.domain.source import Source

Addresses: TypeAlias = Callable[[Source], str | None]
"""Where a source's API is, scheme and host; None: nothing says so."""

Tokens: TypeAlias = Callable[[SourceId], Awaitable[str | None]]

_KEYS: Final = "ck_"


LOOPBACK: Final = "loopback"
"""In a source's configuration, for tests on one machine: where its shop is played."""


def addresses(*, loopback: bool) -> Addresses:
    """Always https, always one of the source's own domains; but for tests that say otherwise."""

    def address_of(source: Source) -> str | None:
        played = source.config.get(LOOPBACK) if loopback else None
        if isinstance(played, str):
            return played
        host = shop_host(source)
        return f"https://{host}" if host else None

    return address_of


class OpenShops:
    """``Shops`` over the guarded way out."""

    def __init__(self, outbound: Outbound, token_of: Tokens, address_of: Addresses) -> None:
        self._outbound = outbound
        self._token_of = token_of
        self._address_of = address_of

    async def open(self, source: Source) -> ShopApi:
        address = self._address_of(source)
        if address is None:
            raise ShopRefuses(no_host(source))
        token = await self._token_of(source.id)
        if not token:
            raise ShopRefuses(f"no API token: chappe sources api-token {source.name} --token …")
        asker = Asker(self._outbound, address)
        if source.kind == SHOPIFY:
            return ShopifyShop(asker, token)
        if not token.startswith(_KEYS) or ":" not in token:
            raise ShopRefuses("WooCommerce's token is its consumer key and secret: ck_…:cs_…")
        return WooShop(asker, token)
