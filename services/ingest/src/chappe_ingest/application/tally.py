"""How each source is doing, in words: counted in memory, added to the database now and then."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from chappe.ids import SourceId

logger = structlog.get_logger(__name__)

SOURCES_MAX = 10_000


@dataclass(slots=True)
class Seen:
    """Counts since the last flush, and the last times; business clock."""

    accepted: int = 0
    refused: int = 0
    accepted_at: dt.datetime | None = None
    refused_at: dt.datetime | None = None
    refused_because: str | None = None


class SeenStore(Protocol):
    async def add(self, seen: Mapping[SourceId, Seen]) -> None:
        """Add the counts, keep the newer times."""
        ...


class Tally:
    """What came in since the last flush. Losing a few counts to a crash is fine."""

    def __init__(self, store: SeenStore) -> None:
        self._store = store
        self._seen: dict[SourceId, Seen] = {}

    def accepted(self, source: SourceId, at: dt.datetime, count: int = 1) -> None:
        seen = self._of(source)
        seen.accepted += count
        seen.accepted_at = at

    def refused(self, source: SourceId, at: dt.datetime, because: str) -> None:
        seen = self._of(source)
        seen.refused += 1
        seen.refused_at = at
        seen.refused_because = because

    async def flush(self) -> None:
        """Write what was counted; on a failure it is counted on."""
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
