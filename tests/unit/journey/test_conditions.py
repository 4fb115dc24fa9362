"""What a condition answers, and that nothing can make it raise."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from chappe.journey import Check, Condition, check
from chappe.journey.predicates import Answer, Query

_parse: TypeAdapter[Any] = TypeAdapter(Condition)


@dataclass
class Facts:
    event: Mapping[str, Any] = field(default_factory=dict[str, Any])
    contact: Mapping[str, Any] = field(default_factory=dict[str, Any])
    entry: Mapping[str, Any] = field(default_factory=dict[str, Any])
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    consents: Mapping[str, str] = field(default_factory=dict[str, str])
    now: dt.datetime = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    zone: dt.tzinfo = dt.UTC
    score: float = 0.0

    def times(self, event: str, since: dt.timedelta | Literal["entry"] | None) -> int:
        return self.counts.get(event if since is None else f"{event} since {since}", 0)

    def consent(self, channel: str) -> str:
        return self.consents.get(channel, "unknown")

    def occasion(self, event: str, which: Literal["first", "last"]) -> dt.datetime | None:
        return None

    def spent(self, event: str, currency: str, how: Literal["sum", "max"]) -> Decimal | None:
        return None

    def engaged(self, how: Literal["opened", "clicked"], of_last: int) -> int:
        return 0

    def topic(self, name: str) -> str:
        return "subscribed"

    def segment(self, name: str) -> bool:
        return False

    def past(self, query: Query) -> Answer:
        raise AssertionError("nothing here asks the history")


def condition(written: Any) -> Check:
    return check(_parse.validate_python(written))


EUR = {"amount": "25.91", "currency": "EUR"}


@pytest.mark.parametrize(
    ("written", "value", "holds"),
    [
        ({"event.x": "fr"}, "fr", True),
        ({"event.x": "fr"}, "FR", False),
        ({"event.x": 1}, True, False),
        ({"event.x": True}, 1, False),
        ({"event.x": 1}, 1.0, True),
        ({"event.x": {"not": "fr"}}, "en", True),
        ({"event.x": {"not": "fr"}}, None, False),
        ({"not": {"event.x": "fr"}}, None, True),
        ({"event.x": {"in": ["a", "b"]}}, "b", True),
        ({"event.x": {"not_in": ["a", "b"]}}, "c", True),
        ({"event.x": {"exists": True}}, 0, True),
        ({"event.x": {"exists": True}}, None, False),
        ({"event.x": {"exists": False}}, None, True),
        ({"event.x": {"at_least": 2}}, 2, True),
        ({"event.x": {"at_least": 2}}, "2", False),
        ({"event.x": {"at_least": 2}}, True, False),
        ({"event.x": {"more_than": 2, "less_than": 4}}, 3.5, True),
        ({"event.x": {"at_most": 2}}, EUR, False),
        ({"event.x": {"at_least": "25.91 EUR"}}, EUR, True),
        ({"event.x": {"at_least": "25.92 EUR"}}, EUR, False),
        ({"event.x": {"at_least": "1 USD"}}, EUR, False),
        ({"event.x": {"at_least": "1 EUR"}}, {"amount": "much", "currency": "EUR"}, False),
        ({"event.x": {"at_least": "1 EUR"}}, {"amount": "NaN", "currency": "EUR"}, False),
        ({"event.x": {"at_most": 5}}, float("nan"), False),
        ({"event.x": "25.910 EUR"}, EUR, True),
        ({"event.x": {"contains": "vip"}}, ["vip", "b2b"], True),
        ({"event.x": {"contains": "vip"}}, "a vip!", True),
        ({"event.x": {"contains": 1}}, "1", False),
        ({"event.x.y.0": 7}, {"y": [7]}, True),
        ({"event.x.y.1": 7}, {"y": [7]}, False),
    ],
)
def test_a_comparison_answers(written: Any, value: Any, holds: bool) -> None:
    assert condition(written).holds(Facts(event={"x": value})) is holds


def test_several_paths_must_all_hold() -> None:
    both = condition({"contact.city": "Lyon", "event.total": {"at_least": "20 EUR"}})
    assert both.holds(Facts(contact={"city": "Lyon"}, event={"total": EUR}))
    assert not both.holds(Facts(contact={"city": "Paris"}, event={"total": EUR}))


def test_all_any_and_not_combine() -> None:
    tree = condition(
        {"any": [{"all": [{"contact.a": 1}, {"contact.b": 2}]}, {"not": {"contact.c": 3}}]}
    )
    assert tree.holds(Facts(contact={"c": 4}))
    assert not tree.holds(Facts(contact={"a": 1, "c": 3}))


def test_did_counts_and_without_times_means_once_at_least() -> None:
    assert condition({"did": "order.placed"}).holds(Facts(counts={"order.placed": 1}))
    assert not condition({"did": "order.placed"}).holds(Facts())
    never = condition({"did": "order.placed", "times": {"exactly": 0}})
    assert never.holds(Facts())
    between = condition({"did": "order.placed", "times": {"at_least": 1, "at_most": 2}})
    assert not between.holds(Facts(counts={"order.placed": 3}))
    since = condition({"did": "order.placed", "since": "entry"})
    assert since.holds(Facts(counts={"order.placed since entry": 1}))
    assert since.seen(Facts()) == {"did order.placed": 0}


def test_consent_is_a_word_for_email_or_one_per_channel() -> None:
    assert condition({"consent": "subscribed"}).holds(Facts(consents={"email": "subscribed"}))
    assert condition({"consent": {"email": "unknown", "sms": "unknown"}}).holds(Facts())


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
literals = st.one_of(
    st.text(max_size=5), st.integers(-5, 5), st.booleans(), st.floats(allow_nan=False),
    st.just("20 EUR"),
)  # fmt: skip
bounds = st.one_of(st.integers(-5, 5), st.floats(allow_nan=False), st.just("20 EUR"))
comparisons = st.one_of(
    literals,
    st.fixed_dictionaries(
        {},
        optional={
            "is": literals,
            "not": literals,
            "in": st.lists(literals, min_size=1, max_size=3),
            "not_in": st.lists(literals, min_size=1, max_size=3),
            "exists": st.booleans(),
            "at_least": bounds,
            "at_most": bounds,
            "more_than": bounds,
            "less_than": bounds,
            "contains": literals,
        },
    ).filter(bool),
)
paths = st.sampled_from(["event.x", "event.x.0", "event.x.amount", "contact.x", "entry.key"])
leaves = st.one_of(
    st.dictionaries(paths, comparisons, min_size=1, max_size=2),
    st.just({"did": "order.placed", "times": {"at_most": 1}}),
    st.just({"consent": "subscribed"}),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=5,
)
money_like = st.fixed_dictionaries({"amount": anything, "currency": st.just("EUR") | anything})


@given(conditions, anything | money_like, anything)
def test_no_value_makes_a_condition_raise(written: Any, value: Any, other: Any) -> None:
    compiled = condition(written)
    facts = Facts(event={"x": value}, contact={"x": other})
    assert compiled.holds(facts) in (True, False)
    compiled.seen(facts)
    assert compiled.holds(Facts()) in (True, False)
