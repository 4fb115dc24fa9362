"""When and how often: quiet hours and frequency caps, and who is exempt."""

import datetime as dt
from typing import Any

import msgspec
import pytest

from chappe.events import Send
from tests.unit.orchestrator.world import World, small

GO = "{event: custom.go}"
KEYED = "entry: {key: event.k}"
NIGHT: dict[str, Any] = {"quiet_hours": {"from": "21:00", "to": "08:00"}}
ONE_A_DAY: dict[str, Any] = {"caps": [{"most": 1, "within": "1d"}]}


def met(steps: str, more: str = KEYED, *, marketing: bool = True, **settings: Any) -> World:
    world = World(small(GO, steps, more, marketing=marketing), settings=settings)
    world.meet(timezone="Europe/Paris")
    return world


def test_in_quiet_hours_a_mail_waits_for_their_end_where_the_contact_lives() -> None:
    world = met("[{send: {template: a}}, {wait: 1h}, {send: {template: b}}]", **NIGHT)
    world.at("2026-11-22T22:00:00+01:00")
    world.hear("custom.go", {"k": "1"})
    assert world.reasons("postponed") == ["quiet_hours"]
    world.at("2026-11-23T07:59:00+01:00")
    assert world.mails == []
    world.at("2026-11-23T08:00:00+01:00")
    assert world.mails == ["a"]
    assert world.sends[0].deadline == world.now + dt.timedelta(hours=24)
    world.advance(hours=1)
    assert world.mails == ["a", "b"]


def test_a_step_may_rather_be_skipped_in_quiet_hours() -> None:
    world = met("[{send: {template: a, if_quiet: skip}}]", **NIGHT)
    world.at("2026-11-22T22:00:00+01:00")
    world.hear("custom.go", {"k": "1"})
    assert world.reasons("skipped") == ["quiet_hours"]
    assert world.active() == []


def test_quiet_hours_end_right_in_a_dst_night() -> None:
    world = met("[{send: {template: a}}]", quiet_hours={"from": "21:00", "to": "02:30"})
    world.at("2027-03-27T23:00:00+01:00")
    world.hear("custom.go", {"k": "1"})
    assert next(iter(world.timers)).due_at == dt.datetime(2027, 3, 28, 1, tzinfo=dt.UTC)


def test_whole_days_may_be_quiet() -> None:
    settings: dict[str, Any] = {"quiet_hours": {"from": "22:00", "to": "08:00", "days": ["sun"]}}
    world = met("[{send: {template: a}}]", **settings)
    world.hear("custom.go", {"k": "1"})  # a Sunday
    assert next(iter(world.timers)).due_at == dt.datetime(2026, 11, 23, 7, tzinfo=dt.UTC)


def test_a_journey_may_have_quiet_hours_of_its_own_or_none() -> None:
    world = met("[{send: {template: a}}]", KEYED + "\ncadence: {quiet_hours: off}", **NIGHT)
    world.at("2026-11-22T22:00:00+01:00")
    world.hear("custom.go", {"k": "1"})
    assert world.mails == ["a"]
    own = KEYED + '\ncadence: {quiet_hours: {from: "09:00", to: "18:00"}}'
    world = met("[{send: {template: a}}]", own, **NIGHT)
    world.hear("custom.go", {"k": "1"})
    assert world.reasons("postponed") == ["quiet_hours"]


def test_an_exit_ends_a_mail_that_quiet_hours_postponed() -> None:
    world = met("[{send: {template: a}}]", KEYED + "\nexit: [{event: order.placed}]", **NIGHT)
    world.at("2026-11-22T22:00:00+01:00")
    world.hear("custom.go", {"k": "1"})
    world.hear("order.placed")
    assert not world.timers
    world.advance(days=1)
    assert world.mails == []


def test_over_the_cap_a_marketing_mail_is_skipped_and_the_contact_goes_on() -> None:
    world = met(
        "[{send: {template: a}}, {send: {template: b}}, {wait: 1d}, {send: {template: c}}]",
        **ONE_A_DAY,
    )
    world.hear("custom.go", {"k": "1"})
    assert world.reasons("skipped") == ["frequency_cap"]
    assert world.said("skipped")[0].seen["most"] == 1
    world.advance(days=1)
    assert world.mails == ["a", "c"]


def test_a_step_may_rather_wait_for_a_free_place() -> None:
    world = met("[{send: {template: a, if_capped: postpone}}]", **ONE_A_DAY)
    world.hear("custom.go", {"k": "1"})
    world.advance(hours=3)
    world.hear("custom.go", {"k": "2"})
    assert world.reasons("postponed") == ["frequency_cap"]
    world.advance(hours=21)
    assert len(world.mails) == 2


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("email.skipped", 1),
        ("email.cancelled", 1),
        ("email.failed", 1),
        ("email.accepted", 0),
        ("email.bounced", 0),
    ],
)
def test_a_mail_that_reached_nobody_gives_its_place_back(name: str, free: int) -> None:
    world = met("[{send: {template: a}}]", **ONE_A_DAY)
    world.hear("custom.go", {"k": "1"})
    world.hear(name, {"message": world.message("a")})
    world.hear("custom.go", {"k": "2"})
    assert len(world.mails) == 1 + free


def test_a_mail_taken_back_keeps_its_place_until_the_sender_says_it_was_in_time() -> None:
    world = met(
        "[{send: {template: a}}, {wait: 1d}]",
        KEYED + "\nexit: [{event: order.placed}]",
        **ONE_A_DAY,
    )
    world.hear("custom.go", {"k": "1"})
    world.hear("order.placed")
    assert len(world.cancels) == 1
    world.hear("custom.go", {"k": "2"})
    assert world.reasons("skipped") == ["frequency_cap"]
    world.hear("email.cancelled", {"message": world.message("a")})
    world.hear("custom.go", {"k": "3"})
    assert len(world.mails) == 2


def test_a_cap_of_one_topic_counts_that_topic_only() -> None:
    caps: dict[str, Any] = {"caps": [{"most": 1, "within": "1d", "topic": "offers"}]}
    steps = "[{send: {template: a}}, {send: {template: b, topic: news}}, {send: {template: c}}]"
    world = met(steps, **caps)
    world.hear("custom.go", {"k": "1"})
    assert world.mails == ["a", "b"]


def test_several_caps_hold_together_over_rolling_windows() -> None:
    caps: dict[str, Any] = {"caps": [{"most": 1, "within": "1h"}, {"most": 2, "within": "1d"}]}
    world = met("[{send: {template: a}}]", **caps)
    for n in range(6):
        world.hear("custom.go", {"k": str(n)})
        world.advance(minutes=30)
    assert len(world.mails) == 2
    world.advance(hours=22)
    world.hear("custom.go", {"k": "later"})
    assert len(world.mails) == 3


def test_transactional_mail_knows_no_cadence() -> None:
    world = met(
        "[{send: {template: a}}, {send: {template: b}}]", marketing=False, **NIGHT, **ONE_A_DAY
    )
    world.at("2026-11-22T22:00:00+01:00")
    world.hear("custom.go", {"k": "1"})
    assert world.mails == ["a", "b"]


def test_a_journey_may_have_caps_of_its_own_or_none() -> None:
    world = met(
        "[{send: {template: a}}, {send: {template: b}}]",
        KEYED + "\ncadence: {caps: off}",
        **ONE_A_DAY,
    )
    world.hear("custom.go", {"k": "1"})
    assert world.mails == ["a", "b"]


def test_nothing_is_quiet_or_capped_until_somebody_says_so() -> None:
    world = met("[{send: {template: a}}, {send: {template: b}}]")
    world.at("2026-11-23T03:00:00+01:00")
    world.hear("custom.go", {"k": "1"})
    assert world.mails == ["a", "b"]


def test_a_marketing_mail_carries_its_quiet_hours_to_the_hand_over() -> None:
    world = met("[{send: {template: a, if_quiet: skip}}]", **NIGHT)
    world.hear("custom.go", {"k": "1"})
    said = world.sends[0].quiet
    assert said is not None
    assert (said.zone, said.skip) == ("Europe/Paris", True)
    assert (said.begin, said.end) == (dt.time(21), dt.time(8))
    receipt = met("[{send: {template: a}}]", KEYED, marketing=False, **NIGHT)
    for world in (receipt, met("[{send: {template: a}}]")):
        world.hear("custom.go", {"k": "1"})
        assert world.sends[0].quiet is None


def test_a_command_from_before_there_were_quiet_hours_is_read() -> None:
    world = met("[{send: {template: a}}]")
    world.hear("custom.go", {"k": "1"})
    old = {k: v for k, v in msgspec.to_builtins(world.sends[0]).items() if k != "quiet"}
    assert msgspec.json.decode(msgspec.json.encode(old), type=Send) == world.sends[0]
