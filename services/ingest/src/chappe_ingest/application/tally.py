"""How each source is doing, in words: counted in memory, added to the database now and then."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from chappe.ids import SourceId
from chappe_ingest import metrics

logger = structlog.get_logger(__name__)

SOURCES_MAX = 10_000
SILENT_AFTER_GAPS: Final = 3
SILENT_AFTER_MIN: Final = dt.timedelta(hours=6)
"""A night is no silence."""

SILENT_SAMPLES_MIN: Final = 10
"""Deliveries before a gap counts as usual."""


@dataclass(slots=True)
class Seen:
    """Counts since the last flush, and the last times; business clock.

    ``repeats`` and ``dead`` are the resolver's, the others the door's. ``gap_seconds``: the usual
    time between two deliveries, as the store works it out.
    """

    accepted: int = 0
    refused: int = 0
    accepted_at: dt.datetime | None = None
    refused_at: dt.datetime | None = None
    refused_because: str | None = None
    repeats: int = 0
    dead: int = 0
    dead_at: dt.datetime | None = None
    dead_because: str | None = None
    gap_seconds: float | None = None

    def silent_since(self, now: dt.datetime) -> dt.datetime | None:
        """The last delivery, when none came for three times the usual gap; else None."""
        if (
            self.gap_seconds is None
            or self.accepted_at is None
            or self.accepted < SILENT_SAMPLES_MIN
        ):
            return None
        usual = dt.timedelta(seconds=self.gap_seconds * SILENT_AFTER_GAPS)
        return self.accepted_at if now - self.accepted_at > max(usual, SILENT_AFTER_MIN) else None


class SeenStore(Protocol):
    async def add(self, seen: Mapping[SourceId, Seen]) -> None:
        """Add the counts, keep the newer times, learn the usual gap."""
        ...


class Tally:
    """What came in since the last flush. Losing a few counts to a crash is fine."""

    def __init__(self, store: SeenStore) -> None:
        self._store = store
        self._seen: dict[SourceId, Seen] = {}

    def accepted(
        self, source: SourceId, at: dt.datetime, count: int = 1, *, verified: bool = True
    ) -> None:
        seen = self._of(source)
        seen.accepted += count
        _count(source, "verified" if verified else "unverified", count)
        seen.accepted_at = at

    def refused(self, source: SourceId, at: dt.datetime, because: str) -> None:
        seen = self._of(source)
        seen.refused += 1
        _count(source, "failed")
        seen.refused_at = at
        seen.refused_because = because

    def repeated(self, source: SourceId, count: int = 1) -> None:
        """The resolver knew it already."""
        self._of(source).repeats += count
        _count(source, "duplicate", count)

    def died(self, source: SourceId, at: dt.datetime, because: str) -> None:
        """The resolver set it aside."""
        seen = self._of(source)
        seen.dead += 1
        _count(source, "dead")
        seen.dead_at = at
        seen.dead_because = because

    async def flush(self) -> None:
        """Write what was counted; on a failure these counts are lost, and the next go on."""
        if not self._seen:
            return
        seen, self._seen = self._seen, {}
        try:
            await self._store.add(seen)
        except Exception as error:  # noqa: BLE001 - statistics never stop the door
            logger.warning("The sources' counts were not written", error=repr(error))

    def _of(self, source: SourceId) -> Seen:
        if source not in self._seen and len(self._seen) >= SOURCES_MAX:
            self._seen.clear()
        return self._seen.setdefault(source, Seen())


def _count(source: SourceId, outcome: str, count: int = 1) -> None:
    metrics.SOURCE_DELIVERIES.labels(metrics.source_label(source), outcome).inc(count)
