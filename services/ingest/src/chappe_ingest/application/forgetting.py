"""Erase everybody whom only one shop has named: an operator has confirmed it.

Batch by batch; the cursor moves after the batch is durable on the log, so a process that dies
repeats at most one, and a repeated erasure finds nobody.
"""

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import structlog

from chappe.clock import Clock
from chappe.ids import ContactId, SourceId, WorkspaceId
from chappe_ingest import metrics
from chappe_ingest.application.inlet import Delivered, Inlet, LogAway
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import API

BATCH: Final = 200
IDLE_SECONDS: Final = 5.0
DAY_SECONDS: Final = 86_400
NOTHING_DUE: Final = 999

logger = structlog.get_logger(__name__)


class Tasks(Protocol):
    """What shops asked to be forgotten."""

    async def running(self) -> tuple[str, WorkspaceId, str, str] | None: ...

    async def named_by(
        self, workspace: WorkspaceId, scope: str, after: str, limit: int
    ) -> Sequence[tuple[ContactId, bool]]:
        """Contacts of the scope by id, each with whether nobody else has named it."""
        ...

    async def advance(
        self, task: str, cursor: str, erased: int, kept: int, now: dt.datetime, *, done: bool
    ) -> None: ...

    async def next_due(self) -> dt.datetime | None: ...


@dataclass(frozen=True, slots=True)
class ShopTask:
    """What a shop asked when it left, and nobody has finished."""

    id: str
    state: str
    due_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Erasing:
    """How erasures touch one source. ``dropped``: deliveries that named the erased."""

    dropped: int = 0
    tasks: tuple[ShopTask, ...] = ()


class Held(Protocol):
    """What we hold of a person, and what shops asked, as those who answer for it need it."""

    async def export(self, workspace: WorkspaceId, contact: ContactId) -> dict[str, Any]: ...

    async def is_erased(self, event: str) -> bool: ...

    async def source_of(self, workspace: WorkspaceId, ref: str) -> str | None: ...

    async def tasks(self, workspace: WorkspaceId, source: str | None) -> list[dict[str, Any]]: ...

    async def confirm(
        self, workspace: WorkspaceId, source: str, task: str, now: dt.datetime
    ) -> bool:
        """False when there is no such task, or it is done."""
        ...


def erase_delivery(contact: ContactId) -> Delivered:
    """What asks the resolver to forget ``contact``."""
    document: dict[str, str] = {"name": "privacy.erase_requested", "contact": contact}
    return Delivered(headers={}, body=msgspec.json.encode(document), entity=contact, verified=True)


def own_source(workspace: WorkspaceId, now: dt.datetime) -> Source:
    """The API as a source: its callers hold the token."""
    return Source(
        id=SourceId(API),
        workspace=workspace,
        kind=API,
        name=API,
        namespace="",
        state=SourceState.ACTIVE,
        created_at=now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetShops:
    """Runs beside the resolver's shards; two processes at once repeat work, and harm nothing."""

    tasks: Tasks
    inlet: Inlet
    business: Clock

    async def run(self) -> None:
        while True:
            try:
                busy = await self.once()
            except LogAway:
                busy = False
            await asyncio.sleep(0 if busy else IDLE_SECONDS)

    async def once(self) -> bool:
        """One batch; False when there is nothing to do."""
        await self._measure()
        found = await self.tasks.running()
        if found is None:
            return False
        task, workspace, scope, cursor = found
        people = await self.tasks.named_by(workspace, scope, cursor, BATCH)
        alone = [contact for contact, only in people if only]
        now = self.business.now()
        if alone:
            given = [erase_delivery(contact) for contact in alone]
            await self.inlet.take(own_source(workspace, now), given)
        done = len(people) < BATCH
        last = people[-1][0] if people else cursor
        kept = len(people) - len(alone)
        await self.tasks.advance(task, last, len(alone), kept, now, done=done)
        logger.info("A shop's people are being erased", task=task, erased=len(alone), kept=kept)
        return not done

    async def _measure(self) -> None:
        due = await self.tasks.next_due()
        left = (due - self.business.now()).total_seconds() / DAY_SECONDS if due else NOTHING_DUE
        metrics.SHOP_ERASURE_DAYS.set(left)
