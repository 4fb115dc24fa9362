"""When time alone may turn an answer: the next instant to look again, so that nobody polls.

Between two events of a contact only the clock moves. Each part of a condition that looks at the
clock names the instants at which its own answer may turn; the condition is asked at those, in
order, until its answer is another one. What only the history knows is not asked ahead: its next
instant is returned as it is, and whoever looks again then may find that nothing has changed.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, Self

from chappe.journey.calendar import DAY, in_year, local_instant
from chappe.journey.conditions import (
    Comparison,
    Condition,
    Did,
    First,
    Last,
    Max,
    Occasion,
    PathsAre,
    ScoreIs,
    Sum,
    Times,
)
from chappe.journey.history import Query, query_of, start_of_day
from chappe.journey.predicates import (
    Check,
    Facts,
    asks_history,
    day_of_year,
    moves_with_time,
    nodes_of,
    often,
    read_path,
    reading,
    size_tests,
)
from chappe.journey.values import instant

TICK = dt.timedelta(microseconds=1)
HALVINGS_LOOKED_AHEAD = 64
"""The largest score there is has become 0.00 by then."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class TimedFacts(Facts, Protocol):
    """Facts that can also be seen as they will be later, if nothing happens until then."""

    @property
    def half_life(self) -> dt.timedelta | None:
        """The score's; None: it does not decay."""
        ...

    def days(self, event: str) -> Mapping[int, int]:
        """How often the contact did ``event``, by day since 1970 (UTC), for the last days."""
        ...

    def later(self, now: dt.datetime) -> Self:
        """The same at another instant."""
        ...


def next_change(check: Check, facts: TimedFacts) -> dt.datetime | None:
    """The first instant after now at which the answer may be another one; None: not by time alone.

    It is never late, and early only where the history is asked. Raises ``HistoryWantedError``.
    """
    if not check.timed:
        return None
    surely: set[dt.datetime] = set()
    perhaps: set[dt.datetime] = set()
    for node in nodes_of(check.condition):
        if moves_with_time(node):
            surely.update(_turns(node, facts))
            perhaps.update(_perhaps(node, facts))
    unsure = min((at for at in perhaps if at > facts.now), default=None)
    ahead = sorted(at for at in surely if at > facts.now and (unsure is None or at < unsure))
    answer = check.holds(facts) if ahead else None
    for at in ahead:
        if check.holds(facts.later(at)) != answer:
            return at
    return unsure


def _turns(node: Condition, facts: TimedFacts) -> Iterator[dt.datetime]:
    """Instants of a part that the profile answers; some may lie behind."""
    match node:
        case Did(did=name, since=dt.timedelta() as since) if not asks_history(node):
            yield from _buckets_that_matter(facts, name, since, node.times)
        case First(first=name):
            yield from _around(facts.occasion(name, "first"), node.at)
        case Last(last=name):
            yield from _around(facts.occasion(name, "last"), node.at)
        case ScoreIs(score=bounds):
            yield from _as_the_score_fades(facts, size_tests(bounds))
        case PathsAre(root=paths):
            for path, comparison in paths.items():
                value = read_path(facts, path)
                yield from _around(instant(value), comparison)
                if comparison.anniversary is not None:
                    yield from _returns(value, facts, comparison.anniversary)
                if path == "contact.score":
                    yield from _as_the_score_fades(facts, size_tests(comparison))
        case _:
            pass


def _perhaps(node: Condition, facts: TimedFacts) -> Iterator[dt.datetime]:
    """The instant at which a part that asks the history may turn for the first time."""
    match node:
        case Did(since=dt.timedelta() as since) if asks_history(node):
            query = query_of(node)
            count = int(facts.past(query) or 0)
            left = _turning_count(node.times, count)
            if left is not None:
                yield from _leaves(facts, query.when(nth=left + 1), since)
        case Sum(since=dt.timedelta() as since) | Max(since=dt.timedelta() as since):
            query, kept = reading(node)
            if not kept:
                yield from _leaves(facts, query.when(nth=None), since)
        case _:
            pass


def _leaves(facts: TimedFacts, query: Query, since: dt.timedelta) -> Iterator[dt.datetime]:
    """When the event that the query finds has left the window."""
    at = facts.past(query)
    if at is not None:
        yield start_of_day(EPOCH + dt.timedelta(seconds=float(at))) + DAY + since


def _turning_count(times: Times, count: int) -> int | None:
    """The largest count below ``count`` for which ``times`` answers otherwise."""
    holds = often(times)
    now = holds(count)
    edges = {
        edge
        for bound in (times.exactly, times.at_least, times.at_most)
        if bound is not None
        for edge in (bound - 1, bound)
        if 0 <= edge < count
    }
    # An answer can only turn where a count crosses a bound.
    return max((edge for edge in edges if holds(edge) != now), default=None)


def _buckets_that_matter(
    facts: TimedFacts, event: str, since: dt.timedelta, times: Times
) -> Iterator[dt.datetime]:
    """When a day leaves the window and the count then answers otherwise than before."""
    begin = (facts.now - since - EPOCH) // DAY
    held = sorted((day, n) for day, n in facts.days(event).items() if day >= begin)
    count, holds = sum(n for _, n in held), often(times)
    for day, n in held:
        before, count = count, count - n
        if holds(before) != holds(count):
            yield EPOCH + (day + 1) * DAY + since


def _around(at: dt.datetime | None, dates: Occasion | Comparison) -> Iterator[dt.datetime]:
    """The instants at which what is asked of ``at`` turns, each with the one right after it."""
    if at is None:
        return
    spans = [-one for one in (dates.before, dates.after) if isinstance(one, dt.timedelta)]
    if dates.within_last is not None:
        spans += [dt.timedelta(), dates.within_last]
    if dates.within_next is not None:
        spans += [-dates.within_next, dt.timedelta()]
    for span in spans:
        try:
            yield from (at + span, at + span + TICK)
        except OverflowError:  # Beyond the calendar nobody looks.
            continue


def _returns(value: object, facts: TimedFacts, within: int) -> Iterator[dt.datetime]:
    """The mornings on which an anniversary comes into sight, and the ones after it."""
    zone = facts.zone
    born = day_of_year(value, zone)
    if born is None:
        return
    this = facts.now.astimezone(zone).year
    for year in range(this - 1, this + 3):
        day = in_year(year, *born)
        for morning in (day - within * DAY, day + DAY):
            yield local_instant(morning, dt.time(), zone)


def _as_the_score_fades(
    facts: TimedFacts, tests: list[Callable[[float], bool]]
) -> Iterator[dt.datetime]:
    """For each bound the instant at which the decaying score crosses it, to the second."""
    if facts.half_life is None:
        return
    try:
        end = facts.now + HALVINGS_LOOKED_AHEAD * facts.half_life
    except OverflowError:
        return
    for test in tests:
        answer = test(facts.score)
        if test(facts.later(end).score) == answer:
            continue
        low, high = facts.now, end
        while high - low > dt.timedelta(seconds=1):
            middle = low + (high - low) / 2
            low, high = (
                (middle, high) if test(facts.later(middle).score) == answer else (low, middle)
            )
        yield high
