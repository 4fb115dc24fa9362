"""Turn a condition into a function of what is known; built once, when a journey is compiled.

What each operator answers, also to what is missing or of another type, stands in the table of
``chappe.journey.conditions``; ``chappe.journey.sql`` answers the same in Postgres.
"""

import datetime as dt
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter
from typing import Any, Literal, Protocol, TypeAlias

from chappe.journey.calendar import DAY, LEAP_YEAR, in_year
from chappe.journey.conditions import (
    PROFILE_WINDOW,
    SPENT_PATH,
    All,
    AnyOf,
    Clicked,
    Comparison,
    Condition,
    ConsentIs,
    Did,
    First,
    InSegment,
    Last,
    Max,
    Not,
    Occasion,
    Opened,
    PathsAre,
    ScoreBounds,
    ScoreIs,
    Sum,
    Tagged,
    Times,
    TopicIs,
    bounds_of,
    parts_of,
)
from chappe.journey.history import Answer, Query, query_of
from chappe.journey.values import (
    DATE_LENGTH,
    Money,
    amount,
    as_list,
    as_mapping,
    instant,
    money,
    number,
    walk,
)


class Facts(Protocol):
    """What a condition may look at. Paths are rooted in the three mappings.

    All but ``past`` comes from the profile and the enrollment at hand.
    """

    @property
    def event(self) -> Mapping[str, Any]: ...
    @property
    def contact(self) -> Mapping[str, Any]: ...
    @property
    def entry(self) -> Mapping[str, Any]: ...
    @property
    def now(self) -> dt.datetime: ...
    @property
    def zone(self) -> dt.tzinfo:
        """Where the contact lives."""
        ...

    @property
    def score(self) -> float:
        """As it has decayed until now; 0 without one."""
        ...

    def times(self, event: str, since: dt.timedelta | Literal["entry"] | None) -> int:
        """How often the contact did ``event``."""
        ...

    def occasion(self, event: str, which: Literal["first", "last"]) -> dt.datetime | None:
        """When the contact first or last did ``event``."""
        ...

    def spent(self, event: str, currency: str, how: Literal["sum", "max"]) -> Decimal | None:
        """The sum or the largest of ``event.total`` ever, in one currency."""
        ...

    def engaged(self, how: Literal["opened", "clicked"], of_last: int) -> int:
        """How many of the last mails that were accepted were opened or clicked by a person."""
        ...

    def consent(self, channel: str) -> str:
        """The state held for ``channel``, or ``unknown``."""
        ...

    def topic(self, name: str) -> str:
        """``unsubscribed`` once opted out of, else ``subscribed``."""
        ...

    def segment(self, name: str) -> bool:
        """True for a member."""
        ...

    def past(self, query: Query) -> Answer:
        """What the profile cannot answer. Raises ``HistoryWantedError`` when it was not asked."""
        ...


_MONTH_DAY = re.compile(r"(?:--)?([0-9]{2})-([0-9]{2})")

Predicate: TypeAlias = Callable[[Facts], bool]
Filter: TypeAlias = Callable[[Mapping[str, Any]], bool]
_Test: TypeAlias = Callable[[Any], bool]
_DatedTest: TypeAlias = Callable[[Any, Facts], bool]


@dataclass(frozen=True, slots=True)
class Check:
    """A condition ready to be asked, and able to say what it looked at.

    ``needs_history`` are the questions that the profile cannot answer; ``events`` the names whose
    happening may change the answer; ``segments`` the segments it looks at; ``of_contact``: whether
    what we hold of the contact may change it; ``timed``: whether time alone may.
    """

    condition: Condition
    holds: Predicate
    needs_history: tuple[Query, ...] = ()
    events: frozenset[str] = field(default_factory=frozenset[str])
    segments: frozenset[str] = field(default_factory=frozenset[str])
    of_contact: bool = False
    timed: bool = False

    def seen(self, facts: Facts) -> dict[str, Any]:
        """The values behind the answer, for the journal."""
        found: dict[str, Any] = {}
        _look(self.condition, facts, found)
        return found


def check(condition: Condition) -> Check:
    """Compile a condition."""
    nodes = list(nodes_of(condition))
    return Check(
        condition,
        _compile(condition),
        tuple(dict.fromkeys(query for node in nodes for query in _queries(node))),
        frozenset(name for node in nodes for name in _events(node)),
        frozenset(node.segment for node in nodes if isinstance(node, InSegment)),
        any(_is_of_contact(node) for node in nodes),
        any(moves_with_time(node) for node in nodes),
    )


def event_filter(where: Mapping[str, Comparison] | tuple[tuple[str, Comparison], ...]) -> Filter:
    """What an event's own data must be, as a function of that data."""
    pairs = where.items() if isinstance(where, Mapping) else where
    tests = [(path.split(".")[1:], _timeless(comparison)) for path, comparison in pairs]

    def takes(data: Mapping[str, Any]) -> bool:
        return all(test(walk(data, keys)) for keys, test in tests)

    return takes


def read_path(facts: Facts, path: str) -> Any:
    """The value at a rooted path; None when any part of it is missing."""
    root, *keys = path.split(".")
    return walk(getattr(facts, root), keys)


def reading(node: Sum | Max) -> tuple[Query, bool]:
    """What a total asks, and whether the profile's own sums answer it."""
    currency = bounds_of(node)[0][1]
    kept = node.since is None and not node.where and currency is not None
    path = node.sum if isinstance(node, Sum) else node.max
    return query_of(node, currency), kept and path == SPENT_PATH


def asks_history(node: Did) -> bool:
    """True when the profile's counters cannot count it."""
    if node.where:
        return True
    return isinstance(node.since, dt.timedelta) and node.since > PROFILE_WINDOW


# -- nodes ------------------------------------------------------------------------------------


def _compile(condition: Condition) -> Predicate:
    match condition:
        case All(all_=parts):
            return _every([_compile(part) for part in parts])
        case AnyOf(any_=parts):
            return _some([_compile(part) for part in parts])
        case Not(not_=part):
            holds = _compile(part)
            return lambda facts: not holds(facts)
        case PathsAre(root=paths):
            return _every([_compare(path, comparison) for path, comparison in paths.items()])
        case Did():
            return _did(condition)
        case First() | Last():
            return _occasion(condition)
        case Sum() | Max():
            return _total(condition)
        case Opened() | Clicked():
            return _engaged(condition)
        case _:
            return _held(condition)


def _every(parts: list[Predicate]) -> Predicate:
    if len(parts) == 1:
        return parts[0]

    def every(facts: Facts) -> bool:
        for holds in parts:  # noqa: SIM110 - a generator costs as much as what it asks
            if not holds(facts):
                return False
        return True

    return every


def _some(parts: list[Predicate]) -> Predicate:
    def some(facts: Facts) -> bool:
        for holds in parts:  # noqa: SIM110 - a generator costs as much as what it asks
            if holds(facts):
                return True
        return False

    return some


def _held(condition: Tagged | ScoreIs | InSegment | ConsentIs | TopicIs) -> Predicate:
    """What we hold of a contact besides its attributes and its past."""
    match condition:
        case Tagged(tag=tags):
            wanted = frozenset(tags)
            return lambda facts: any(
                isinstance(tag, str) and tag in wanted
                for tag in as_list(facts.contact.get("tags")) or ()
            )
        case ScoreIs(score=bounds):
            tests = size_tests(bounds)
            return lambda facts: all(test(facts.score) for test in tests)
        case InSegment(segment=name):
            return lambda facts: facts.segment(name)
        case ConsentIs(consent=channels):
            states = list(channels.items())
            return lambda facts: all(facts.consent(channel) == state for channel, state in states)
        case TopicIs(topic=topics):
            held = list(topics.items())
            return lambda facts: all(facts.topic(topic) == state for topic, state in held)


def _did(node: Did) -> Predicate:
    answers = often(node.times)
    if asks_history(node):
        query = query_of(node)
        return lambda facts: answers(facts.past(query) or 0)
    name, since = node.did, node.since
    return lambda facts: answers(facts.times(name, since))


def often(times: Times) -> Callable[[int | Decimal], bool]:
    """What ``times`` says of a count."""
    exactly, least, most = times.exactly, times.at_least, times.at_most
    if exactly is None and most is None:
        return lambda count: count >= (least or 0)

    def answers(count: int | Decimal) -> bool:
        return (
            (exactly is None or count == exactly)
            and (least is None or count >= least)
            and (most is None or count <= most)
        )

    return answers


def _occasion(node: First | Last) -> Predicate:
    name = node.first if isinstance(node, First) else node.last
    which: Literal["first", "last"] = "first" if isinstance(node, First) else "last"
    tests = _moments(node.at)

    def holds(facts: Facts) -> bool:
        at = facts.occasion(name, which)
        return at is not None and all(test(at, facts.now) for test in tests)

    return holds


def _total(node: Sum | Max) -> Predicate:
    query, kept = reading(node)
    currency, event, how = query.currency or "", query.event, query.kind
    bounds = [(_ORDERED[name], _bound(getattr(node, name))) for name, _ in bounds_of(node)]

    def holds(facts: Facts) -> bool:
        if kept:
            size: Answer = facts.spent(event, currency, "sum" if how == "sum" else "max")
        else:
            size = facts.past(query)
        if size is None:
            if how == "max":
                return False
            size = 0
        return all(ordered(size, bound) for ordered, bound in bounds)

    return holds


def _bound(written: Any) -> Decimal:
    priced = money(written)
    return priced[0] if priced else number(written) or Decimal(0)


def _engaged(node: Opened | Clicked) -> Predicate:
    how: Literal["opened", "clicked"] = "opened" if isinstance(node, Opened) else "clicked"
    answers = often(node.opened if isinstance(node, Opened) else node.clicked)
    last = node.of_last
    return lambda facts: answers(facts.engaged(how, last))


# -- comparisons ------------------------------------------------------------------------------


def _compare(path: str, comparison: Comparison) -> Predicate:
    root, *keys = path.split(".")
    root_of = attrgetter(root)
    given = comparison.model_fields_set
    tests = _tests(comparison)
    dated = _dated(comparison)
    if not comparison.exists:
        alone = not tests and not dated
        return lambda facts: walk(root_of(facts), keys) is None and alone
    if given == {"is_"} and len(keys) == 1:
        test, key = tests[0], keys[0]
        return lambda facts: test(root_of(facts).get(key))

    def holds(facts: Facts) -> bool:
        value = walk(root_of(facts), keys)
        if value is None:
            return False
        for test in tests:
            if not test(value):
                return False
        return all(test(value, facts) for test in dated)

    return holds


def _timeless(comparison: Comparison) -> _Test:
    tests = [*_tests(comparison), *map(_fixed, _absolute(comparison))]
    if not comparison.exists:
        return lambda value: value is None and not tests
    return lambda value: value is not None and all(test(value) for test in tests)


def _tests(comparison: Comparison) -> list[_Test]:
    given = comparison.model_fields_set
    found = [_PLAIN[name](getattr(comparison, name)) for name in _PLAIN if name in given]
    return found + size_tests(comparison)


def _dated(comparison: Comparison) -> list[_DatedTest]:
    """The operators that look at a date."""
    tests = _moments(comparison)
    found: list[_DatedTest] = []
    if tests:

        def holds(value: Any, facts: Facts) -> bool:
            at = instant(value)
            return at is not None and all(test(at, facts.now) for test in tests)

        found.append(holds)
    if (within := comparison.anniversary) is not None:
        found.append(lambda value, facts: _returns(value, facts.now, facts.zone, within))
    return found


def _absolute(comparison: Comparison) -> list[Callable[[dt.datetime], bool]]:
    found: list[Callable[[dt.datetime], bool]] = []
    if isinstance(before := comparison.before, dt.datetime):
        found.append(lambda at: at < before)
    if isinstance(after := comparison.after, dt.datetime):
        found.append(lambda at: at > after)
    return found


def _fixed(test: Callable[[dt.datetime], bool]) -> _Test:
    def holds(value: Any) -> bool:
        at = instant(value)
        return at is not None and test(at)

    return holds


def _moments(dates: Occasion | Comparison) -> list[Callable[[dt.datetime, dt.datetime], bool]]:
    """Tests of an instant against now."""
    found: list[Callable[[dt.datetime, dt.datetime], bool]] = []
    if (before := dates.before) is not None:
        limit = _moment(before)
        found.append(lambda at, now: at < limit(now))
    if (after := dates.after) is not None:
        since = _moment(after)
        found.append(lambda at, now: at > since(now))
    if (last := dates.within_last) is not None:
        found.append(lambda at, now: now - last <= at <= now)
    if (ahead := dates.within_next) is not None:
        found.append(lambda at, now: now <= at <= now + ahead)
    return found


def _moment(written: dt.datetime | dt.timedelta) -> Callable[[dt.datetime], dt.datetime]:
    if isinstance(written, dt.datetime):
        return lambda _: written
    return lambda now: now + written


def _returns(value: Any, now: dt.datetime, zone: dt.tzinfo, within: int) -> bool:
    """The day of the year of ``value`` is today or in the days after, where ``zone`` is."""
    day = day_of_year(value, zone)
    if day is None:
        return False
    today = now.astimezone(zone).date()
    return any(
        today <= in_year(today.year + later, *day) <= today + within * DAY for later in (0, 1)
    )


def day_of_year(value: Any, zone: dt.tzinfo) -> tuple[int, int] | None:
    """Month and day of a date that returns each year; a year may be missing (``--02-29``).

    A time with a zone is a day where the contact lives; any other is the day as it is written.
    """
    at = instant(value)
    if at is not None:
        if len(value) > DATE_LENGTH and (value[-1] == "Z" or value[-6] in "+-"):
            at = at.astimezone(zone)
        return at.month, at.day
    short = _MONTH_DAY.fullmatch(value) if isinstance(value, str) else None
    if short is None:
        return None
    try:
        day = dt.date(LEAP_YEAR, int(short[1]), int(short[2]))
    except ValueError:
        return None
    return day.month, day.day


def size_tests(bounds: ScoreBounds | Comparison) -> list[_Test]:
    """A test for each bound that is given."""
    given = bounds.model_fields_set
    return [_sized(name, getattr(bounds, name)) for name in _ORDERED if name in given]


def _sized(name: str, bound: Any) -> _Test:
    ordered = _ORDERED[name]
    wanted = money(bound) or number(bound)

    def of_numbers(value: Any) -> bool:
        found = number(value)
        return found is not None and ordered(found, wanted)

    if not isinstance(wanted, tuple):
        if type(bound) is int:

            def of_integers(value: Any) -> bool:
                return ordered(value, bound) if type(value) is int else of_numbers(value)

            return of_integers
        return of_numbers
    size, currency = wanted

    def of_money(value: Any) -> bool:
        found = _priced(value)
        return found is not None and found[1] == currency and ordered(found[0], size)

    return of_money


def _priced(value: Any) -> Money | None:
    held = as_mapping(value)
    if held is None:
        return None
    size, currency = amount(held.get("amount")), held.get("currency")
    return (size, currency) if size is not None and isinstance(currency, str) else None


def _same(wanted: Any) -> _Test:
    if isinstance(wanted, str):
        priced = money(wanted)
        if priced is not None:
            return lambda value: value == wanted or _priced(value) == priced
        return lambda value: value == wanted
    if isinstance(wanted, bool):
        # In Python 1 == True; in a journey a number is not an answer to a yes or no.
        return lambda value: value is wanted
    size = number(wanted)
    return lambda value: size is not None and number(value) == size


def _differs(wanted: Any) -> _Test:
    same = _same(wanted)
    return lambda value: not same(value)


def _among(wanted: Any) -> _Test:
    tests = [_same(one) for one in wanted]
    return lambda value: any(test(value) for test in tests)


def _not_among(wanted: Any) -> _Test:
    among = _among(wanted)
    return lambda value: not among(value)


def _contains(wanted: Any) -> _Test:
    same = _same(wanted)

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return isinstance(wanted, str) and wanted in value
        return any(same(one) for one in as_list(value) or ())

    return test


def _starts(wanted: Any) -> _Test:
    return lambda value: isinstance(value, str) and value.startswith(wanted)


_PLAIN: dict[str, Callable[[Any], _Test]] = {
    "is_": _same,
    "not_": _differs,
    "in_": _among,
    "not_in": _not_among,
    "contains": _contains,
    "starts_with": _starts,
}

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "more_than": operator.gt,
    "less_than": operator.lt,
}


# -- what a condition looks at ------------------------------------------------------------------


def nodes_of(condition: Condition) -> Iterator[Condition]:
    """The condition and everything inside it."""
    yield condition
    for part in parts_of(condition):
        yield from nodes_of(part)


def _is_of_contact(node: Condition) -> bool:
    match node:
        case PathsAre(root=paths):
            return any(path.startswith("contact.") for path in paths)
        case Tagged() | ScoreIs() | ConsentIs() | TopicIs():
            return True
        case _:
            return False


def moves_with_time(node: Condition) -> bool:
    """Whether the answer of this part, without those inside it, may change by time alone."""
    match node:
        case Did() | Sum() | Max():
            return isinstance(node.since, dt.timedelta)
        case First(at=at) | Last(at=at):
            return _is_relative(at)
        case ScoreIs():
            return True  # It decays where the workspace says so.
        case PathsAre(root=paths):
            return any(
                path == "contact.score" or _is_relative(one) or one.anniversary is not None
                for path, one in paths.items()
            )
        case _:
            return False


def _is_relative(dates: Occasion | Comparison) -> bool:
    spans = (dates.within_last, dates.within_next, dates.before, dates.after)
    return any(isinstance(one, dt.timedelta) for one in spans)


def _queries(node: Condition) -> tuple[Query, ...]:
    match node:
        case Did() if asks_history(node):
            return (query_of(node),)
        case Sum() | Max():
            query, kept = reading(node)
            return () if kept else (query,)
        case _:
            return ()


def _events(node: Condition) -> tuple[str, ...]:
    match node:
        case Did(did=name) | First(first=name) | Last(last=name):
            return (name,)
        case Sum(of=name) | Max(of=name):
            return (name,)
        case Opened():
            return ("email.opened", "email.clicked", "email.accepted", "email.delivered")
        case Clicked():
            return ("email.clicked", "email.accepted", "email.delivered")
        case _:
            return ()


def _look(condition: Condition, facts: Facts, found: dict[str, Any]) -> None:
    for part in parts_of(condition):
        _look(part, facts, found)
    match condition:
        case PathsAre(root=paths):
            found.update({path: read_path(facts, path) for path in paths})
        case Did() | First() | Last() | Sum() | Max() | Opened() | Clicked():
            _look_at_past(condition, facts, found)
        case Tagged() | ScoreIs() | InSegment() | ConsentIs() | TopicIs():
            _look_at_held(condition, facts, found)
        case All() | AnyOf() | Not():
            pass


def _look_at_past(
    node: Did | First | Last | Sum | Max | Opened | Clicked, facts: Facts, found: dict[str, Any]
) -> None:
    match node:
        case Did(did=name, since=since):
            asks = asks_history(node)
            count = facts.past(query_of(node)) if asks else facts.times(name, since)
            found[f"did {name}"] = count
        case First(first=name):
            found[f"first {name}"] = _shown(facts.occasion(name, "first"))
        case Last(last=name):
            found[f"last {name}"] = _shown(facts.occasion(name, "last"))
        case Sum() | Max():
            _look_at_total(node, facts, found)
        case Opened(of_last=last):
            found[f"opened of last {last}"] = facts.engaged("opened", last)
        case Clicked(of_last=last):
            found[f"clicked of last {last}"] = facts.engaged("clicked", last)


def _look_at_held(
    node: Tagged | ScoreIs | InSegment | ConsentIs | TopicIs, facts: Facts, found: dict[str, Any]
) -> None:
    match node:
        case Tagged():
            found["contact.tags"] = facts.contact.get("tags")
        case ScoreIs():
            found["score"] = facts.score
        case InSegment(segment=name):
            found[f"segment.{name}"] = facts.segment(name)
        case ConsentIs(consent=channels):
            found.update({f"consent.{channel}": facts.consent(channel) for channel in channels})
        case TopicIs(topic=topics):
            found.update({f"topic.{topic}": facts.topic(topic) for topic in topics})


def _look_at_total(node: Sum | Max, facts: Facts, found: dict[str, Any]) -> None:
    query, kept = reading(node)
    how: Literal["sum", "max"] = "sum" if isinstance(node, Sum) else "max"
    size = facts.spent(node.of, query.currency or "", how) if kept else facts.past(query)
    unit = f" {query.currency}" if query.currency else ""
    found[f"{how} of {query.path} in {node.of}"] = None if size is None else f"{size}{unit}"


def _shown(at: dt.datetime | None) -> str | None:
    return at.isoformat() if at else None
