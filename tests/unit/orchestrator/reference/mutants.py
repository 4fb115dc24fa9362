"""The engine with a rule broken: the reference must notice."""

import dataclasses
import datetime as dt
import sys
from typing import Any
from zoneinfo import ZoneInfo

from chappe.events import Event
from chappe.ids import StepId
from chappe.journey import CapOn, Program, SilenceWatch, calendar
from chappe_orchestrator.domain import asking, cadence, entering, step, waiting, watching
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import Enrollment

STEP = sys.modules[step.__module__]
CAPS = cadence._caps
DAY = dt.timedelta(days=1)


def one_too_many(run: Run, program: Program) -> tuple[CapOn, ...]:
    return tuple(dataclasses.replace(cap, most=cap.most + 1) for cap in CAPS(run, program))


def yesterdays_offset(day: dt.date, at: dt.time, zone: ZoneInfo) -> dt.datetime:
    """As if clocks never changed overnight."""
    wall = dt.datetime.combine(day, at, dt.UTC)
    offset = dt.datetime.combine(day - DAY, dt.time(12), zone).utcoffset()
    assert offset is not None
    return wall - offset


def never_armed_again(run: Run, program: Program, rule: SilenceWatch, held: Any) -> None:
    """A silence that was broken once is over for good."""
    last = watching._last_activity(run, rule)
    if last is not None and last + rule.quiet_for <= run.known_until:
        SILENCE_OVER(run, program, rule, held)


SILENCE_OVER = watching._silence_over


def first_of_march(year: int, month: int, day: int) -> dt.date:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return dt.date(year, 3, 1)


def nobody(_run: Run, _program: Program) -> bool:
    return False


def nothing(*_given: Any) -> None:
    """The rule is forgotten."""


def never(*_given: Any) -> bool:
    return False


def about_any_call(enrollment: Enrollment, of: StepId, event: Event) -> bool:
    if event.name.startswith("webhook."):
        return event.data.get("enrollment") == enrollment.id and event.data.get("step") == of
    return IS_ABOUT(enrollment, of, event)


IS_ABOUT = waiting._is_about

MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "a_cap_counts_one_too_many": (cadence, "_caps", one_too_many),
    "a_cap_is_not_released": (STEP, "release", nothing),
    "a_night_with_a_change_is_like_any_other": (calendar, "local_instant", yesterdays_offset),
    "silence_is_not_armed_again": (watching, "_silence_over", never_armed_again),
    "a_leap_birthday_is_in_march": (watching, "in_year", first_of_march),
    "nobody_is_held_out": (entering, "is_held_out", nobody),
    "a_wait_does_not_restart": (entering, "begin_anew", nothing),
    "a_past_date_is_written_about": (asking, "is_past", never),
    "an_old_answer_opens_a_wait": (waiting, "_is_about", about_any_call),
    "two_days_late_is_not_too_late": (asking, "CATCH_UP", dt.timedelta(days=2)),
}
