"""``GET,POST /api/v1/demo/clock``: what time it is in the demo, and moving it forward."""

import datetime as dt
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, ConfigDict

from chappe.clock import BusinessClock
from chappe.http import FieldError, Problem, require_token
from chappe_onebox.demo.durations import parse_duration
from chappe_onebox.demo.mover import Mover

PATH = "/api/v1/demo/clock"
ADVANCE_MAX = dt.timedelta(days=366)


class Advance(BaseModel):
    """How far to go."""

    model_config = ConfigDict(extra="forbid")

    advance: str


def add_clock(app: FastAPI, clock: BusinessClock, mover: Mover, token: str) -> None:
    router = APIRouter(dependencies=[Depends(require_token(token))], tags=["demo"])

    @router.get(PATH)
    async def now() -> dict[str, Any]:
        """The business clock, and how far it is ahead of the wall's."""
        return {"now": clock.now(), "ahead_seconds": clock.offset.total_seconds()}

    @router.post(PATH)
    async def advance(wanted: Advance) -> dict[str, Any]:
        """Go forward; answers once everything due on the way has happened, within 120 s."""
        try:
            by = parse_duration(wanted.advance)
        except ValueError as error:
            raise Problem(422, str(error), errors=[FieldError("advance", str(error))]) from error
        if by > ADVANCE_MAX:
            what = f"at most {ADVANCE_MAX.days} days at once"
            raise Problem(422, what, errors=[FieldError("advance", what)])
        moved = await mover.advance(by)
        return {
            "now": moved.now,
            "settled": moved.settled,
            "stuck": list(moved.stuck),
            "ahead_seconds": clock.offset.total_seconds(),
        }

    app.include_router(router)
    _ = (now, advance)
