"""What can never hold is said where it stands; that nothing else is, the agreement test shows."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from chappe.journey import Condition, JourneyInvalidError, read_journey
from chappe.journey.sense import always, never

_parse: TypeAdapter[Any] = TypeAdapter(Condition)

NEVER: list[tuple[Any, str | None]] = [
    ({"contact.age": {"at_least": 30, "less_than": 30}}, "as large and as small"),
    ({"contact.age": {"is": 20, "at_least": 30}}, "cannot be 20 and pass the rest"),
    ({"contact.city": {"is": "Lyon", "not": "Lyon"}}, "cannot be 'Lyon'"),
    ({"contact.city": {"in": ["Lyon"], "starts_with": "P"}}, "pass the rest"),
    ({"contact.city": {"exists": False, "is": "Lyon"}}, "missing and to be compared"),
    ({"event.total": {"at_least": "20 EUR", "at_most": "30 USD"}}, "in one currency"),
    ({"contact.renews": {"after": "2026-12-24", "before": "2026-12-01"}}, "after and before"),
    ({"contact.renews": {"within_next": "7d", "before": "now"}}, None),
    ({"contact.renews": {"after": "+3d", "before": "-3d"}}, "after and before"),
    ({"all": [{"contact.plan": "pro"}, {"contact.plan": "team"}]}, "all that is asked"),
    ({"all": [{"contact.x": {"exists": False}}, {"contact.x": 1}]}, "be there and be missing"),
    ({"all": [{"tag": "vip"}, {"all": [{"not": {"tag": "vip"}}]}]}, "its contrary"),
    ({"all": [{"consent": "subscribed"}, {"consent": "pending"}]}, "consent email cannot be"),
    ({"all": [{"topic": {"a": "subscribed"}}, {"topic": {"a": "unsubscribed"}}]}, "topic a"),
    ({"all": [{"score": {"at_least": 5}}, {"contact.a": {"in": [1], "at_least": 2}}]}, "pass"),
    ({"any": [{"score": {"more_than": 5, "less_than": 5}}, {"tag": "x"}]}, None),
    ({"any": [{"score": {"more_than": 5, "less_than": 5}}]}, "the score"),
    ({"did": "order.placed", "times": {"at_least": 3, "at_most": 2}}, "nobody can have"),
    ({"did": "order.placed", "times": {"exactly": 3, "at_least": 4}}, "nobody can have"),
    ({"last": "order.placed", "at": {"after": "now"}}, "in the future"),
    ({"opened": {"at_least": 6}, "of_last": 5}, "so many of the last 5"),
    ({"clicked": {"exactly": 5}, "of_last": 5}, None),
    ({"sum": "event.total", "of": "order.placed", "at_least": 9, "less_than": 9}, "as large"),
    ({"not": {"did": "order.placed", "times": {"at_least": 0}}}, "at least 0 times"),
    ({"contact.city": {"in": ["Lyon", "Nice"], "starts_with": "L"}}, None),
    ({"contact.price": {"is": "20 EUR", "at_least": "10 EUR"}}, None),
]


@pytest.mark.parametrize(("written", "why"), NEVER)
def test_what_can_never_hold_is_said_with_its_reason(written: Any, why: str | None) -> None:
    said = never(_parse.validate_python(written))
    if why is None:
        assert said is None
    else:
        assert said is not None
        assert why in said


def test_what_always_holds_is_seen_through_what_combines() -> None:
    everybody = {"did": "order.placed", "times": {"at_least": 0}}
    for written in (everybody, {"any": [{"tag": "x"}, everybody]}, {"all": [everybody]}):
        assert always(_parse.validate_python(written)) is not None
    for written in ({"tag": "x"}, {"all": [{"tag": "x"}, everybody]}, {"not": everybody}):
        assert always(_parse.validate_python(written)) is None


SENSELESS = """\
schema: 1
journey: j
trigger: {event: custom.a, where: {event.n: {more_than: 5, less_than: 3}}}
entry: {filter: {all: [{tag: a}, {not: {tag: a}}]}}
exit:
  - {when: {score: {at_least: 5, at_most: 4}}}
  - {event: order.placed, where: {event.n: {is: 1, in: [2]}}}
goal: {event: order.placed, within: 1d, where: {event.n: {exists: false, is: 1}}}
steps:
  - branch:
      - when: {did: order.placed, times: {exactly: 2, at_most: 1}}
        then: [{exit: a}]
  - wait: {for: {when: {last: order.placed, at: {after: +1d}}}, at_most: 1d}
  - wait:
      for:
        - {event: custom.b, where: {event.n: {at_least: 2, at_most: 1}}}
      at_most: 1d
"""


def test_each_place_says_what_it_means_that_it_never_holds() -> None:
    with pytest.raises(JourneyInvalidError) as refused:
        read_journey(SENSELESS)
    said = refused.value.complaints
    assert [(one.line, one.path, one.what.partition(":")[0]) for one in said] == [
        (3, "trigger.where", "nobody would enter"),
        (4, "entry.filter", "nobody would enter"),
        (6, "exit[0].when", "can never match"),
        (7, "exit[1].where", "can never match"),
        (8, "goal.where", "can never be reached"),
        (11, "steps[0].branch[0].when", "nobody would go this way"),
        (13, "steps[1].wait.for.when", "is waited for in vain"),
        (16, "steps[2].wait.for[0].where", "is waited for in vain"),
    ]
