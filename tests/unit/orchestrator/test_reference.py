"""The engine against a second reading of the language: the same mail, whatever happens when."""

import ast
import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from chappe.journey.calendar import Quiet, local_instant, next_time
from tests.unit.orchestrator.reference import calendar
from tests.unit.orchestrator.reference.beside import Beside, BesideCorners
from tests.unit.orchestrator.reference.grammar import ZONES
from tests.unit.orchestrator.reference.mutants import MUTANTS

HERE = Path(__file__).parent / "reference"
SHARED = {
    "chappe.journey.cadence", "chappe.journey.conditions", "chappe.journey.definition",
    "chappe.journey.rules", "chappe.journey.steps", "chappe.journey.triggers",
    "chappe.journey.waits",
}  # fmt: skip
AROUND_IT = {"beside.py", "grammar.py", "mutants.py"}
"""What draws journeys, and what holds the two beside each other."""


def test_the_reference_shares_the_definition_model_and_nothing_else() -> None:
    named: set[str] = set()
    for file in HERE.glob("*.py"):
        if file.name not in AROUND_IT:
            tree = ast.parse(file.read_text("utf-8"))
            named |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
            named |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    own = "tests.unit.orchestrator.reference."
    assert {name for name in named if name.startswith(("chappe", "tests"))} - SHARED == {
        own + name for name in (
            "calendar", "entering", "known", "leaving", "story", "waiting", "walking", "watching",
        )
    }  # fmt: skip


def drawn(examples: int, *, always_the_same: bool = False) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        derandomize=always_the_same,
        database=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=[
            HealthCheck.filter_too_much,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
        ],
    )


TestBeside = Beside.TestCase
TestBeside.settings = drawn(150, always_the_same=True)

TestBesideCorners = BesideCorners.TestCase
TestBesideCorners.settings = drawn(60, always_the_same=True)


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_broken_rule_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(BesideCorners, settings=drawn(400, always_the_same=True))


# -- the two calendars ----------------------------------------------------------------------------

QUARTERS = 4 * 24 * 4
nights = st.sampled_from(["2026-10-23", "2026-10-30", "2027-03-13", "2027-03-26"])
quarters = st.integers(0, 95).map(lambda n: dt.time(n // 4, n % 4 * 15))
zones = st.sampled_from(ZONES).map(ZoneInfo)


@st.composite
def instants(draw: st.DrawFn) -> dt.datetime:
    """Around a night in which some clock changes."""
    begin = dt.datetime.fromisoformat(draw(nights)).replace(tzinfo=dt.UTC)
    return begin + draw(st.integers(0, QUARTERS)) * dt.timedelta(minutes=15, seconds=1)


PARIS = ZoneInfo("Europe/Paris")
TWICE = dt.datetime(2026, 10, 25, 1, 10, tzinfo=dt.UTC)
"""Ten past two in Paris, for the second time in that night."""


@settings(max_examples=300)
@example(now=TWICE, begin=dt.time(22), end=dt.time(2, 30), zone=PARIS, sunday=False)
@example(now=TWICE, begin=dt.time(9), end=dt.time(9), zone=PARIS, sunday=False)
@given(now=instants(), begin=quarters, end=quarters, zone=zones, sunday=st.booleans())
def test_quiet_hours_end_when_the_clock_on_the_wall_says_so(
    now: dt.datetime, begin: dt.time, end: dt.time, zone: ZoneInfo, sunday: bool
) -> None:
    ours = Quiet(begin, end, frozenset({6} if sunday else ())).over(now, zone)
    assert ours == calendar.quiet_until(now, begin, end, ("sun",) if sunday else (), zone)


@given(now=instants(), at=quarters, zone=zones)
def test_a_time_of_day_comes_once_in_every_night(
    now: dt.datetime, at: dt.time, zone: ZoneInfo
) -> None:
    day = now.astimezone(zone).date()
    wall = dt.datetime.combine(day, at)
    assert local_instant(day, at, zone) == calendar.first_instant(wall, zone)
    days = ("tue", "fri")
    numbers = frozenset(map(calendar.NAMES.index, days))
    assert next_time(now, at, numbers, zone) == calendar.next_on(now, at, days, zone)
    assert next_time(now, None, numbers, zone) == calendar.next_on(now, None, days, zone)
