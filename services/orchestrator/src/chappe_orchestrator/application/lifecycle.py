"""Archive a journey, and move those inside it between versions."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from chappe.clock import Clock
from chappe.ids import StepId, WorkspaceId
from chappe.journey import Program
from chappe_orchestrator.application.crowds import CrowdMove, Crowds, Order
from chappe_orchestrator.application.library import compiled
from chappe_orchestrator.application.ports import People, Shelf, StoredVersion
from chappe_orchestrator.domain.upgrading import Effect, foresee, moves_of

VERSIONS_MOVED_MAX = 100


class NoSuchVersionError(LookupError):
    """The journey was never published, or not in this version."""


class NoSuchStepError(ValueError):
    """A move names a step that the version it leads from, or to, does not have."""


class Foreseen(NamedTuple):
    """What an upgrade does to the ``people`` at one step of one version."""

    version: int
    people: int
    effect: Effect


class Upgrade(NamedTuple):
    """From which versions, to which, and by which moves."""

    versions: tuple[int, ...]
    to: int
    moves: Mapping[StepId, StepId | None]
    foreseen: list[Foreseen]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLives:
    """The part of a journey's life that concerns those inside."""

    shelf: Shelf
    people: People
    crowds: Crowds
    new_id: Callable[[str], str]
    wake: Callable[[], None]
    wall: Clock

    async def foresee(
        self,
        workspace: WorkspaceId,
        journey: str,
        *,
        start: int | None,
        to: int | None,
        moves: Mapping[str, str | None],
    ) -> Upgrade:
        """What an upgrade would do. ``start``: only those of this version; None: of all others.

        Raises ``NoSuchVersionError`` and ``NoSuchStepError``.
        """
        new = await self._program(workspace, journey, to)
        inside = await self.people.inside(workspace, journey)
        versions = [start] if start is not None else sorted(inside)[:VERSIONS_MOVED_MAX]
        asked = {StepId(step): StepId(at) if at else None for step, at in moves.items()}
        for at in asked.values():
            if at is not None and at not in new.nodes:
                raise NoSuchStepError(f"version {new.version} has no step {at!r}")
        known: set[StepId] = set()
        ways: dict[StepId, StepId | None] = {}
        found: list[Foreseen] = []
        for version in versions:
            if version == new.version:
                continue
            old = await self._program(workspace, journey, version)
            known |= set(old.nodes)
            ways |= moves_of(old, new, asked)
            standing = inside.get(version, {})
            found += [
                Foreseen(version, standing.get(effect.step, 0), effect)
                for effect in foresee(old, new, asked)
                if standing.get(effect.step, 0)
            ]
        for step in asked:
            if step not in known or step in new.nodes:
                raise NoSuchStepError(f"nobody has to be moved from {step!r}")
        others = tuple(one for one in versions if one != new.version)
        return Upgrade(others, new.version, ways, found)

    async def upgrade(
        self, workspace: WorkspaceId, journey: str, asked: Upgrade, at: dt.datetime
    ) -> CrowdMove:
        """Begin it; those inside are moved page by page."""
        order = Order(to=asked.to, moves={str(step): at for step, at in asked.moves.items()})
        return await self._begin(workspace, journey, asked.versions, order, at)

    async def archive(
        self, workspace: WorkspaceId, journey: str, at: dt.datetime, *, leave: bool
    ) -> tuple[bool, CrowdMove | None]:
        """Nobody enters any more; with ``leave`` those inside leave. False: no such journey."""
        if not await self.shelf.archive(workspace, journey, at):
            return False, None
        if not leave:
            return True, None
        versions = tuple(number for number, _ in await self.shelf.versions(workspace, journey))
        return True, await self._begin(workspace, journey, versions, Order(), at)

    async def _begin(
        self,
        workspace: WorkspaceId,
        journey: str,
        versions: tuple[int, ...],
        order: Order,
        at: dt.datetime,
    ) -> CrowdMove:
        move = CrowdMove(
            id=self.new_id("mv_"),
            workspace=workspace,
            journey=journey,
            versions=versions,
            order=order,
            next_at=self.wall.now(),
        )
        await self.crowds.add(move, at)
        self.wake()
        return move

    async def _program(self, workspace: WorkspaceId, journey: str, version: int | None) -> Program:
        row = await self.shelf.one(workspace, journey, version)
        number = version or (row.version if row else None)
        if row is None or number is None or row.definition is None or row.templates is None:
            raise NoSuchVersionError(f"{journey!r} has no such published version")
        return compiled(
            StoredVersion(workspace, journey, number, row.definition, row.templates, row.paused)
        )
