"""Turn a condition into a function of what is known; built once, when a journey is compiled."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Protocol, TypeAlias

from chappe.journey.conditions import (
    All,
    AnyOf,
    Comparison,
    Condition,
    ConsentIs,
    Did,
    Not,
    PathsAre,
    Times,
)
from chappe.journey.values import Money, as_list, as_mapping, money


class Facts(Protocol):
    """What a condition may look at. Paths are rooted in the three mappings."""

    @property
    def event(self) -> Mapping[str, Any]: ...
    @property
    def contact(self) -> Mapping[str, Any]: ...
    @property
    def entry(self) -> Mapping[str, Any]: ...

    def times(self, event: str, since: dt.timedelta | Literal["entry"] | None) -> int:
        """How often the contact did ``event``."""
        ...

    def consent(self, channel: str) -> str:
        """The state held for ``channel``, or ``unknown``."""
        ...


Predicate: TypeAlias = Callable[[Facts], bool]
_Test: TypeAlias = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Check:
    """A condition ready to be asked, and able to say what it looked at."""

    condition: Condition
    holds: Predicate

    def seen(self, facts: Facts) -> dict[str, Any]:
        """The values behind the answer, for the journal."""
        found: dict[str, Any] = {}
        _look(self.condition, facts, found)
        return found


def check(condition: Condition) -> Check:
    """Compile a condition."""
    return Check(condition, _compile(condition))


def read_path(facts: Facts, path: str) -> Any:
    """The value at a rooted path; None when any part of it is missing."""
    root, *keys = path.split(".")
    return _walk(getattr(facts, root), keys)


def _walk(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if (mapping := as_mapping(value)) is not None:
            value = mapping.get(key)
        elif (items := as_list(value)) is not None:
            # isdecimal is true of other scripts' digits too; int reads them all.
            index = int(key[:9]) if key.isdecimal() else len(items)
            value = items[index] if index < len(items) else None
        else:
            return None
    return value


def _compile(condition: Condition) -> Predicate:
    match condition:
        case All(all_=parts):
            every = [_compile(part) for part in parts]
            return lambda facts: all(holds(facts) for holds in every)
        case AnyOf(any_=parts):
            some = [_compile(part) for part in parts]
            return lambda facts: any(holds(facts) for holds in some)
        case Not(not_=part):
            holds = _compile(part)
            return lambda facts: not holds(facts)
        case Did(did=name, times=times, since=since):
            return lambda facts: _often(facts.times(name, since), times)
        case ConsentIs(consent=channels):
            states = list(channels.items())
            return lambda facts: all(facts.consent(channel) == state for channel, state in states)
        case PathsAre(root=paths):
            compared = [_compare(path, comparison) for path, comparison in paths.items()]
            return lambda facts: all(holds(facts) for holds in compared)


def _often(count: int, times: Times) -> bool:
    return (
        (times.exactly is None or count == times.exactly)
        and (times.at_least is None or count >= times.at_least)
        and (times.at_most is None or count <= times.at_most)
    )


def _compare(path: str, comparison: Comparison) -> Predicate:
    root, *keys = path.split(".")
    given = comparison.model_fields_set
    tests = [_TESTS[name](getattr(comparison, name)) for name in sorted(given - {"exists"})]
    wanted = comparison.exists

    def holds(facts: Facts) -> bool:
        value = _walk(getattr(facts, root), keys)
        if value is None or not wanted:
            return value is None and not wanted and not tests
        return all(test(value) for test in tests)

    return holds


def _amount(value: Any) -> Decimal | Money | None:
    """A number, or an amount with its currency; anything else has no size."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Decimal(str(value))
    if (priced := as_mapping(value)) is not None:
        amount, currency = priced.get("amount"), priced.get("currency")
        if not isinstance(amount, str | int | float) or not isinstance(currency, str):
            return None
        try:
            return Decimal(str(amount)), currency
        except InvalidOperation:
            return None
    return None


def _sized(holds: Callable[[Decimal, Decimal], bool]) -> Callable[[Any], _Test]:
    def against(bound: Any) -> _Test:
        wanted = money(bound) or _amount(bound)

        def test(value: Any) -> bool:
            found = _amount(value)
            if isinstance(wanted, Decimal) and isinstance(found, Decimal):
                return holds(found, wanted) if found.is_finite() else False
            if isinstance(wanted, tuple) and isinstance(found, tuple) and found[0].is_finite():
                return found[1] == wanted[1] and holds(found[0], wanted[0])
            return False

        return test

    return against


def _same(wanted: Any) -> _Test:
    priced = money(wanted)
    if priced is not None:
        return lambda value: value == wanted or _amount(value) == priced
    truth = isinstance(wanted, bool)
    # In Python 1 == True; in a journey a number is not an answer to a yes or no.
    return lambda value: isinstance(value, bool) == truth and value == wanted


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


_TESTS: dict[str, Callable[[Any], _Test]] = {
    "is_": _same,
    "not_": _differs,
    "in_": _among,
    "not_in": _not_among,
    "contains": _contains,
    "at_least": _sized(lambda found, bound: found >= bound),
    "at_most": _sized(lambda found, bound: found <= bound),
    "more_than": _sized(lambda found, bound: found > bound),
    "less_than": _sized(lambda found, bound: found < bound),
}


def _look(condition: Condition, facts: Facts, found: dict[str, Any]) -> None:
    match condition:
        case All(all_=parts) | AnyOf(any_=parts):
            for part in parts:
                _look(part, facts, found)
        case Not(not_=part):
            _look(part, facts, found)
        case Did(did=name, since=since):
            found[f"did {name}"] = facts.times(name, since)
        case ConsentIs(consent=channels):
            found.update({f"consent.{channel}": facts.consent(channel) for channel in channels})
        case PathsAre(root=paths):
            found.update({path: read_path(facts, path) for path in paths})
