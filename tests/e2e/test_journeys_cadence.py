"""Quiet hours and frequency caps: when marketing waits or stays away, and what never waits."""

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.journeys import Stage

PARIS = ZoneInfo("Europe/Paris")
QUIET = {"from": "21:00", "to": "08:00"}


def night(name: str, cadence: str = "{}", event: str = "custom.woke_up") -> str:
    """Three mails at once: one that may never wait, one for the day alone, one that may wait."""
    return f"""\
schema: 1
journey: {name}
trigger: {{event: {event}}}
cadence: {cadence}
steps:
  - send: {{template: receipt}}
  - send: {{template: only-by-day, if_quiet: skip}}
  - send: {{template: good-morning}}
"""


OFTEN = """\
schema: 1
journey: often
trigger: {event: custom.clicked_around}
cadence: {caps: [{most: 1, within: 1d}]}
steps:
  - send: {template: first}
  - send: {template: one-too-many}
  - send: {template: password}
  - send: {template: when-there-is-room, if_capped: postpone}
"""
ALL_AT_ONCE = [
    "entered",
    "asked receipt",
    "asked only-by-day",
    "asked good-morning",
    "finished: finished",
]
AT_NIGHT = [
    "entered",
    "asked receipt",
    "skipped only-by-day: quiet_hours",
    "postponed good-morning: quiet_hours",
]


@pytest.fixture
def at_eleven_in_paris(stage: Stage) -> Iterator[None]:
    """Late in the evening, with quiet hours and a cap for everybody."""
    tomorrow = (stage.now().astimezone(PARIS) + dt.timedelta(days=1)).date()
    stage.until(dt.datetime.combine(tomorrow, dt.time(23), PARIS))
    said = {"zone": "Europe/Paris", "quiet_hours": QUIET, "caps": [{"most": 2, "within": "1d"}]}
    stage.done("PUT", "/api/v1/journeys/settings", said)
    yield
    stage.done("PUT", "/api/v1/journeys/settings", {})


def decided(stage: Stage, ref: str, journey: str) -> list[str]:
    """The story without the sender's part, which keeps no order among mails of one instant."""
    return [one for one in stage.story(ref, journey) if not one.startswith("handed_over")]


def handed_over(stage: Stage, ref: str, journey: str) -> list[str]:
    story = stage.story(ref, journey)
    return sorted(one.split()[1] for one in story if one.startswith("handed_over"))


@pytest.mark.usefixtures("at_eleven_in_paris")
def test_marketing_waits_for_the_morning_where_the_contact_lives(stage: Stage) -> None:
    stage.publish(night("quiet"), transactional=["receipt"])
    nina = stage.meets("nina")  # In the workspace's zone.
    zack = stage.meets("zack", timezone="America/Los_Angeles")
    for who in ("nina", "zack"):
        stage.hears(who, "Woke Up")
    assert decided(stage, zack, "quiet") == ALL_AT_ONCE
    assert decided(stage, nina, "quiet") == AT_NIGHT
    assert handed_over(stage, nina, "quiet") == ["receipt"]
    stage.advance("PT11H")
    assert decided(stage, nina, "quiet") == [*AT_NIGHT, "asked good-morning", "finished: finished"]
    (last,) = [line for line in stage.decisions(nina) if line["step"] == "good-morning"][-1:]
    assert dt.datetime.fromisoformat(last["at"]).astimezone(PARIS).strftime("%H:%M") == "08:00"


@pytest.mark.usefixtures("at_eleven_in_paris")
def test_a_journey_may_ignore_what_the_workspace_says(stage: Stage) -> None:
    stage.publish(night("always-awake", "{quiet_hours: off, caps: off}"), transactional=["receipt"])
    otto = stage.meets("otto")
    stage.hears("otto", "Woke Up")
    assert decided(stage, otto, "always-awake") == ALL_AT_ONCE


def test_over_a_cap_marketing_is_skipped_or_postponed_and_the_rest_goes_out(stage: Stage) -> None:
    stage.publish(OFTEN, transactional=["password"])
    carla = stage.meets("carla")
    stage.hears("carla", "Clicked Around")
    capped = [
        "entered",
        "asked first",
        "skipped one-too-many: frequency_cap",
        "asked password",
        "postponed when-there-is-room: frequency_cap",
    ]
    assert decided(stage, carla, "often") == capped
    assert handed_over(stage, carla, "often") == ["first", "password"]
    stage.advance("PT25H")
    later = ["asked when-there-is-room", "finished: finished"]
    assert decided(stage, carla, "often") == [*capped, *later]
    assert handed_over(stage, carla, "often") == ["first", "password", "when-there-is-room"]


@pytest.mark.usefixtures("at_eleven_in_paris")
def test_a_cap_counts_the_mails_of_all_journeys(stage: Stage) -> None:
    stage.publish(
        night("loud", "{quiet_hours: off}", "custom.rang"),
        night("louder", "{quiet_hours: off}", "custom.rang"),
        transactional=["receipt"],
    )
    pia = stage.meets("pia")
    stage.hears("pia", "Rang")
    decisions = [*decided(stage, pia, "loud"), *decided(stage, pia, "louder")]
    assert sum(one.startswith("asked") for one in decisions) == 4
    assert sum(one.endswith("frequency_cap") for one in decisions) == 2
