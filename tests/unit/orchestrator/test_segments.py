"""Time alone moves contacts into segments and out of them, by one timer and without polling."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe.events import Flags
from chappe.journey import JourneySettings
from chappe.journey.segments import Segment, arrange_segments
from chappe_orchestrator.domain import Profile, Recheck, arrange
from chappe_orchestrator.domain.facts import Known
from chappe_orchestrator.domain.journeys import policy_of
from chappe_orchestrator.domain.segments import SEGMENTS
from tests.unit.orchestrator.world import NINE, World, small

DAY = dt.timedelta(days=1)
ONE = JourneySettings.model_validate({"zone": "Europe/Paris", "score_half_life": "10d"})

RULES: dict[str, Any] = {
    "silent": {"not": {"did": "order.placed", "since": "30d"}},
    "lapsed": {"last": "order.placed", "at": {"before": "-30d"}},
    "fresh": {"first": "order.placed", "at": {"within_last": "7d"}},
    "busy": {"did": "custom.visit", "times": {"at_least": 3}, "since": "5d"},
    "twice": {"did": "custom.visit", "times": {"exactly": 2}, "since": "5d"},
    "renewing": {"contact.renews": {"within_next": "14d"}},
    "overdue": {"contact.renews": {"before": "now"}},
    "birthday": {"contact.born": {"anniversary": "7d"}},
    "warm": {"score": {"at_least": 20, "less_than": 70}},
    "quiet-buyer": {
        "all": [
            {"did": "order.placed"},
            {"any": [{"not": {"did": "custom.visit", "since": "3d"}}, {"tag": "vip"}]},
        ]
    },
}


def segments(**rules: Any) -> list[Segment]:
    return [
        Segment.model_validate({"schema": 1, "segment": name.replace("_", "-"), "rule": rule})
        for name, rule in rules.items()
    ]


def world(*journeys: Any, **rules: Any) -> World:
    made = World(*journeys, settings={"zone": "Europe/Paris", "score_half_life": "10d"})
    made.journeys = arrange(journeys, policy=policy_of(ONE), segments=segments(**rules))
    return made


def profile_of(world: World) -> Profile:
    return msgspec.json.decode(world.profile, type=Profile)


def told(world: World) -> list[tuple[str, str]]:
    return [
        (fact.name.partition(".")[2], fact.data["segment"])
        for fact in world.facts
        if fact.name.startswith("segment.")
    ]


# -- time alone ---------------------------------------------------------------------------------


def test_whoever_has_not_ordered_for_thirty_days_leaves_without_another_event() -> None:
    one = world(buyers={"did": "order.placed", "since": "30d"})
    one.hear("order.placed")
    assert told(one) == [("entered", "buyers")]
    one.advance(days=30)
    assert told(one) == [("entered", "buyers")]
    one.advance(days=1)
    assert told(one) == [("entered", "buyers"), ("left", "buyers")]
    assert profile_of(one).segments == []
    assert one.timers == set()


def test_a_segment_that_time_brings_somebody_into_starts_a_journey() -> None:
    journey = small("{segment: {entered: lapsed}}", "[{send: {template: a}}]")
    one = world(journey, lapsed={"last": "order.placed", "at": {"before": "-30d"}})
    one.meet()
    one.hear("order.placed")
    one.advance(days=29)
    assert one.mails == []
    one.advance(days=2)
    assert one.mails == ["a"]


def test_whoever_never_did_it_is_a_member_from_the_first_event_on() -> None:
    one = world(never={"not": {"did": "order.placed"}}, lyon={"contact.city": "Lyon"})
    one.hear("page.viewed")
    assert told(one) == [("entered", "never")]
    one.hear("order.placed")
    assert told(one) == [("entered", "never"), ("left", "never")]


def test_one_timer_stands_for_all_segments_and_is_moved_only_to_come_earlier() -> None:
    one = world(
        month={"did": "order.placed", "since": "30d"}, week={"did": "order.placed", "since": "7d"}
    )
    one.hear("order.placed")
    (timer,) = one.timers
    assert timer.subject.endswith(f"/{SEGMENTS}")
    one.advance(days=3)
    one.hear("order.placed")
    assert one.timers == {timer}
    one.advance(days=5)
    (later,) = one.timers
    assert later.due_at > timer.due_at
    assert told(one) == [("entered", "month"), ("entered", "week")]


def test_a_rule_that_time_cannot_change_sets_no_timer() -> None:
    one = world(loyal={"did": "order.placed", "times": {"at_least": 2}}, lyon={"contact.city": "L"})
    for _ in range(3):
        one.hear("order.placed")
    assert one.timers == set()
    assert SEGMENTS not in profile_of(one).watches


def test_an_answer_that_does_not_turn_wakes_nobody() -> None:
    """Twenty visits on twenty days: of those that leave the window only two change anything."""
    one = world(busy={"did": "custom.visit", "times": {"at_least": 3}, "since": "30d"})
    for _ in range(20):
        one.hear("custom.visit")
        one.advance(days=1)
    fired = 0
    while one.timers:
        due = min(one.timers).due_at
        assert told(one)[-1] == ("entered", "busy")
        one.until(due)
        fired += 1
    assert told(one)[-1] == ("left", "busy")
    assert fired == 2


def test_a_birthday_begins_at_midnight_where_the_contact_lives() -> None:
    one = world(birthday={"contact.born": {"anniversary": "today"}})
    one.hear("contact.updated", traits={"born": "1990-11-24", "timezone": "America/New_York"})
    one.at("2026-11-24T04:59:59+00:00")
    assert told(one) == []
    one.at("2026-11-24T05:00:00+00:00")
    assert told(one) == [("entered", "birthday")]
    one.at("2026-11-25T05:00:00+00:00")
    assert told(one) == [("entered", "birthday"), ("left", "birthday")]
    assert min(one.timers).due_at.year == 2027


def test_a_score_that_fades_leaves_its_segment() -> None:
    journey = small("{event: custom.a}", "[{update: {score: 80}}]")
    one = world(journey, warm={"score": {"at_least": 20}})
    one.hear("custom.a")
    assert told(one) == [("entered", "warm")]
    one.advance(days=19)
    assert told(one) == [("entered", "warm")]
    one.advance(days=2)
    assert told(one) == [("entered", "warm"), ("left", "warm")]


def test_a_segment_of_a_segment_follows_in_time_too() -> None:
    one = world(buyers={"did": "order.placed", "since": "7d"}, gone={"not": {"segment": "buyers"}})
    one.hear("order.placed")
    one.advance(days=9)
    assert told(one)[-2:] == [("left", "buyers"), ("entered", "gone")]


def test_what_is_long_past_moves_members_but_starts_no_journey() -> None:
    journey = small("{segment: {entered: buyers}}", "[{send: {template: a}}]")
    one = world(journey, buyers={"did": "order.placed"})
    one.meet()
    one.hear("order.placed", flags=Flags(historical=True))
    assert told(one) == [("entered", "buyers")]
    assert one.mails == []
    assert one.reasons("not_entered") == ["historical"]


def test_a_tag_from_an_import_starts_no_journey() -> None:
    one = World(small("{tag: vip}", "[{send: {template: a}}]"))
    one.meet()
    one.hear("contact.updated", traits={"tags": ["vip"]}, flags=Flags(historical=True))
    assert one.mails == []
    assert one.reasons("not_entered") == ["historical"]


# -- written rules ------------------------------------------------------------------------------


def test_writing_a_segment_makes_members_of_those_it_holds_for_and_tells_nobody() -> None:
    journey = small("{segment: {entered: lapsed}}", "[{send: {template: a}}]")
    one = World(journey)
    one.meet()
    one.hear("order.placed")
    one.advance(days=40)
    rules = segments(
        lapsed={"last": "order.placed", "at": {"before": "-30d"}},
        due={"contact.renews": {"within_next": "14d"}},
    )
    one.journeys = arrange([journey], segments=rules)
    one.apply(Recheck(SEGMENTS))
    assert profile_of(one).segments == ["lapsed"]
    assert (told(one), one.mails) == ([], [])


def test_nobody_is_in_a_segment_that_was_deleted() -> None:
    one = world(lyon={"contact.city": "Lyon"}, buyers={"did": "order.placed"})
    one.hear("order.placed", traits={"city": "Lyon"})
    assert profile_of(one).segments == ["buyers", "lyon"]
    for left in (segments(lyon={"contact.city": "Lyon"}), []):
        one.journeys = arrange([], segments=left)
        one.apply(Recheck(SEGMENTS))
        assert profile_of(one).segments == [each.segment for each in left]
    assert len(told(one)) == 2


def test_a_segment_that_is_no_more_leaves_no_timer_behind() -> None:
    one = world(buyers={"did": "order.placed", "since": "7d"})
    one.hear("order.placed")
    one.journeys = arrange([])
    one.advance(days=9)
    assert one.timers == set()
    assert SEGMENTS not in profile_of(one).watches


def test_segments_have_another_version_when_a_rule_or_what_it_depends_on_is_another() -> None:
    rules = segments(a={"tag": "x"}, b={"tag": "y"})
    version = arrange_segments(rules).version
    assert arrange_segments(reversed(rules)).version == version
    assert arrange_segments(rules[:1]).version != version
    assert arrange_segments(rules, under="Europe/Paris").version != version


# -- always current -----------------------------------------------------------------------------

happenings = st.lists(
    st.tuples(
        st.sampled_from(["order.placed", "custom.visit", "custom.points", "contact.updated"]),
        st.integers(0, 20 * 24 * 60),
        st.sampled_from(["2026-12-24", "2026-11-20T12:00:00Z", "2027-01-31", "1990-03-01"]),
    ),
    max_size=12,
)


@given(happenings, st.lists(st.integers(1, 30 * 24 * 60), max_size=12))
@settings(max_examples=60, deadline=None)
def test_members_are_at_every_instant_those_for_whom_the_rule_holds(
    what: list[tuple[str, int, str]], looks: list[int]
) -> None:
    points = small("{event: custom.points}", "[{update: {score: 50}}]", "entry: {again: always}")
    one = world(points, **RULES)
    one.hear("page.viewed")
    for name, minutes, date in what:
        one.advance(minutes=minutes)
        _is_current(one)
        traits = {"renews": date, "born": date} if name == "contact.updated" else None
        one.hear(name, traits=traits)
        _is_current(one)
    for minutes in looks:
        one.advance(minutes=minutes)
        _is_current(one)


def _is_current(one: World) -> None:
    profile = profile_of(one)
    facts = Known(profile, {}, now=one.now, zones=("Europe/Paris",), half_life=ONE.score_half_life)
    checks = one.journeys.segments.checks
    assert profile.segments == sorted(name for name in checks if checks[name].holds(facts)), one.now
    assert len(one.timers) <= 1


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_rule_wakes_a_contact_more_than_a_few_times_in_two_years_of_silence(rule: Any) -> None:
    one = world(only=rule)
    one.hear("contact.updated", traits={"renews": "2026-12-24", "born": "1992-02-29"})
    one.hear("order.placed")
    fired = 0
    while one.timers and min(one.timers).due_at < NINE + 730 * DAY:
        one.until(min(one.timers).due_at)
        fired += 1
    assert fired <= 5
