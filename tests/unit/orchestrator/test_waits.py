"""Every way to wait, each in a journey of its own."""

import datetime as dt

import pytest

from tests.unit.orchestrator.world import World, small

GO = "{event: custom.go}"


def met(steps: str, more: str = "", trigger: str = GO) -> World:
    world = World(small(trigger, steps, more))
    world.meet(timezone="Europe/Paris")
    return world


def test_until_a_time_of_day_where_the_contact_lives() -> None:
    world = met('[{wait: {until: "18:30"}}, {send: {template: a}}]')
    world.hear("custom.go")
    world.at("2026-11-22T18:29:59+01:00")
    assert world.mails == []
    world.at("2026-11-22T18:30:00+01:00")
    assert world.mails == ["a"]


def test_a_time_of_day_that_has_passed_is_tomorrows() -> None:
    world = met('[{wait: {until: "08:00"}}, {send: {template: a}}]')
    world.hear("custom.go")
    assert next(iter(world.timers)).due_at == dt.datetime(2026, 11, 23, 7, tzinfo=dt.UTC)


def test_until_a_weekday() -> None:
    world = met('[{wait: {until: "10:00", on: [tue, fri]}}, {send: {template: a}}]')
    world.hear("custom.go")  # a Sunday
    assert next(iter(world.timers)).due_at == dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)


def test_a_weekday_alone_passes_at_once_when_it_is_today() -> None:
    world = met(
        "[{wait: {on: [sun]}}, {send: {template: a}}, {wait: {on: mon}}, {send: {template: b}}]"
    )
    world.hear("custom.go")
    assert world.mails == ["a"]
    world.at("2026-11-23T00:00:00+01:00")
    assert world.mails == ["a", "b"]


def test_a_time_of_day_in_the_night_of_a_dst_change_comes_once() -> None:
    world = met('[{wait: {until: "02:30"}}, {send: {template: a}}]')
    world.at("2027-03-27T23:00:00+01:00")
    world.hear("custom.go")
    assert next(iter(world.timers)).due_at == dt.datetime(2027, 3, 28, 1, tzinfo=dt.UTC)
    world.at("2027-10-30T23:00:00+02:00")
    assert world.mails == ["a"]


VISIT = """[
  {send: {template: booked}}, {wait: {until: event.starts_at, offset: -1d}},
  {send: {template: tomorrow}}, {wait: {until: event.starts_at, at: "08:00"}},
  {send: {template: today}}, {wait: {until: event.starts_at, offset: 2h}},
  {send: {template: after}}]"""
STARTS = {"starts_at": "2026-12-01T15:00:00+01:00"}
KEY = "entry: {key: event.booking}"


def test_the_appointment_is_confirmed_reminded_of_the_day_before_that_morning_and_after() -> None:
    world = met(VISIT)
    world.hear("custom.go", STARTS)
    asked: list[str] = []
    for instant in (
        "2026-11-30T15:00:00+01:00", "2026-12-01T08:00:00+01:00", "2026-12-01T17:00:00+01:00",
    ):  # fmt: skip
        asked.append(world.mails[-1])
        world.at(instant)
    assert [*asked, world.mails[-1]] == ["booked", "tomorrow", "today", "after"]


def test_booked_at_short_notice_the_reminders_that_lie_behind_are_skipped() -> None:
    world = met(VISIT)
    world.at("2026-12-01T10:00:00+01:00")
    world.hear("custom.go", STARTS)
    assert world.mails == ["booked"]
    assert world.reasons("skipped") == ["date_passed", "date_passed"]
    world.at("2026-12-02T00:00:00Z")
    assert world.mails == ["booked", "after"]


def test_a_wait_after_a_date_that_lies_behind_counts_from_that_date() -> None:
    steps = """[{wait: {until: event.starts_at}}, {send: {template: a}}, {wait: 3d},
      {send: {template: b}}]"""
    world = met(steps)
    world.at("2026-12-02T15:00:00+01:00")
    world.hear("custom.go", STARTS)
    assert world.mails == []
    world.at("2026-12-04T15:00:00+01:00")
    assert world.mails == ["b"]


def test_the_same_booking_with_another_date_moves_the_wait() -> None:
    world = met(VISIT, KEY)
    world.hear("custom.go", {"booking": "b", **STARTS})
    world.hear("custom.go", {"booking": "b", "starts_at": "2026-12-03T15:00:00+01:00"})
    assert world.reasons("not_entered") == ["already_entered"]
    assert len(world.said("date_moved")) == 1
    world.at("2026-12-02T15:00:00+01:00")
    assert world.mails == ["booked", "tomorrow"]


def test_a_date_moved_into_the_past_goes_on_without_the_mail_that_came_too_late() -> None:
    world = met(VISIT, KEY)
    world.hear("custom.go", {"booking": "b", **STARTS})
    world.hear("custom.go", {"booking": "b", "starts_at": "2026-11-22T20:00:00+01:00"})
    assert world.reasons("skipped") == ["date_passed", "date_passed"]
    world.at("2026-11-22T22:00:00+01:00")
    assert world.mails == ["booked", "after"]


def test_without_the_date_there_is_nothing_to_wait_for() -> None:
    world = met(VISIT)
    world.hear("custom.go", {"starts_at": "soon"})
    assert world.reasons("exited") == ["no_date"]
    assert not world.timers


SEVERAL = """[
  {send: {template: a}},
  {wait: {for: [
      {event: email.clicked, of: a, then: [{send: {template: clicked}}]},
      {event: order.placed, where: {event.n: {at_least: 2}}, then: [{send: {template: bought}}]},
      {when: {contact.vip: true}, then: [{send: {template: vip}}]}],
    at_most: 2d}, timeout: [{send: {template: nothing}}]},
  {send: {template: end}}]"""


@pytest.mark.parametrize("first", ["clicked", "bought", "vip", "nothing"])
def test_of_several_things_the_first_that_happens_opens_its_own_way(first: str) -> None:
    world = met(SEVERAL)
    world.hear("custom.go")
    match first:
        case "clicked":
            world.hear("email.clicked", {"message": world.message("a"), "verdict": "human"})
        case "bought":
            world.hear("order.placed", {"n": 1})
            world.hear("order.placed", {"n": 2})
        case "vip":
            world.hear("contact.updated", traits={"vip": True})
        case _:
            world.advance(days=2)
    assert world.mails == ["a", first, "end"]
    assert not world.timers
    world.hear("order.placed", {"n": 5})
    world.advance(days=9)
    assert world.mails == ["a", first, "end"]


def test_a_condition_that_holds_already_is_not_waited_for() -> None:
    world = met(SEVERAL)
    world.hear("contact.updated", traits={"vip": True})
    world.hear("custom.go")
    assert world.mails == ["a", "vip", "end"]


def test_a_machine_opens_no_way() -> None:
    world = met(SEVERAL)
    world.hear("custom.go")
    world.hear("email.clicked", {"message": world.message("a"), "verdict": "machine"})
    assert world.mails == ["a"]


@pytest.mark.parametrize("restart", [False, True])
def test_a_repeated_trigger_begins_a_wait_anew_only_if_it_says_so(restart: bool) -> None:
    said = str(restart).lower()
    steps = f"[{{wait: {{time: 1h, restart: {said}}}}}, {{send: {{template: a}}}}]"
    world = met(steps, "entry: {key: event.cart}")
    world.hear("custom.go", {"cart": "c"})
    world.advance(minutes=50)
    world.hear("custom.go", {"cart": "c"})
    assert len(world.timers) == 1
    world.advance(minutes=10)
    assert world.mails == ([] if restart else ["a"])
    world.advance(minutes=50)
    assert world.mails == ["a"]
    assert len(world.said("restarted")) == restart


def test_a_wait_for_the_answer_of_a_webhook_sees_what_came_back() -> None:
    world = met(
        """[{id: hook, webhook: {url: "https://crm.example.com/x"}},
        {wait: {for: {event: webhook.answered, of: hook}, at_most: 1h}},
        {branch: [{when: {entry.webhook.hook.body.tier: gold},
          then: [{send: {template: gold}}]}]}]"""
    )
    world.hear("custom.go")
    (call,) = world.calls
    answer = {"status": 200, "ok": True, "body": {"tier": "gold"}}
    said = {"call": call.id, "enrollment": call.enrollment, "step": "hook", "answer": answer}
    world.hear("webhook.answered", said)
    assert world.mails == ["gold"]
