"""Every way into a journey, each in a journey of its own."""

import datetime as dt

import pytest

from chappe.events import Flags
from chappe_orchestrator.domain import Recheck
from chappe_orchestrator.domain.run import DERIVED_DEPTH_MAX
from tests.unit.orchestrator.world import EMAIL, ZOE, World, small

HI = "[{send: {template: hi}}]"


def met(*programs: object, **settings: object) -> World:
    world = World(*programs, settings=settings)  # type: ignore[arg-type]
    world.meet(timezone="Europe/Paris")
    return world


# -- events, tags, lists, segments, requests, journeys ------------------------------------------


def test_any_of_several_events_brings_the_contact_in() -> None:
    world = met(small("{event: [custom.a, custom.b]}", HI))
    world.hear("custom.b")
    assert world.mails == ["hi"]


def test_several_triggers_stand_in_one_journey() -> None:
    world = met(small("[{event: custom.a}, {tag: vip}]", HI))
    world.hear("contact.updated", traits={"tags": ["vip"]})
    assert world.mails == ["hi"]


def test_a_trigger_may_look_at_the_event_and_at_the_contact() -> None:
    where = "{event.n: {at_least: 3}, contact.city: Lyon}"
    world = met(small(f"{{event: custom.a, where: {where}}}", HI))
    world.hear("custom.a", {"n": 3})
    assert world.mails == []
    world.hear("contact.updated", traits={"city": "Lyon"})
    world.hear("custom.a", {"n": 3})
    assert world.mails == ["hi"]


def test_a_tag_that_is_added_brings_the_contact_in_once() -> None:
    world = met(small("{tag: {added: vip}}", HI))
    world.hear("contact.updated", traits={"tags": ["vip", "new"]})
    world.hear("contact.updated", traits={"tags": ["vip"]})
    assert world.mails == ["hi"]
    assert [fact.name for fact in world.facts] == ["contact.tags_changed"] * 2
    assert all(fact.flags.derived for fact in world.facts)


def test_a_tag_that_is_removed_brings_the_contact_in() -> None:
    world = met(small("{tag: {removed: vip}}", HI))
    world.hear("contact.updated", traits={"tags": ["vip"]})
    assert world.mails == []
    world.hear("contact.updated", traits={"tags": []})
    assert world.mails == ["hi"]


def test_a_list_is_joined_and_left_as_a_tag_of_its_own() -> None:
    world = met(small("{list: spring-fair}", HI))
    world.hear("contact.updated", traits={"tags": ["spring-fair"]})
    assert world.mails == []
    world.hear("contact.updated", traits={"tags": ["list:spring-fair"]})
    assert world.mails == ["hi"]


@pytest.mark.parametrize(
    ("change", "name"), [("entered", "segment.entered"), ("left", "segment.left")]
)
def test_coming_into_a_segment_and_leaving_it_bring_the_contact_in(change: str, name: str) -> None:
    world = met(small(f"{{segment: {{{change}: loyal}}}}", HI))
    world.hear(name, {"segment": "other"})
    assert world.mails == []
    world.hear(name, {"segment": "loyal"})
    assert world.mails == ["hi"]


def test_a_program_a_person_and_an_import_may_ask_for_a_journey() -> None:
    world = met(small("{request: [api, csv]}", HI, "entry: {key: event.ref}"))
    world.hear("journey.requested", {"journey": "j", "by": "manual", "ref": "a"})
    world.hear("journey.requested", {"journey": "k", "by": "api", "ref": "a"})
    assert world.mails == []
    refused = [(one.journey, one.reason, one.seen) for one in world.decisions]
    assert refused == [
        ("j", "no_request", {"journey": "j", "by": "manual"}),
        (None, "no_request", {"journey": "k", "by": "api"}),
    ]
    world.hear("journey.requested", {"journey": "j", "by": "api", "ref": "a"})
    world.hear("journey.requested", {"journey": "j", "by": "csv", "ref": "b"})
    assert world.mails == ["hi", "hi"]


def test_the_end_and_the_start_of_a_journey_begin_others() -> None:
    first = small("{event: custom.a}", "[{wait: 1h}]", name="first")
    world = met(
        first,
        small("{journey: {started: first}}", "[{send: {template: started}}]", name="second"),
        small("{journey: {finished: first}}", "[{send: {template: finished}}]", name="third"),
    )
    world.hear("custom.a", {"n": 1})
    assert world.mails == ["started"]
    world.advance(hours=1)
    assert world.mails == ["started", "finished"]
    assert [fact.name for fact in world.facts] == ["journey.started", "journey.finished"]


def test_whoever_is_thrown_out_of_a_journey_has_not_finished_it() -> None:
    first = small("{event: custom.a}", "[{wait: 1h}]", "exit: [{event: custom.stop}]", name="first")
    world = met(first, small("{journey: {finished: first}}", HI))
    world.hear("custom.a")
    world.hear("custom.stop")
    assert world.mails == []


def test_journeys_that_begin_one_another_stop_at_a_depth() -> None:
    world = met(
        small("{journey: {finished: b}}", "[{exit: done}]", "entry: {again: always}", name="a"),
        small(
            "[{event: custom.a}, {journey: {finished: a}}]", "[{exit: done}]",
            "entry: {again: always}", name="b",
        ),
    )  # fmt: skip
    world.hear("custom.a")
    assert len(world.said("entered")) == DERIVED_DEPTH_MAX + 1
    assert world.reasons("stopped") == ["too_deep"]


def test_an_unverified_event_enters_only_where_the_trigger_says_so() -> None:
    trigger = "{event: product.viewed, unverified: true}"
    world = met(small(trigger, HI, "entry: {key: event.product_id}"))
    data = {"product_id": "p-1", "title": "Buy now!", "url": "https://evil.example/x", "price": 3}
    world.hear("product.viewed", data, flags=Flags(unverified=True))
    assert world.mails == ["hi"]
    shown = world.sends[0].snapshot.event
    assert shown == {"product_id": "p-1", "title": None, "url": None, "price": 3}


def test_an_unverified_event_never_mails_an_address_nobody_trusted_has_told() -> None:
    world = World(small("{event: product.viewed, unverified: true}", HI))
    world.hear("product.viewed", email=EMAIL, flags=Flags(unverified=True))
    assert world.reasons("skipped") == ["no_address"]


# -- dates --------------------------------------------------------------------------------------

RENEWAL = """[
  {send: {template: month}}, {wait: {until: contact.renewal_date, offset: -7d, at: "09:00"}},
  {send: {template: week}}, {wait: {until: contact.renewal_date, at: "09:00"}},
  {send: {template: today}}]"""
BEFORE = '{date: contact.renewal_date, offset: -30d, at: "09:00"}'


def renewal(date: str | None) -> World:
    world = met(small(BEFORE, RENEWAL))
    world.hear("contact.updated", traits={"renewal_date": date})
    return world


def test_a_date_brings_the_contact_in_so_long_before_it_at_a_local_time() -> None:
    world = renewal("2027-01-10")
    world.at("2026-12-11T08:59:00+01:00")
    assert world.mails == []
    world.at("2026-12-11T09:00:00+01:00")
    assert world.mails == ["month"]
    world.at("2027-01-03T09:00:00+01:00")
    assert world.mails == ["month", "week"]
    world.at("2027-02-01T00:00:00Z")
    assert world.mails == ["month", "week", "today"]
    assert not world.timers


def test_a_date_made_known_late_inserts_the_contact_at_the_right_step() -> None:
    world = renewal("2026-12-10")  # eighteen days ahead: the month has passed
    assert world.reasons("skipped") == ["date_passed"]
    world.at("2026-12-03T09:00:00+01:00")
    assert world.mails == ["week"]


def test_a_date_that_has_passed_altogether_brings_nobody_in() -> None:
    world = renewal("2026-11-20")
    assert world.said("entered") == []
    assert not world.timers


def test_a_date_that_moves_takes_the_timer_along() -> None:
    world = renewal("2027-01-10")
    world.hear("contact.updated", traits={"renewal_date": "2027-03-10"})
    assert len(world.timers) == 1
    world.at("2027-02-08T09:00:00+01:00")
    assert world.mails == ["month"]


def test_a_small_move_of_the_date_moves_the_wait_of_whoever_is_inside() -> None:
    world = renewal("2027-01-10")
    world.at("2026-12-20T12:00:00Z")
    world.hear("contact.updated", traits={"renewal_date": "2027-01-12"})
    assert [one.step for one in world.active()] == ["wait-1"]
    assert len(world.said("entered")) == 1
    world.at("2027-01-05T08:59:00+01:00")
    assert world.mails == ["month"]
    world.at("2027-01-05T09:00:00+01:00")
    assert world.mails == ["month", "week"]


def test_a_renewed_date_begins_a_round_of_its_own() -> None:
    world = renewal("2027-01-10")
    world.at("2026-12-20T12:00:00Z")
    world.hear("contact.updated", traits={"renewal_date": "2028-01-10"})
    assert world.reasons("exited") == ["date_moved"]
    world.at("2027-12-11T09:00:00+01:00")
    assert world.mails == ["month", "month"]


def test_a_date_that_is_taken_away_ends_the_enrollment_and_the_timer() -> None:
    world = renewal("2027-01-10")
    world.hear("contact.updated", traits={"renewal_date": None})
    assert not world.timers
    world = renewal("2027-01-10")
    world.at("2026-12-20T12:00:00Z")
    world.hear("contact.updated", traits={"renewal_date": None})
    assert world.reasons("exited") == ["date_cancelled"]
    assert not world.timers


BIRTHDAY = '{date: contact.birthday, at: "08:00", every: year}'


def test_a_birthday_comes_back_every_year() -> None:
    world = met(small(BIRTHDAY, HI))
    world.hear("contact.updated", traits={"birthday": "1990-12-24"})
    for year in (2026, 2027, 2028):
        world.at(f"{year}-12-24T08:00:00+01:00")
        assert len(world.mails) == year - 2025
    assert len(world.timers) == 1


def test_somebody_born_on_the_29th_of_february_has_a_birthday_every_year() -> None:
    world = met(small(BIRTHDAY, HI))
    world.hear("contact.updated", traits={"birthday": "2000-02-29"})
    days: list[str] = []
    for _ in range(3):
        (timer,) = world.timers
        world.until(timer.due_at)
        days.append(world.now.date().isoformat())
    assert days == ["2027-02-28", "2028-02-29", "2029-02-28"]
    assert len(world.mails) == 3


def test_a_birthday_without_a_year_is_enough() -> None:
    world = met(small(BIRTHDAY, HI))
    world.hear("contact.updated", traits={"birthday": "--12-24"})
    world.at("2026-12-24T08:00:00+01:00")
    assert world.mails == ["hi"]


def test_a_wait_in_a_yearly_journey_means_this_years_day() -> None:
    steps = """[{send: {template: hi}}, {wait: {until: contact.birthday, offset: 7d}},
      {send: {template: week}}]"""
    world = met(small(BIRTHDAY, steps))
    world.hear("contact.updated", traits={"birthday": "1990-12-24"})
    world.at("2026-12-31T09:00:00+01:00")
    assert world.mails == ["hi", "week"]


@pytest.mark.parametrize(
    ("day", "at", "instant"),
    [
        ("2027-03-28", "02:30", "2027-03-28T03:00:00+02:00"),  # a time that the night skips
        ("2027-10-31", "02:30", "2027-10-31T02:30:00+02:00"),  # a time that it has twice
    ],
)
def test_on_a_dst_night_a_date_fires_once(day: str, at: str, instant: str) -> None:
    world = met(small(f'{{date: contact.day, at: "{at}"}}', HI))
    world.hear("contact.updated", traits={"day": day})
    world.until(dt.datetime.fromisoformat(instant).astimezone(dt.UTC) - dt.timedelta(seconds=1))
    assert world.mails == []
    world.advance(seconds=1)
    assert world.mails == ["hi"]
    world.advance(days=2)
    assert world.mails == ["hi"]


def test_a_contact_who_moves_house_moves_the_instant() -> None:
    world = met(small(BIRTHDAY, HI))
    world.hear("contact.updated", traits={"birthday": "1990-12-24"})
    world.hear("contact.updated", traits={"timezone": "America/New_York"})
    (timer,) = world.timers
    assert timer.due_at == dt.datetime(2026, 12, 24, 13, tzinfo=dt.UTC)


def test_without_a_zone_of_its_own_a_contact_lives_where_its_shop_is_or_the_workspace() -> None:
    for settings, hour in (({"zone": "Europe/Paris"}, 8), ({"zone": "Asia/Tokyo"}, 0)):
        world = World(small("{event: custom.a}", '[{wait: {until: "09:00"}}]'), settings=settings)
        world.meet()
        world.hear("custom.a")
        (timer,) = world.timers
        assert timer.due_at.hour == hour
    shops = {"zone": "Asia/Tokyo", "sources": {"src_shop": "Europe/Paris"}}
    world = World(small("{event: custom.a}", '[{wait: {until: "09:00"}}]'), settings=shops)
    world.meet()
    world.hear("custom.a")
    assert next(iter(world.timers)).due_at.hour == 8


VISIT = "{date: event.starts_at, of: [custom.booked, custom.moved], offset: -1d}"
KEYED = """entry: {key: event.booking}
exit: [{event: custom.cancelled, match: {event.booking: entry.key}}]"""


def test_a_date_of_an_event_begins_the_journey_at_that_date() -> None:
    world = met(small(VISIT, HI, KEYED))
    world.hear("custom.booked", {"booking": "b1", "starts_at": "2026-12-01T10:00:00+01:00"})
    world.at("2026-11-30T10:00:00+01:00")
    assert world.mails == ["hi"]


def test_an_appointment_moved_twice_is_reminded_of_once_and_with_its_last_date() -> None:
    world = met(small(VISIT, HI, KEYED))
    for name, day in (("booked", "01"), ("moved", "08"), ("moved", "05")):
        starts = f"2026-12-{day}T10:00:00+01:00"
        world.hear(f"custom.{name}", {"booking": "b1", "starts_at": starts})
        world.advance(minutes=1)
        assert len(world.timers) == 1
    world.at("2026-12-20T00:00:00Z")
    assert world.mails == ["hi"]
    assert world.sends[0].asked_at == dt.datetime(2026, 12, 4, 9, tzinfo=dt.UTC)
    assert world.sends[0].snapshot.event["starts_at"] == "2026-12-05T10:00:00+01:00"


def test_an_older_version_of_the_appointment_does_not_move_it_back() -> None:
    world = met(small(VISIT, HI, KEYED))
    booked = {"booking": "b1", "starts_at": "2026-12-05T10:00:00+01:00"}
    world.hear("custom.booked", booked)
    older = world.now - dt.timedelta(hours=1)
    late = {"booking": "b1", "starts_at": "2026-12-01T10:00:00+01:00"}
    world.hear("custom.moved", late, occurred=older)
    assert next(iter(world.timers)).due_at == dt.datetime(2026, 12, 4, 9, tzinfo=dt.UTC)


def test_a_cancelled_appointment_is_not_reminded_of() -> None:
    world = met(small(VISIT, HI, KEYED))
    world.hear("custom.booked", {"booking": "b1", "starts_at": "2026-12-05T10:00:00+01:00"})
    world.hear("custom.cancelled", {"booking": "b1"})
    assert not world.timers
    world = met(small(VISIT, HI, KEYED))
    world.hear("custom.booked", {"booking": "b1", "starts_at": "2026-12-05T10:00:00+01:00"})
    world.hear("custom.moved", {"booking": "b1", "starts_at": None})
    assert world.reasons("exited") == ["date_cancelled"]
    assert not world.timers


# -- silence ------------------------------------------------------------------------------------

SILENT = "{inactive: {event: order.placed, for: 60d}}"


def test_silence_brings_in_those_who_ever_did_it() -> None:
    world = met(small(SILENT, HI))
    world.advance(days=100)
    assert world.mails == []
    world.hear("order.placed")
    world.advance(days=59)
    assert world.mails == []
    world.advance(days=1)
    assert world.mails == ["hi"]


def test_one_timer_stands_for_the_silence_and_is_moved_only_when_it_fires() -> None:
    world = met(small(SILENT, HI))
    world.hear("order.placed")
    (first,) = world.timers
    world.advance(days=30)
    world.hear("order.placed")
    assert world.timers == {first}
    world.advance(days=30)
    (second,) = world.timers
    assert second.due_at == first.due_at + dt.timedelta(days=30)
    assert world.mails == []
    world.advance(days=30)
    assert world.mails == ["hi"]
    assert not world.timers


def test_each_silence_counts_once() -> None:
    world = met(small(SILENT, HI))
    for silence in (1, 2):
        world.hear("order.placed")
        world.advance(days=60)
        assert len(world.mails) == silence


def test_an_import_of_old_orders_wins_nobody_back() -> None:
    world = met(small(SILENT, HI))
    long_ago = world.now - dt.timedelta(days=90)
    world.hear("order.placed", occurred=long_ago, flags=Flags(historical=True))
    assert not world.timers
    recently = world.now - dt.timedelta(days=10)
    world.hear("order.placed", occurred=recently, flags=Flags(historical=True))
    world.advance(days=50)
    assert world.mails == ["hi"]


def test_publishing_a_journey_looks_at_those_who_are_there_already() -> None:
    world = met(small("{event: custom.a}", HI, name="other"))
    world.hear("order.placed", traits={"birthday": "1990-12-24"})
    world.publish(small(SILENT, HI, name="silence"), small(BIRTHDAY, HI, name="birthday"))
    world.apply(Recheck("silence"))
    world.apply(Recheck("birthday"))
    world.apply(Recheck("birthday"))
    assert {timer.subject for timer in world.timers} == {f"{ZOE}/silence", f"{ZOE}/birthday"}


def test_a_journey_that_is_no_more_leaves_no_timer_behind() -> None:
    world = met(small(SILENT, HI))
    world.hear("order.placed")
    world.publish(small("{event: custom.a}", HI, version=2))
    world.apply(Recheck("j"))
    assert not world.timers
