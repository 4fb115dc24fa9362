"""Public keys fetched from where an operator said they are, and again when an unknown one signs.

A renewal is asked for by a delivery that no known key signed, at most once a minute for a source,
and only those deliveries wait for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import asyncpg
import structlog

from chappe.clock import Clock, monotonic
from chappe.ids import SourceId
from chappe_ingest.application.source_table import SourceStore, SourceTable
from chappe_ingest.domain.key_sets import addresses_of, document_of, refusal, secret_of
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.source import Source
from chappe_ingest.domain.sources.saleor_signature import public_keys

RENEW_SECONDS_MIN: Final = 60.0
RENEW_SECONDS_MAX: Final = 2.0
"""How long a delivery waits for a renewal; Saleor gives up on us after 18 s, Adobe after 10."""

SOURCES_MAX: Final = 10_000

Fetch = Callable[[str], Awaitable[str]]
"""The document at an address. Raises ``KeysUnavailable``."""

logger = structlog.get_logger(__name__)


class KeysUnavailable(Exception):
    """No keys from there, in words."""


class KeySets:
    """One per process."""

    def __init__(self, fetch: Fetch, store: SourceStore, table: SourceTable, wall: Clock) -> None:
        self._fetch = fetch
        self._store = store
        self._table = table
        self._wall = wall
        self._renewed: dict[SourceId, float] = {}
        self._renewing: dict[SourceId, asyncio.Task[bool]] = {}

    async def secret(self, kind: str, links: Links, given: str) -> str:
        """``given`` with the keys that its addresses hold; as it is where it has none.

        Raises ``KeysUnavailable``.
        """
        addresses = addresses_of(given)
        if not addresses:
            return given
        if (why := refusal(kind, addresses, links)) is not None:
            raise KeysUnavailable(why)
        return secret_of(addresses, [await self._document(each) for each in addresses])

    async def renew(self, source: Source) -> bool:
        """Fetch the source's keys again. True: there are others now, and the table has them."""
        addresses = addresses_of(source.current_secret or "")
        if not addresses:
            return False
        task = self._renewing.get(source.id)
        if task is None:
            if monotonic() - self._renewed.get(source.id, float("-inf")) < RENEW_SECONDS_MIN:
                return False
            if len(self._renewed) >= SOURCES_MAX:
                self._renewed.clear()
            self._renewed[source.id] = monotonic()
            task = asyncio.create_task(self._again(source, addresses))
            self._renewing[source.id] = task
            task.add_done_callback(lambda _: self._renewing.pop(source.id, None))
        try:
            async with asyncio.timeout(RENEW_SECONDS_MAX):
                return await asyncio.shield(task)
        except TimeoutError:
            return False

    async def _again(self, source: Source, addresses: Sequence[str]) -> bool:
        before = source.current_secret or ""
        try:
            after = await self.secret(source.kind, source.links, "\n".join(addresses))
            if document_of(after) == document_of(before):
                return False
            await self._store.set_secret(source, after, now=self._wall.now())
            await self._table.refresh()
        except KeysUnavailable as error:
            logger.warning("Keys were not renewed", source=source.id, reason=str(error))
            return False
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.warning("Keys were not stored", source=source.id, error=repr(error))
            return False
        logger.info("The vendor has new keys", source=source.id)
        return True

    async def _document(self, address: str) -> str:
        document = (await self._fetch(address)).strip()
        if not public_keys(document):
            raise KeysUnavailable(f"{address} holds no RSA public key (PEM or JWKS)")
        return document
