"""``/api/v1/journeys/…``: plan, versions, archive, upgrade, and how far a move has come."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from chappe.clock import Clock
from chappe.http import FieldError, Problem
from chappe.ids import WorkspaceId
from chappe_orchestrator.application.crowds import CrowdMove, Crowds
from chappe_orchestrator.application.lifecycle import (
    ChangeLives,
    Foreseen,
    NoSuchStepError,
    NoSuchVersionError,
)
from chappe_orchestrator.application.planning import PlanJourneys
from chappe_orchestrator.application.ports import Shelf
from chappe_orchestrator.application.publishing import read_all
from chappe_orchestrator.entrypoints.journeys import PlanIn, VersionOut, invalid, written_in

MOVES_MAX = 500
ACCEPTED = 202


class PlannedOut(BaseModel):
    """``change``: new, changed, same, or returns (from the archive). ``inside``: by version."""

    journey: str
    change: str
    version: int | None
    added: list[str]
    removed: list[str]
    inside: dict[int, int]


class PlanOut(BaseModel):
    journeys: list[PlannedOut]


class VersionsOut(BaseModel):
    """The newest hundred. ``inside``: how many people are in it now."""

    items: list["VersionInside"]


class VersionInside(VersionOut):
    current: bool
    inside: int


class UpgradeIn(BaseModel):
    """``from`` is one version, or all others; ``to`` the current one unless said. ``moves`` says
    where those go who stand at a step that is no more: a step, or null to leave.
    """

    from_: int | None = Field(default=None, alias="from", ge=1, le=2**31 - 1)
    to: int | None = Field(default=None, ge=1, le=2**31 - 1)
    moves: dict[str, str | None] = Field(default={}, max_length=MOVES_MAX)


class EffectOut(BaseModel):
    """What happens to the ``people`` at a ``step``: stays, waits_longer, waits_shorter (``by_s``
    seconds; time already spent counts), looks_again, goes_on (at ``to``), exits.
    """

    version: int
    step: str
    people: int
    effect: str
    to: str | None
    by_s: int | None


class MoveOut(BaseModel):
    """``left`` are still inside the versions that are being left."""

    id: str
    journey: str
    kind: str
    state: str
    versions: list[int]
    to: int | None
    asked: int
    left: int


class UpgradeOut(BaseModel):
    """``move`` is null in a preview."""

    journey: str
    versions: list[int]
    to: int
    people: int
    effects: list[EffectOut]
    move: MoveOut | None


class ArchivedOut(BaseModel):
    journey: str
    status: str
    move: MoveOut | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleApi:
    """What these addresses need."""

    shelf: Shelf
    plan: PlanJourneys
    lives: ChangeLives
    crowds: Crowds
    clock: Clock
    workspace: Callable[[Request], Awaitable[WorkspaceId]]


def lifecycle_router(api: LifecycleApi) -> APIRouter:
    """The routes."""
    router = APIRouter(
        prefix="/api/v1/journeys", tags=["journeys"], dependencies=[Depends(api.workspace)]
    )
    _add_looking(router, api)
    _add_moving(router, api)
    return router


def _add_looking(router: APIRouter, api: LifecycleApi) -> None:
    caller = Depends(api.workspace)

    @router.post("/plan")
    async def plan(body: PlanIn, workspace: WorkspaceId = caller) -> PlanOut:
        """What publishing these would do. Refuses what publishing would refuse."""
        sources = [written_in(one) for one in body.journeys]
        journeys, complaints = await read_all(sources, body.templates)
        complaints = complaints or await api.plan.moved(workspace, sources, journeys)
        if complaints:
            raise invalid(complaints)
        planned = await api.plan(workspace, journeys)
        return PlanOut(journeys=[PlannedOut.model_validate(_fields(one)) for one in planned])

    @router.get("/{name}/versions")
    async def versions(name: str, workspace: WorkspaceId = caller) -> VersionsOut:
        """Newest first, with how many people are inside each."""
        row = await api.shelf.one(workspace, name)
        if row is None:
            raise Problem(404, f"no journey is called {name!r}")
        inside = await api.lives.people.inside(workspace, name)
        return VersionsOut(
            items=[
                VersionInside(
                    version=number,
                    published_at=at,
                    current=number == row.version,
                    inside=sum(inside.get(number, {}).values()),
                )
                for number, at in await api.shelf.versions(workspace, name)
            ]
        )

    @router.get("/{name}/moves/{move}")
    async def one_move(name: str, move: str, workspace: WorkspaceId = caller) -> MoveOut:
        """How far an upgrade, or the leaving of an archived journey, has come."""
        found = await api.crowds.one(workspace, name, move)
        if found is None:
            raise Problem(404, "no such move")
        return await _shown(api, found)

    _ = (plan, versions, one_move)


def _add_moving(router: APIRouter, api: LifecycleApi) -> None:
    caller = Depends(api.workspace)

    @router.post("/{name}/archive")
    async def archive(
        name: str,
        answer: Response,
        *,
        exit: bool = False,  # noqa: A002 - as the address says it
        workspace: WorkspaceId = caller,
    ) -> ArchivedOut:
        """Nobody enters any more. Those inside walk on to the end; with ``exit`` they leave."""
        now = api.clock.now()
        found, move = await api.lives.archive(workspace, name, now, leave=exit)
        if not found:
            raise Problem(404, f"no published journey is called {name!r}")
        if move is not None:
            answer.status_code = ACCEPTED
        shown = await _shown(api, move) if move else None
        return ArchivedOut(journey=name, status="archived", move=shown)

    @router.post("/{name}/upgrade")
    async def upgrade(
        name: str,
        body: UpgradeIn,
        answer: Response,
        *,
        preview: bool = False,
        workspace: WorkspaceId = caller,
    ) -> UpgradeOut:
        """Move those inside to another version; ``preview`` only says what that would do."""
        try:
            foreseen = await api.lives.foresee(
                workspace, name, start=body.from_, to=body.to, moves=body.moves
            )
        except NoSuchVersionError as error:
            raise Problem(404, str(error)) from error
        except NoSuchStepError as error:
            wrong = FieldError("moves", str(error))
            raise Problem(422, "the moves cannot be made; see errors", errors=[wrong]) from error
        move = None
        if not preview:
            answer.status_code = ACCEPTED
            begun = await api.lives.upgrade(workspace, name, foreseen, api.clock.now())
            move = await _shown(api, begun)
        return UpgradeOut(
            journey=name,
            versions=list(foreseen.versions),
            to=foreseen.to,
            people=sum(one.people for one in foreseen.foreseen),
            effects=[_effect(one) for one in foreseen.foreseen],
            move=move,
        )

    _ = (archive, upgrade)


def _effect(one: Foreseen) -> EffectOut:
    by: dt.timedelta | None = one.effect.by
    return EffectOut(
        version=one.version,
        step=one.effect.step,
        people=one.people,
        effect=one.effect.kind,
        to=one.effect.to,
        by_s=int(by.total_seconds()) if by is not None else None,
    )


async def _shown(api: LifecycleApi, move: CrowdMove) -> MoveOut:
    return MoveOut(
        id=move.id,
        journey=move.journey,
        kind="exit" if move.order.to is None else "upgrade",
        state=move.state,
        versions=list(move.versions),
        to=move.order.to,
        asked=move.asked,
        left=await api.crowds.left(move.workspace, move.journey, move.versions),
    )


def _fields(one: object) -> dict[str, Any]:
    return {name: getattr(one, name) for name in PlannedOut.model_fields}
