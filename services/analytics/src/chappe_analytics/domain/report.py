"""Read the counts of a journey as a person asks for them: in total, by step, by reason."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from chappe_analytics.domain.tallies import REVENUE, Counts, Tally, plain

MESSAGE_MEASURES = (
    "asked",
    "sent",
    "delivered",
    "opened",
    "opened_by_machine",
    "clicked",
    "clicked_by_machine",
    "bounced",
    "skipped",
    "cancelled",
    "failed",
    "in_doubt",
    "unsubscribed",
    "complained",
    "conversions",
)
JOURNEY_MEASURES = ("entered", "not_entered", "exited", "finished", "goal_reached")
WITH_REASONS = ("not_entered", "exited", "finished", "skipped", "cancelled", "failed", "bounced")

_STAYING = ("waiting", "held")
_LEAVING = ("wait_over", "resumed", "exited")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """``measures`` by name, and revenue by currency, in major units as decimal strings."""

    measures: dict[str, int]
    revenue: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """``here`` is how many stand at the step now."""

    step: str
    here: int
    numbers: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``active`` is how many walk the journey now: entered, not exited, not finished."""

    journey: str
    active: int
    numbers: Numbers
    steps: list[StepReport]
    reasons: dict[str, dict[str, int]]


def report(journey: str, counts: Counts) -> Report:
    """The report of one journey from its counts."""
    whole = _numbers(counts, (*JOURNEY_MEASURES, *MESSAGE_MEASURES))
    measures = whole.measures
    by_step: defaultdict[str, Counts] = defaultdict(dict)
    for tally, n in counts.items():
        if tally.step:
            by_step[tally.step][tally] = n
    return Report(
        journey=journey,
        active=max(0, measures["entered"] - measures["exited"] - measures["finished"]),
        numbers=whole,
        steps=[_step_report(step, by_step[step]) for step in sorted(by_step)],
        reasons=_reasons(counts),
    )


def by_journey(counts: Counts) -> dict[str, Counts]:
    """The counts of each journey, by name."""
    journeys: defaultdict[str, Counts] = defaultdict(dict)
    for tally, n in counts.items():
        if tally.journey:
            journeys[tally.journey][tally] = n
    return dict(sorted(journeys.items()))


def _step_report(step: str, counts: Counts) -> StepReport:
    stayed = _sum(counts, _STAYING)
    # A wait that was over before it began was never stood at.
    left = _sum(counts, _LEAVING) - _sum(
        {tally: n for tally, n in counts.items() if tally.reason == "already"}, ("wait_over",)
    )
    return StepReport(
        step=step, here=max(0, stayed - left), numbers=_numbers(counts, MESSAGE_MEASURES)
    )


def _numbers(counts: Counts, measures: tuple[str, ...]) -> Numbers:
    sums = dict.fromkeys(measures, 0)
    revenue: defaultdict[str, Decimal] = defaultdict(Decimal)
    for tally, n in counts.items():
        if tally.measure == REVENUE:
            revenue[tally.reason] += n
        elif tally.measure in sums:
            sums[tally.measure] += int(n)
    return Numbers(measures=sums, revenue={name: plain(n) for name, n in sorted(revenue.items())})


def _reasons(counts: Counts) -> dict[str, dict[str, int]]:
    reasons: dict[str, dict[str, int]] = {}
    for tally, n in sorted(counts.items(), key=_by_reason):
        if tally.measure in WITH_REASONS and n:
            named = reasons.setdefault(tally.measure, {})
            named[tally.reason] = named.get(tally.reason, 0) + int(n)
    return reasons


def _by_reason(item: tuple[Tally, Decimal]) -> tuple[str, str]:
    return item[0].measure, item[0].reason


def _sum(counts: Counts, measures: tuple[str, ...]) -> int:
    return int(sum(n for tally, n in counts.items() if tally.measure in measures))
