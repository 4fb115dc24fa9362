"""Watch for the sender that nobody hears any more: its webhook was deleted, and nobody said so."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from chappe.clock import Clock
from chappe.ids import SourceId
from chappe_ingest import metrics
from chappe_ingest.application.tally import Seen, Tally
from chappe_ingest.domain.source import Source, SourceState

WATCH_SECONDS: Final = 15.0

logger = structlog.get_logger(__name__)


class Watched(Protocol):
    async def all(self) -> Sequence[Source]: ...

    async def seen(self, sources: Sequence[SourceId]) -> dict[str, Seen]: ...


async def look(sources: Watched, business: Clock) -> None:
    """Set the gauges of every live source."""
    live = [s for s in await sources.all() if s.state is SourceState.ACTIVE]
    seen = await sources.seen([source.id for source in live])
    now = business.now()
    metrics.SOURCE_AGE.clear()
    metrics.SOURCE_SILENT.clear()
    for source in live:
        found = seen.get(source.id)
        if found is None or found.accepted_at is None:
            continue
        label = metrics.source_label(source.id)
        if label == metrics.OTHER:
            continue  # ages of several cannot share a gauge
        age = max(0.0, (now - found.accepted_at).total_seconds())
        metrics.SOURCE_AGE.labels(label).set(age)
        metrics.SOURCE_SILENT.labels(label).set(found.silent_since(now) is not None)


async def watch(sources: Watched, tally: Tally, business: Clock) -> None:
    """Write what was counted and look, until cancelled."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        await tally.flush()
        try:
            await look(sources, business)
        except Exception as error:  # noqa: BLE001 - gauges never stop the resolver
            logger.warning("The sources' gauges were not set", error=repr(error))
