"""Conditions that can never hold, or always do, whatever a contact may be or do.

It looks for what contradicts itself within one part and among parts that must all hold. What it
says is certain; that it says nothing proves nothing.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from chappe.journey.conditions import (
    All,
    AnyOf,
    Clicked,
    Comparison,
    Condition,
    ConsentIs,
    Did,
    First,
    Last,
    Max,
    Not,
    Occasion,
    Opened,
    PathsAre,
    ScoreIs,
    Sum,
    Times,
    TopicIs,
    bounds_of,
)
from chappe.journey.predicates import event_filter, often
from chappe.journey.values import money, number

_ORDER = ("at_least", "at_most", "more_than", "less_than")


def never(condition: Condition) -> str | None:
    """Why it can never hold; None when nothing speaks against it."""
    match condition:
        case All(all_=parts):
            return _first(never(part) for part in parts) or _at_odds(list(_joined(parts)))
        case AnyOf(any_=parts):
            reasons = [never(part) for part in parts]
            return None if None in reasons else reasons[0]
        case Not(not_=part):
            return always(part)
        case PathsAre(root=paths):
            return _first(_empty(path, one) for path, one in paths.items())
        case Did(did=name, times=times):
            return _no_count(times, f"{name} as often")
        case First(first=name, at=at) | Last(last=name, at=at):
            return _no_moment(at, f"the time of {name}") or _ahead(at, name)
        case Opened(opened=times, of_last=last):
            return _no_count(times, f"so many of the last {last} opened", last)
        case Clicked(clicked=times, of_last=last):
            return _no_count(times, f"so many of the last {last} clicked", last)
        case ScoreIs(score=bounds):
            return _no_size([(n, getattr(bounds, n)) for n in _ORDER], "the score")
        case Sum(of=name) | Max(of=name):
            given = [(n, getattr(condition, n)) for n, _ in bounds_of(condition)]
            return _no_size(given, f"what is counted of {name}")
        case _:
            return None


def always(condition: Condition) -> str | None:
    """Why it always holds; None when it may not."""
    match condition:
        case All(all_=parts):
            reasons = [always(part) for part in parts]
            return None if None in reasons else reasons[0]
        case AnyOf(any_=parts):
            return _first(always(part) for part in parts)
        case Not(not_=part):
            return never(part)
        case Did(did=name, times=Times(exactly=None, at_least=least, at_most=None)) if not least:
            return f"everybody did {name} at least 0 times"
        case _:
            return None


def _first(reasons: Iterable[str | None]) -> str | None:
    return next((reason for reason in reasons if reason is not None), None)


def _joined(parts: Iterable[Condition]) -> Iterator[Condition]:
    """All that must hold together, lists of lists made flat."""
    for part in parts:
        if isinstance(part, All):
            yield from _joined(part.all_)
        else:
            yield part


def _at_odds(parts: list[Condition]) -> str | None:
    """Why parts that may each hold cannot all hold."""
    for part in parts:
        if isinstance(part, Not) and part.not_ in parts:
            return "something is asked for together with its contrary"
    states: dict[tuple[str, str], str] = {}
    values: dict[str, list[Comparison]] = {}
    for part in parts:
        match part:
            case ConsentIs(consent=held):
                said = [(("consent", channel), str(state)) for channel, state in held.items()]
            case TopicIs(topic=held):
                said = [(("topic", name), str(state)) for name, state in held.items()]
            case PathsAre(root=paths):
                said = []
                for path, one in paths.items():
                    values.setdefault(path, []).append(one)
            case _:
                said = []
        for key, state in said:
            if states.setdefault(key, state) != state:
                return f"{' '.join(key)} cannot be {states[key]} and {state} at once"
    return _first(
        _together(path, asked) for path, asked in values.items() if not path.startswith("entry.")
    )


def _together(path: str, asked: list[Comparison]) -> str | None:
    """Several comparisons of one value: a wanted value must pass the others."""
    if len(asked) == 1:
        return None
    if len({one.exists for one in asked}) > 1:
        return f"{path} cannot be there and be missing"
    fixed = [one for one in asked if _wanted(one)]
    for one in fixed:
        if not any(all(_passes(value, other) for other in asked) for value in _wanted(one)):
            return f"{path} cannot be all that is asked of it at once"
    bounds = [(n, getattr(one, n)) for one in asked for n in _ORDER]
    return _no_size(bounds, path)


def _empty(path: str, one: Comparison) -> str | None:
    """Why no value at a path can pass one comparison."""
    if not one.exists:
        alone = one.model_fields_set == {"exists"}
        return None if alone else f"{path} is to be missing and to be compared"
    wanted = _wanted(one)
    if wanted and not any(_passes(value, one) for value in wanted):
        return f"{path} cannot be {' or '.join(map(repr, wanted))} and pass the rest"
    return _no_size([(n, getattr(one, n)) for n in _ORDER], path) or _no_moment(one, path)


def _wanted(one: Comparison) -> list[Any]:
    """The only values that can pass, where they are named. Money may also be meant as a price."""
    given = one.model_fields_set
    found = [one.is_] if "is_" in given else list(one.in_) if "in_" in given else []
    return [] if any(money(value) is not None for value in found) else found


def _passes(value: Any, one: Comparison) -> bool:
    """Whether a value passes the parts of a comparison that do not look at the clock."""
    if not one.exists:
        return False
    return event_filter({"event.value": one})({"value": value})


def _no_count(times: Times, what: str, most: int | None = None) -> str | None:
    answers = often(times)
    given = [n for n in (times.exactly, times.at_least, times.at_most) if n is not None]
    # Where a count passes at all, one at a bound or beside it does.
    tried = {0, *given, *(n + 1 for n in given), *(n - 1 for n in given if n)}
    if any(answers(n) for n in tried if most is None or n <= most):
        return None
    return f"nobody can have {what}"


def _no_size(bounds: list[tuple[str, Any]], what: str) -> str | None:
    """Bounds that leave nothing between them."""
    sizes = [(name, *_sized(bound)) for name, bound in bounds if bound is not None]
    if len({unit for _, _, unit in sizes}) > 1:
        return f"{what} is in one currency, or in none"
    low = max((size for name, size, _ in sizes if name in ("at_least", "more_than")), default=None)
    high = min((size for name, size, _ in sizes if name in ("at_most", "less_than")), default=None)
    if low is None or high is None or low < high:
        return None
    open_ended = any(
        name in ("more_than", "less_than") and size in (low, high) for name, size, _ in sizes
    )
    if low == high and not open_ended:
        return None
    return f"{what} cannot be as large and as small as that"


def _sized(bound: Any) -> tuple[Any, str]:
    priced = money(bound)
    return priced if priced is not None else (number(bound), "")


def _no_moment(dates: Occasion | Comparison, what: str) -> str | None:
    """Moments that leave none between them: looked at from some day, for spans move with it."""
    now = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    place: Callable[[dt.datetime | dt.timedelta], tuple[bool, Any]] = lambda one: (  # noqa: E731
        (True, now + one) if isinstance(one, dt.timedelta) else (False, one)
    )
    after = [place(dates.after)] if dates.after is not None else []
    before = [place(dates.before)] if dates.before is not None else []
    if dates.within_last is not None:
        after, before = [*after, (True, now - dates.within_last)], [*before, (True, now)]
    if dates.within_next is not None:
        after, before = [*after, (True, now)], [*before, (True, now + dates.within_next)]
    for moves, low in after:
        for also, high in before:
            if moves == also and low > high:
                return f"{what} cannot be after and before that"
    return None


def _ahead(at: Occasion, name: str) -> str | None:
    if isinstance(at.after, dt.timedelta) and at.after >= dt.timedelta():
        return f"{name} cannot have happened in the future"
    return None
