"""``/api/v1/reports/journeys``: how each journey does, in total, by step and by reason."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from chappe.http import Page
from chappe.ids import WorkspaceId
from chappe_analytics.application.ports import Reading
from chappe_analytics.domain.report import Numbers, Report, by_journey, report
from chappe_analytics.entrypoints.workspace import Check

VERSION_MAX = 2**31 - 1


class Money(BaseModel):
    """``amount`` is a decimal string in major units."""

    amount: str
    currency: str


class MessageNumbers(BaseModel):
    """What became of messages.

    ``opened`` and ``clicked`` are by readers (a click implies an open); what machines did is told
    apart. ``conversions`` and ``revenue`` are orders within 5 days of the last click or open.
    """

    asked: int
    sent: int
    delivered: int
    opened: int
    opened_by_machine: int
    clicked: int
    clicked_by_machine: int
    bounced: int
    skipped: int
    cancelled: int
    failed: int
    in_doubt: int
    unsubscribed: int
    complained: int
    conversions: int
    revenue: list[Money]


class JourneyNumbers(MessageNumbers):
    """``active`` walk the journey now: entered, not exited, not finished."""

    entered: int
    active: int
    not_entered: int
    exited: int
    finished: int
    goal_reached: int


class StepNumbers(MessageNumbers):
    """``here`` stand at the step now."""

    step: str
    here: int


class JourneySummary(BaseModel):
    journey: str
    totals: JourneyNumbers


class JourneyReport(JourneySummary):
    """``reasons`` maps each outcome that has them to its counts by reason."""

    version: int | None
    steps: list[StepNumbers]
    reasons: dict[str, dict[str, int]]


def report_routes(reading: Reading, check: Check) -> APIRouter:
    router = APIRouter(tags=["reports"])

    @router.get("/api/v1/reports/journeys")
    async def journeys(
        workspace: Annotated[WorkspaceId, Depends(check)],
    ) -> Page[JourneySummary]:
        """Every journey that anybody entered, or was kept out of. All on one page."""
        counts = await reading.counts(workspace, journey=None, version=None)
        reports = (report(name, own) for name, own in by_journey(counts).items())
        return Page(
            items=[JourneySummary(journey=r.journey, totals=_totals(r)) for r in reports],
            next=None,
        )

    @router.get("/api/v1/reports/journeys/{name}")
    async def journey(
        name: str,
        workspace: Annotated[WorkspaceId, Depends(check)],
        version: Annotated[int | None, Query(ge=1, le=VERSION_MAX)] = None,
    ) -> JourneyReport:
        """One journey, all its versions or one. A journey nobody met yet has zeros."""
        found = report(name, await reading.counts(workspace, journey=name, version=version))
        return JourneyReport(
            journey=name,
            version=version,
            totals=_totals(found),
            steps=[
                StepNumbers.model_validate({"step": s.step, "here": s.here, **_fields(s.numbers)})
                for s in found.steps
            ],
            reasons=found.reasons,
        )

    _ = (journeys, journey)
    return router


def _totals(found: Report) -> JourneyNumbers:
    return JourneyNumbers.model_validate({"active": found.active, **_fields(found.numbers)})


def _fields(numbers: Numbers) -> dict[str, object]:
    revenue = [{"amount": n, "currency": currency} for currency, n in numbers.revenue.items()]
    return {**numbers.measures, "revenue": revenue}
