"""The lines of all providers: which there are, which is next for a message, which must rest.

Records are read when they change here, and every few seconds, since others may change them. A line
whose record was removed or changed takes nothing more; its lanes end once nothing of it is on the
wire.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from chappe.clock import Clock, WallClock
from chappe_sender import metrics
from chappe_sender.application.health import Health
from chappe_sender.application.letter import Letter
from chappe_sender.application.line import Core, Line, Ready
from chappe_sender.application.routing import (
    ProviderRecord,
    RouteState,
    choose,
    lane_key,
    plan,
)
from chappe_sender.domain.message import Message
from chappe_sender.domain.template import MessageClass

REFRESH_SECONDS = 5.0
IN_DOUBT_MAX = 5

logger = structlog.get_logger(__name__)


class LineLanes(Protocol):
    """What carries a line's messages."""

    async def run(self, work: Line) -> None:
        """Until cancelled."""
        ...

    def key(self, letters: Sequence[Letter]) -> str | None:
        """Of a request that carries these; None without keys."""
        ...


class ProviderShelf(Protocol):
    """Where the records are kept."""

    async def active(self) -> list[ProviderRecord]:
        """Of all workspaces, the removed ones excepted."""
        ...

    async def stop(self, provider: str, reason: str, now: dt.datetime) -> None:
        """The sender's own stop, until somebody resumes it."""
        ...


class _Empty:
    async def active(self) -> list[ProviderRecord]:
        return []

    async def stop(self, provider: str, reason: str, now: dt.datetime) -> None:
        del provider, reason, now


@dataclass(slots=True)
class _Held:
    line: Line
    lanes: LineLanes
    task: asyncio.Task[None] | None = None


def _no_lanes(record: ProviderRecord) -> LineLanes:
    raise LookupError(f"nothing speaks to a provider of the kind {record.kind}")


@dataclass(slots=True)
class Lines:
    """Every provider's line. ``make`` gives the lanes of a record."""

    shelf: ProviderShelf = field(default_factory=_Empty)
    make: Callable[[ProviderRecord], LineLanes] = _no_lanes
    wall: Clock = field(default_factory=WallClock)
    business: Clock = field(default_factory=WallClock)
    stopped: Callable[[], AbstractSet[str]] = frozenset[str]
    """The ids of those that somebody stopped in an emergency."""
    _held: dict[str, _Held] = field(default_factory=dict)
    _going: list[_Held] = field(default_factory=list)
    _plan: dict[str, list[ProviderRecord]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _core: Core | None = None
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __bool__(self) -> bool:
        """Whether any message goes by a provider."""
        return bool(self._plan)

    def get(self, provider: str) -> Line | None:
        held = self._held.get(provider)
        return held.line if held is not None else None

    def key(self, provider: str, letters: Sequence[Letter]) -> str | None:
        held = self._held.get(provider)
        return held.lanes.key(letters) if held is not None else None

    # -- choices ----------------------------------------------------------------------------

    def concerns(self, message: Message, domain: str) -> bool:
        """Whether a provider is meant for it; otherwise it goes the default way."""
        return any(record.serves(domain) for record in self._candidates(message))

    def choose(self, message: Message, domain: str, avoid: Iterable[str]) -> Line | None:
        """The line that should carry it now."""
        candidates = self._candidates(message)
        open_ = [record.id for record in candidates if self._usable(record)]
        chosen = choose(candidates, domain, open_, avoid)
        return self._held[chosen.id].line if chosen is not None else None

    def untried(self, message: Message, domain: str, tried: Iterable[str]) -> bool:
        """Whether one is meant for it, open or resting, that it was not given to before."""
        before = set(tried)
        return any(
            record.id not in before and record.state is RouteState.ACTIVE and record.serves(domain)
            for record in self._candidates(message)
        )

    def admission(self) -> dict[str, bool]:
        """By ``workspace/class``: whether a provider that is meant for it has room."""
        return {
            key: any(
                self._usable(record)
                and self._held[record.id].line.has_room(
                    marketing=key.endswith(MessageClass.MARKETING)
                )
                for record in records
            )
            for key, records in self._plan.items()
        }

    def take_out(self, keep: Callable[[Ready], bool]) -> list[Ready]:
        every = [*self._held.values(), *self._going]
        return [ready for held in every for ready in held.line.take_out(keep)]

    def _candidates(self, message: Message) -> list[ProviderRecord]:
        return self._plan.get(lane_key(message.workspace, message.message_class), [])

    def _usable(self, record: ProviderRecord) -> bool:
        held = self._held.get(record.id)
        return held is not None and held.line.usable and record.id not in self.stopped()

    # -- life -------------------------------------------------------------------------------

    def changed(self) -> None:
        """A record was changed: look now."""
        self._changed.set()

    async def refresh(self) -> None:
        """Read the records; lines come and go."""
        async with self._reading:  # what was read earlier is never applied later
            self._apply({record.id: record for record in await self.shelf.active()})

    def _apply(self, records: dict[str, ProviderRecord]) -> None:
        for id_ in [id_ for id_ in self._held if id_ not in records]:
            self._leave(id_)
        for record in records.values():
            self._adopt(record)
        self._plan = plan(held.line.record for held in self._held.values())
        for held in self._held.values():
            metrics.ROUTE_OPEN.labels(held.line.record.workspace, held.line.record.name).set(
                held.line.usable
            )

    def _adopt(self, record: ProviderRecord) -> None:
        held = self._held.get(record.id)
        if held is not None and _same_way(held.line.record, record):
            resumed = record.state is RouteState.ACTIVE and (
                held.line.record.state is not RouteState.ACTIVE
            )
            held.line.record = record
            if resumed:
                held.line.health = self._health(record)
                held.line.wake()
            return
        if held is not None:
            self._leave(record.id)
        try:
            lanes = self.make(record)
        except (LookupError, ValueError) as error:
            logger.warning("A provider cannot be used", provider=record.name, reason=str(error))
            return
        line = Line(record, self._health(record), self.wall.now)
        self._held[record.id] = _Held(line, lanes)

    def _health(self, record: ProviderRecord) -> Health:
        return Health(in_doubt_max=record.number("in_doubt_max", IN_DOUBT_MAX))

    def _leave(self, id_: str) -> None:
        held = self._held.pop(id_)
        held.line.leaving = True
        metrics.ROUTE_OPEN.remove(held.line.record.workspace, held.line.record.name)
        if held.task is not None:
            self._going.append(held)
        if self._core is not None:
            self._core.put_back_ready(held.line.take_out(lambda _: False))

    async def run(self, core: Core) -> None:
        """Until cancelled."""
        self._core = core
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._tend(core, tasks)
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_SECONDS):
                        await self._changed.wait()

    async def _tend(self, core: Core, tasks: asyncio.TaskGroup) -> None:
        for held in self._held.values():
            line = held.line
            if line.record.state is RouteState.ACTIVE and line.health.must_stop:
                await self._stop(line)
        await self.refresh()
        for held in self._held.values():
            held.line.core = core
            if not held.line.usable:
                core.put_back_ready(held.line.take_out(lambda _: False))
            if held.task is None:
                name = f"provider {held.line.record.name}"
                held.task = tasks.create_task(held.lanes.run(held.line), name=name)
        for held in [held for held in self._going if held.line.at_rest]:
            self._going.remove(held)
            if held.task is not None:
                held.task.cancel()
        core.route_changed()

    async def _stop(self, line: Line) -> None:
        reason = f"{line.health.doubts} requests in a row in doubt; the last: {line.health.why}"
        logger.error("Stopping a provider", provider=line.record.name, reason=reason)
        metrics.ROUTE_STOPS.labels(line.record.workspace, line.record.name).inc()
        await self.shelf.stop(line.record.id, reason, self.business.now())


def _same_way(one: ProviderRecord, other: ProviderRecord) -> bool:
    """Whether the same lanes serve both."""
    return (one.kind, dict(one.secrets), dict(one.options)) == (
        other.kind, dict(other.secrets), dict(other.options),
    )  # fmt: skip
