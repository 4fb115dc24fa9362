"""Appointments, birthdays, renewals and silence: journeys that hang on a date."""

import datetime as dt
from zoneinfo import ZoneInfo

from tests.e2e.journeys import Stage

PARIS, TOKYO = ZoneInfo("Europe/Paris"), ZoneInfo("Asia/Tokyo")
APPOINTMENT = """\
schema: 1
journey: appointment
trigger: {event: custom.appointment_booked}
entry: {key: event.booking_id}
exit: [{event: custom.appointment_cancelled, match: {event.booking_id: entry.key}}]
steps:
  - wait: {until: event.starts_at, offset: -7d}
  - send: {template: prepare}
  - wait: {until: event.starts_at, offset: -1d, at: "18:00"}
  - send: {template: tomorrow}
  - wait: {until: event.starts_at, offset: 2h}
  - send: {template: how-was-it}
"""
EVE = """\
schema: 1
journey: the-evening-before
trigger: {date: event.starts_at, of: custom.table_booked, offset: -1d, at: "18:00"}
entry: {key: event.table_id}
steps: [{send: {template: table-tomorrow}}]
"""
BIRTHDAY = """\
schema: 1
journey: birthday
trigger: {date: contact.birthday, every: year, at: "09:00"}
steps: [{send: {template: many-happy-returns}}]
"""
RENEWAL = """\
schema: 1
journey: renewal
trigger: {date: contact.renews_at, offset: -7d, at: "10:00"}
steps:
  - send: {template: renews-soon}
  - wait: {until: contact.renews_at, offset: -1d, at: "10:00"}
  - send: {template: renews-tomorrow}
"""
WIN_BACK = """\
schema: 1
journey: win-back
trigger: {inactive: {event: order.placed, for: 90d}}
entry: {again: always}
exit: [{event: order.placed}]
steps: [{send: {template: we-miss-you}}, {wait: 7d}, {send: {template: last-word}}]
"""


FIRST, SECOND, LAST = (
    ["wait_over wait-1: time", "asked prepare", "waiting wait-2", "handed_over prepare"],
    ["wait_over wait-2: time", "asked tomorrow", "waiting wait-3", "handed_over tomorrow"],
    ["wait_over wait-3: time", "asked how-was-it", "finished: finished", "handed_over how-was-it"],
)


def handed_over(stage: Stage, ref: str, zone: ZoneInfo) -> list[str]:
    """What was handed over, and when on the contact's own clock, to the minute."""
    return [
        f"{line['step']} {dt.datetime.fromisoformat(line['at']).astimezone(zone):%Y-%m-%d %H:%M}"
        for line in stage.decisions(ref)
        if line["name"] == "handed_over"
    ]


def in_days(stage: Stage, days: int, hour: int, zone: ZoneInfo) -> dt.datetime:
    day = (stage.now().astimezone(zone) + dt.timedelta(days=days)).date()
    return dt.datetime.combine(day, dt.time(hour), zone)


def before(at: dt.datetime, days: int, hour: int) -> str:
    """So many days before, at a local hour; after, where ``days`` is negative."""
    return f"{at - dt.timedelta(days=days):%Y-%m-%d} {hour:02}:00"


def books(stage: Stage, who: str, at: dt.datetime, booking: str) -> None:
    stage.hears(who, "Appointment Booked", starts_at=at.isoformat(), booking_id=booking)


def test_a_reminder_follows_an_appointment_that_is_moved_twice(stage: Stage) -> None:
    stage.publish(APPOINTMENT)
    ada = stage.meets("ada", timezone="Europe/Paris")
    for days in (20, 30, 12):
        at = in_days(stage, days, 15, PARIS)
        books(stage, "ada", at, "b1")
    stage.advance("P13D")
    moved = ["date_moved wait-1", "not_entered: already_entered"]
    assert stage.story(ada, "appointment") == [
        "entered",
        "waiting wait-1",
        *moved,
        *moved,
        *FIRST,
        *SECOND,
        *LAST,
    ]
    assert handed_over(stage, ada, PARIS) == [
        f"prepare {before(at, 7, 15)}",
        f"tomorrow {before(at, 1, 18)}",
        f"how-was-it {before(at, 0, 17)}",
    ]


def test_a_cancelled_appointment_reminds_nobody_and_another_one_still_does(stage: Stage) -> None:
    stage.publish(APPOINTMENT)
    carl = stage.meets("carl", timezone="Europe/Paris")
    books(stage, "carl", in_days(stage, 10, 15, PARIS), "c1")
    books(stage, "carl", in_days(stage, 11, 15, PARIS), "c2")
    stage.advance("P4DT12H")
    stage.hears("carl", "Appointment Cancelled", booking_id="c1")
    stage.advance("P9D")
    first, second = stage.enrollments(carl, "appointment")
    assert stage.story_of(carl, first["id"]) == [
        "entered",
        "waiting wait-1",
        *FIRST,
        "exited wait-2: custom.appointment_cancelled",
    ]
    begun = ["entered", "waiting wait-1"]
    assert stage.story_of(carl, second["id"]) == [*begun, *FIRST, *SECOND, *LAST]


def test_a_late_booking_begins_at_the_step_where_it_would_be_by_then(stage: Stage) -> None:
    stage.publish(APPOINTMENT)
    lena = stage.meets("lena", timezone="Europe/Paris")
    books(stage, "lena", in_days(stage, 3, 15, PARIS), "l1")
    stage.advance("P5D")
    assert stage.story(lena, "appointment") == [
        "entered",
        "wait_over wait-1: passed",
        "skipped prepare: date_passed",
        "waiting wait-2",
        *SECOND,
        *LAST,
    ]


def test_a_date_of_an_event_begins_a_journey_on_the_evening_before(stage: Stage) -> None:
    stage.publish(EVE)
    ivo = stage.meets("ivo", timezone="Asia/Tokyo")
    for days in (5, 8):
        at = in_days(stage, days, 19, TOKYO)
        stage.hears("ivo", "Table Booked", starts_at=at.isoformat(), table_id="t1")
    stage.advance("P9D")
    assert stage.story(ivo, "the-evening-before") == [
        "entered",
        "waiting trigger",
        "date_moved trigger",
        "not_entered: already_entered",
        "wait_over trigger: time",
        "asked table-tomorrow",
        "finished: finished",
        "handed_over table-tomorrow",
    ]
    assert handed_over(stage, ivo, TOKYO) == [f"table-tomorrow {before(at, 1, 18)}"]


def test_a_birthday_comes_each_year_at_nine_where_the_contact_lives(stage: Stage) -> None:
    stage.publish(BIRTHDAY)
    day = in_days(stage, 20, 9, TOKYO)
    yuki = stage.meets("yuki", timezone="Asia/Tokyo", birthday=f"1990-{day:%m-%d}")
    stage.advance("P21D")
    stage.advance("P365D")
    once = ["entered", "asked many-happy-returns", "finished: finished"]
    once += ["handed_over many-happy-returns"]
    assert stage.story(yuki, "birthday") == [*once, *once]
    assert handed_over(stage, yuki, TOKYO) == [
        f"many-happy-returns {day.year + year}-{day:%m-%d} 09:00" for year in (0, 1)
    ]


def test_a_journey_by_a_date_finds_those_who_were_known_before_it(stage: Stage) -> None:
    due = in_days(stage, 3, 12, PARIS)
    gil = stage.meets("gil", timezone="Europe/Paris", checkup=f"{due:%Y-%m-%d}")
    stage.rests()
    stage.publish(BIRTHDAY.replace("birthday", "checkup").replace("every: year, ", ""))
    stage.advance("P4D")
    assert handed_over(stage, gil, PARIS) == [f"many-happy-returns {before(due, 0, 9)}"]


def test_a_date_of_the_contact_may_move_and_may_be_taken_away(stage: Stage) -> None:
    stage.publish(RENEWAL)
    day = in_days(stage, 10, 10, PARIS)
    rita = stage.meets("rita", timezone="Europe/Paris", renews_at=f"{day:%Y-%m-%d}")
    stage.advance("P5D")
    day -= dt.timedelta(days=1)
    stage.knows("rita", renews_at=f"{day:%Y-%m-%d}")
    stage.rests()
    stage.knows("rita", renews_at=None)
    stage.advance("P14D")
    assert stage.story(rita, "renewal") == [
        "entered",
        "asked renews-soon",
        "waiting wait-1",
        "handed_over renews-soon",
        "date_moved wait-1",
        "exited wait-1: date_cancelled",
    ]


def test_silence_begins_a_journey_once_for_each_silence(stage: Stage) -> None:
    stage.publish(WIN_BACK)
    olga, stranger = stage.meets("olga"), stage.meets("stranger")
    stage.hears("olga", "Order Completed", order_id="o1", total=1)
    stage.advance("P60D")
    stage.hears("olga", "Order Completed", order_id="o2", total=1)
    stage.advance("P31D")
    assert stage.story(olga, "win-back") == []
    stage.advance("P60D")
    missed = ["entered", "asked we-miss-you", "waiting wait-1", "handed_over we-miss-you"]
    assert stage.story(olga, "win-back") == missed
    stage.hears("olga", "Order Completed", order_id="o3", total=1)
    stage.advance("P91D")
    back = ["exited wait-1: order.placed"]
    assert stage.story(olga, "win-back") == [*missed, *back, *missed]
    assert stage.story(stranger, "win-back") == []  # Who never bought is not missed.
