"""The bad day: stop what must not go, keep mail instead of sending it, go live again.

Stops are rows that the claim and every commitment read, so they bind everywhere at once. What no
row can know before a way is chosen (a provider's stop, the mode of delivery) is read here every
few seconds.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Protocol

import structlog

from chappe.clock import Clock
from chappe.ids import WorkspaceId
from chappe_sender.domain.delivery import Mode, Override, Policy

REFRESH_SECONDS: Final = 2.0
CAPTURED_FOR: Final = dt.timedelta(days=14)
DEFAULT_ROUTE: Final = "default"

logger = structlog.get_logger(__name__)


class StopKind(StrEnum):
    """``domain`` is mail from it or to it; the provider ``default`` is ``CHAPPE_SMTP_URL``."""

    WORKSPACE = "workspace"
    JOURNEY = "journey"
    TEMPLATE = "template"
    PROVIDER = "provider"
    DOMAIN = "domain"
    CLASS = "class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """``since`` is from when on one wants to know who got it."""

    id: str
    workspace: WorkspaceId
    kind: StopKind
    value: str
    provider: str | None
    from_domain: str
    reason: str | None
    created_at: dt.datetime
    since: dt.datetime
    resumed_at: dt.datetime | None = None


class BadDayStore(Protocol):
    """Where stops and the mode are kept."""

    async def stop(self, stop: Stop) -> None: ...

    async def resume(
        self, workspace: WorkspaceId, ref: str | None, now: dt.datetime
    ) -> list[Stop]: ...

    async def stops(self, workspace: WorkspaceId | None) -> list[Stop]: ...

    async def find(self, workspace: WorkspaceId, id_: str) -> Stop | None: ...

    async def counts(self, stop: Stop) -> dict[str, int]: ...

    async def received(
        self, stop: Stop, after: tuple[dt.datetime, str] | None, limit: int
    ) -> list[dict[str, Any]]: ...

    async def override(self) -> Override | None: ...

    async def decide(self, override: Override) -> None: ...

    async def captured(self, workspace: WorkspaceId, message: str) -> bytes | None: ...

    async def forget_captured(self, before: dt.datetime) -> None: ...


@dataclass(slots=True)
class BadDay:
    """``changed`` is called when more may go than before."""

    policy: Policy
    wall: Clock
    store: BadDayStore | None = None
    changed: Callable[[], None] = lambda: None
    stopped_providers: frozenset[str] = field(default_factory=frozenset[str])
    default_stopped: bool = False

    async def refresh(self) -> None:
        if self.store is None:
            return
        override = await self.store.override()
        stops = [each for each in await self.store.stops(None) if each.kind is StopKind.PROVIDER]
        stopped = frozenset(each.provider for each in stops if each.provider is not None)
        default = any(each.value == DEFAULT_ROUTE for each in stops)
        before = (self.policy.override, self.stopped_providers, self.default_stopped)
        self.policy = replace(self.policy, override=override)
        self.stopped_providers, self.default_stopped = stopped, default
        if before != (override, stopped, default):
            self.changed()

    async def run(self) -> None:
        """Until cancelled."""
        swept: dt.datetime | None = None
        while True:
            await self.refresh()
            now = self.wall.now()
            if self.store is not None and (swept is None or now - swept > dt.timedelta(hours=1)):
                await self.store.forget_captured(now - CAPTURED_FOR)
                swept = now
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await asyncio.Event().wait()

    async def go_live(self, business: dt.datetime) -> str | None:
        """What is asked from now on is sent. Returns what to know about it."""
        assert self.store is not None
        lasting = self.policy.setting is not Mode.CAPTURE
        await self.store.decide(Override(Mode.LIVE, None, business, self.wall.now()))
        await self.refresh()
        logger.warning("Mail leaves from now on")
        if lasting:
            return None
        return "CHAPPE_DELIVERY=capture is set: unset it, or the next start captures again"


def describe(stops: Sequence[Stop]) -> list[str]:
    return [f"{each.kind} {each.value}".strip() for each in stops]
