"""Deliveries that came before the vendor's secret was known: sealed, bounded, verified later.

A vendor that issues the secret often shows it only once it has the URL, and calls at once.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import structlog

from chappe.clock import Clock
from chappe.ids import NewId, SourceId
from chappe_ingest.application.inlet import Delivered, Inlet
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import REGISTRY
from chappe_ingest.domain.taking import deliveries
from chappe_ingest.domain.verify import Headers

HELD_MAX: Final = 500
"""Deliveries of one source."""

HELD_BYTES_MAX: Final = 16 * 1024 * 1024
KEEP_DAYS: Final = 14

logger = structlog.get_logger(__name__)


class HeldDelivery(msgspec.Struct, frozen=True):
    """A delivery as it came; nobody has verified it."""

    id: str
    headers: list[tuple[str, str]]
    body: bytes
    received_at: dt.datetime
    received_wall: dt.datetime


class HeldDeliveries(Protocol):
    """Where they are kept, sealed."""

    async def add(self, source: SourceId, held: HeldDelivery) -> bool:
        """False when the source has ``HELD_MAX`` or ``HELD_BYTES_MAX`` already."""
        ...

    async def of(self, source: SourceId) -> Sequence[HeldDelivery]:
        """In the order in which they came."""
        ...

    async def forget(self, source: SourceId, ids: Sequence[str]) -> None: ...

    async def sources(self) -> Sequence[SourceId]:
        """Those that have any."""
        ...

    async def forget_old(self, days: int) -> None: ...


class Quarantine:
    """Keeps deliveries of sources that await their secret, and lets the genuine ones go on."""

    def __init__(
        self, store: HeldDeliveries, inlet: Inlet, business: Clock, wall: Clock, new_id: NewId
    ) -> None:
        self._store = store
        self._inlet = inlet
        self._business = business
        self._wall = wall
        self._new_id = new_id
        self._tried: dict[SourceId, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    async def keep(self, source: Source, headers: Headers, body: bytes) -> bool:
        """False when there is no more room. Raises what the database raises."""
        held = HeldDelivery(
            id=self._new_id("raw_"),
            headers=list(headers),
            body=body,
            received_at=self._business.now(),
            received_wall=self._wall.now(),
        )
        return await self._store.add(source.id, held)

    async def release(self, source: Source) -> int:
        """Pass on what one of the source's secrets signed; the rest stays. Raises ``LogAway``."""
        if source.state is not SourceState.ACTIVE or source.kind not in REGISTRY:
            return 0
        secrets = tuple(source.live_secrets(self._wall.now()))
        held = await self._store.of(source.id)
        if self._tried.get(source.id) == (secrets, tuple(each.id for each in held)):
            return 0
        verify = REGISTRY[source.kind].verifies(source.config)
        genuine = [
            each
            for each in held
            if verify(each.body, each.headers, secrets, each.received_wall).verified
        ]
        for each in genuine:
            await self._inlet.take(source, _delivered(source, each))
            await self._store.forget(source.id, [each.id])
        left = tuple(each.id for each in held if each not in genuine)
        self._tried[source.id] = secrets, left
        logger.info(
            "Deliveries left the quarantine", source=source.id, genuine=len(genuine), left=len(left)
        )
        return len(genuine)

    async def release_all(self, sources: Sequence[Source]) -> None:
        """For what another process's door kept meanwhile; and forget what is too old."""
        waiting = set(await self._store.sources())
        for source in sources:
            if source.id in waiting:
                await self.release(source)
        if waiting:
            await self._store.forget_old(KEEP_DAYS)


def _delivered(source: Source, held: HeldDelivery) -> list[Delivered]:
    parts = deliveries(REGISTRY[source.kind], source.config, held.body, held.headers)
    return [
        Delivered(
            headers=part.headers,
            body=part.body,
            entity=part.entity,
            verified=True,
            id=held.id if at == 0 else f"{held.id}.{at}",
            received_at=held.received_at,
            received_wall=held.received_wall,
        )
        for at, part in enumerate(parts)
    ]
