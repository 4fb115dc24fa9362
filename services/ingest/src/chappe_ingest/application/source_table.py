"""The edge's memory of its sources: no delivery waits for the database.

A miss or a failed signature may mean that the memory is old: it is refreshed once, at most every
``REFRESH_SECONDS_MIN``, before the answer is no.
"""

import asyncio
import datetime as dt
import hmac
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from chappe.clock import Clock, monotonic
from chappe.ids import SourceId, WorkspaceId
from chappe_ingest.application.tally import Seen
from chappe_ingest.domain.source import OLD_SECRET_LIVES, Source, SourceState
from chappe_ingest.domain.sources import SEGMENT

REFRESH_SECONDS_MIN: Final = 1.0
REFRESH_SECONDS_IDLE: Final = 30.0
"""How long a change made through another process may stay unseen."""

logger = structlog.get_logger(__name__)


class NameTaken(Exception):
    """A live source of this workspace has that name."""


class SourceReader(Protocol):
    """Where sources are kept, as the door needs it."""

    async def all(self) -> Sequence[Source]:
        """Every source, deleted ones too, with its live secrets."""
        ...


class SourceStore(SourceReader, Protocol):
    """Where sources are kept, as those who change them need it."""

    async def add(self, source: Source) -> None:
        """Raises ``NameTaken``."""
        ...

    async def set_secret(
        self,
        source: Source,
        secret: str,
        *,
        now: dt.datetime,
        lives: dt.timedelta = OLD_SECRET_LIVES,
    ) -> None:
        """``secret`` counts from now on; the one before it goes on for ``lives``; older ones go."""
        ...

    async def set_api_token(self, source: SourceId, token: str | None) -> None:
        """For asking the shop back; sealed at rest."""
        ...

    async def set_domains(self, source: SourceId, domains: Sequence[str]) -> None: ...

    async def set_state(self, workspace: WorkspaceId, source: SourceId, state: SourceState) -> bool:
        """False when there is no such live source."""
        ...

    async def seen(self, sources: Sequence[SourceId]) -> dict[str, Seen]:
        """What the doors counted, by source; those that saw nothing are absent."""
        ...


class SourceTable:
    """Sources by id and by write key. One per process."""

    def __init__(self, store: SourceReader, wall: Clock) -> None:
        self._store = store
        self._wall = wall
        self._by_id: dict[str, Source] = {}
        self._by_key: dict[str, Source] = {}
        self._lock = asyncio.Lock()
        self._refreshed = float("-inf")
        self._away = False

    @property
    def is_away(self) -> bool:
        """Whether the last attempt to read failed: what is remembered may be old."""
        return self._away

    async def refresh(self) -> None:
        """Read everything again, now. Raises what the store raises."""
        async with self._lock:
            await self._load()

    async def refresh_if_old(self) -> bool:
        """Read again unless that was just done. False when nothing new can be known.

        A database that is away is no reason to refuse: what is remembered goes on.
        """
        asked = monotonic()
        async with self._lock:
            if self._refreshed >= asked:
                return True
            if monotonic() - self._refreshed < REFRESH_SECONDS_MIN:
                return False
            try:
                await self._load()
            except Exception as error:  # noqa: BLE001 - whatever it is, the memory still serves
                self._refreshed = monotonic()
                self._away = True
                logger.warning("Sources could not be read again", error=repr(error))
                return False
            return True

    async def by_id(self, source: str) -> Source | None:
        found = self._by_id.get(source)
        if found is None and await self.refresh_if_old():
            found = self._by_id.get(source)
        return found

    async def by_write_key(self, keys: Sequence[str]) -> Source | None:
        found = self._with_key(keys)
        if found is None and keys and await self.refresh_if_old():
            found = self._with_key(keys)
        return found

    def all(self) -> Sequence[Source]:
        """As remembered."""
        return tuple(self._by_id.values())

    def again(self, source: SourceId) -> Source | None:
        """The same source as it stands after a refresh."""
        return self._by_id.get(source)

    def _with_key(self, keys: Sequence[str]) -> Source | None:
        now = self._wall.now()
        for key in keys:
            source = self._by_key.get(key)
            if source is not None and _matches(key, source.live_secrets(now)):
                return source
        return None

    async def _load(self) -> None:
        sources = await self._store.all()
        self._by_id = {source.id: source for source in sources}
        self._by_key = {
            secret.value: source
            for source in sources
            if source.kind == SEGMENT and source.state is not SourceState.DELETED
            for secret in source.secrets
        }
        self._away = False
        self._refreshed = monotonic()


def _matches(key: str, secrets: Sequence[str]) -> bool:
    given = key.encode("utf-8", "surrogatepass")
    return any(hmac.compare_digest(given, secret.encode()) for secret in secrets)
