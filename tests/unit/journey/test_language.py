"""All that a journey file may say beyond the first steps, and what of it is refused."""

import datetime as dt
import json
from zoneinfo import ZoneInfo

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chappe.journey import (
    DateRule,
    JourneyInvalidError,
    JourneySettings,
    Quiet,
    canonical_json,
    circles_between,
    compile_program,
    edges,
    journey_schema,
    next_time,
    read_journey,
    stored_journey,
)
from chappe.journey.calendar import WEEKDAYS, in_year, local_instant, yearly, zone_named

HEAD = "schema: 1\njourney: j\n"
SEND = "steps: [{send: {template: a}}]"
GO = "trigger: {event: custom.a}\n"
RING = """steps:
  - wait: {for: {when: {contact.b: 1}}, at_most: 1d}
    timeout: [{exit: }]
  - goto: wait-1
"""

EVERYTHING = """\
schema: 1
journey: everything
title: All of it
trigger:
  - {event: [custom.a, checkout.started], where: {event.n: 1}, unverified: true}
  - {tag: vip}
  - {list: {removed: spring-fair}, where: {contact.city: Lyon}}
  - {segment: {left: loyal}}
  - {date: contact.birthday, offset: -7d, at: 09:00, every: year}
  - {request: any}
  - {journey: {finished: welcome}}
entry:
  {again: {cooldown: 30d}, at_most: 1, holdout: 5, starts: 2026-12-01, ends: 2027-01-01T12:00+01:00}
exit:
  - {when: {contact.vip: true}}
  - {goal: true}
  - {at: 2027-02-01}
  - {event: order.placed, where: {event.total: {at_least: "20 EUR"}}}
goal: {event: order.placed, within: 5d, where: {event.n: 1}}
cadence:
  quiet_hours: {from: 21:00, to: 8:00, days: [sun]}
  caps: [{most: 2, within: 7d, topic: offers}]
steps:
  - wait: {time: 1h, restart: true}
  - wait: {until: 09:00, on: [mon, Tuesday]}
  - wait: {on: fri}
  - wait: {until: contact.birthday, offset: -1d, at: 18:00}
  - send:
      {template: a, channel: email, topic: offers, within: 6h, if_capped: postpone, if_quiet: skip}
  - wait:
      for:
        - {event: email.clicked, of: a, then: [{goal: clicked}]}
        - {when: {contact.vip: true}}
      at_most: 2d
    timeout: [{exit: cold}]
  - wait: {for: {when: {contact.vip: true}}, at_most: 1d, restart: true}
    then: [{start_journey: other}]
  - split: [{variant: a, weight: 2.5, then: [{send: {template: b}}]}, {variant: b}]
  - id: second
    split: {variants: [{variant: x}, {variant: y}], winner: order.placed}
  - update:
      set: {a: 1, b: null, c: {from: event.x}}
      add_tags: gold
      remove_tags: [x]
      score: -3
      opt_out: offers
  - id: hook
    webhook:
      {url: "https://x.example", method: PUT, headers: {X-A: b}, within: 1h, body: {a: ["{{ 1 }}"]}}
  - wait: {for: {event: webhook.answered, of: hook}, at_most: 1m}
  - notify: {email: team@shop.example, subject: "New", text: "{{ contact.email }}"}
  - notify: {webhook: "https://x.example/z", text: hello}
  - exit:
"""

DATED = """\
schema: 1
journey: visit
trigger: {date: event.starts_at, of: [custom.booked], offset: -1d}
entry: {key: event.booking}
steps: [{send: {template: a}}]
"""

SILENT = """\
schema: 1
journey: win-back
trigger: {inactive: {event: [order.placed, order.paid], for: 60d}, where: {contact.city: Lyon}}
entry: {again: always}
cadence: {quiet_hours: off, caps: off}
steps: [{send: {template: a}}]
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(JourneyInvalidError) as caught:
        read_journey(text, file="j.yaml")
    return [one.sentence for one in caught.value.complaints]


@pytest.mark.parametrize("text", [EVERYTHING, DATED, SILENT], ids=["everything", "dated", "silent"])
def test_all_of_the_language_is_read_stored_and_read_back(text: str) -> None:
    stored = canonical_json(read_journey(text))
    assert canonical_json(stored_journey(stored)) == stored
    assert canonical_json(read_journey(stored.decode())) == stored
    compile_program(stored_journey(stored))


@pytest.mark.parametrize("text", [EVERYTHING, DATED, SILENT], ids=["everything", "dated", "silent"])
def test_all_of_the_language_is_valid_by_the_published_schema(text: str) -> None:
    jsonschema.validate(yaml.load(text, yaml.BaseLoader) and _plain(text), journey_schema())
    jsonschema.validate(json.loads(canonical_json(read_journey(text))), journey_schema())


def _plain(text: str) -> object:
    """As our own reader sees it: ``9:00`` is a text and a date is one too."""
    from chappe.journey import reading  # noqa: PLC0415

    _, value, _ = reading._parse(text, "j.yaml")
    return value


def test_one_trigger_is_stored_as_it_was_written() -> None:
    stored = json.loads(canonical_json(read_journey(HEAD + GO + "" + SEND)))
    assert stored["trigger"] == {"event": ["custom.a"]}


def test_steps_inside_waits_and_splits_get_ids_of_their_place() -> None:
    program = compile_program(read_journey(EVERYTHING))
    assert {"wait-5.for-1.goal-1", "wait-5.timeout.exit-1", "b", "wait-6.then.start_journey-1"} <= {
        *program.nodes
    }
    labels = {edge.label for node in program.nodes.values() for edge in edges(node)}
    assert {"for-1", "for-2", "timeout", "a", "b"} <= labels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trigger: {tagg: vip}\n" + SEND, "trigger.tagg: unknown key"),
        (
            "trigger: {tag: {add: vip}}\n" + SEND,
            "trigger.tag.add: unknown key, did you mean 'added'?",
        ),
        ("trigger: {tag: {}}\n" + SEND, "needs either added or removed"),
        ("trigger: {date: contact.b, every: yeer}\n" + SEND, "should be 'year'"),
        ("trigger: {date: event.b}\n" + SEND, "needs of"),
        (
            "trigger: {date: event.b, of: custom.a, every: year}\n" + SEND,
            "only a date of the contact",
        ),
        ("trigger: {date: contact.b, offset: 3h, at: 09:00}\n" + SEND, "offset is in whole days"),
        ("trigger: {date: contact.b, at: 25:00}\n" + SEND, "'25:00' is not a time of day"),
        ("trigger: {request: apy}\n" + SEND, "did you mean 'api'?"),
        ("trigger: {journey: {ended: x}}\n" + SEND, "trigger.journey.ended: unknown key"),
        ("trigger: []\n" + SEND, "should hold at least one"),
        (
            "trigger: [{date: contact.a}, {inactive: {event: order.placed, for: 9d}}]\n" + SEND,
            "trigger[1]: a journey begins by one date of the contact, or by one silence",
        ),
        (
            "trigger: {event: contact.created}\nentry: {key: event.checkout_token}\n" + SEND,
            "contact.created never has event.checkout_token: nobody would enter",
        ),
        (
            "trigger: {inactive: {event: order.placed, for: 9d}}\nentry: {key: event.x}\n" + SEND,
            "entry.key: a date of the contact or a silence brings no event",
        ),
        (
            GO + "exit: [{event: order.placed, match: {event.x: entry.key}}]\n" + SEND,
            "exit[0].match: can never match: entry has no key",
        ),
        (
            GO + "entry: {key: event.cart_token}\n"
            "exit: [{event: contact.updated, match: {event.cart_token: entry.key}}]\n" + SEND,
            "exit[0].match: can never match: contact.updated never has event.cart_token",
        ),
        (GO + "exit: [{goal: true}]\n" + SEND, "the journey has no goal"),
        (GO + "entry: {starts: 2027-01-01, ends: 2026-01-01}\n" + SEND, "ends before"),
        (GO + "steps: [{start_journey: j}]", "a journey cannot start itself"),
        (GO + "steps: [{send: {template: a, channel: sms}}]", "nothing can send this"),
        (
            GO + "steps: [{id: a, goal: x}, {wait: {until: contact.b}}, {goto: a}]",
            "comes back to itself without a wait",
        ),
        (
            GO + RING,
            "comes back to itself without a wait",
        ),
        (
            GO + "steps: [{wait: {for: {event: webhook.answered, of: hok}, at_most: 1d}}, "
            '{id: hook, webhook: {url: "https://x.example"}}]',
            "no webhook step is called 'hok', did you mean 'hook'?",
        ),
        (GO + "steps: [{update: {set: {email: x}}}]", "'email' cannot be set"),
        (GO + "steps: [{update: {}}]", "needs set, add_tags"),
        (GO + "steps: [{notify: {text: x}}]", "needs either email or webhook"),
        (GO + "steps: [{webhook: {url: ftp://x}}]", "steps[0].webhook.url"),
        (GO + "steps: [{split: [{variant: a}, {variant: a}]}]", "one name"),
        (GO + "steps: [{split: [{variant: a, weight: 0}]}]", "greater than 0"),
        (GO + "steps: [{wait: {until: 9h}}]", "'9h' is not a time of day"),
        (GO + "steps: [{wait: {on: [someday]}}]", "is not a weekday"),
    ],
)
def test_what_cannot_work_is_refused_in_words(text: str, said: str) -> None:
    assert said in "\n".join(complaints(HEAD + text))


def test_a_goto_that_loops_through_a_time_of_day_is_fine() -> None:
    read_journey(HEAD + GO + "steps: [{id: x, goal: g}, {wait: {until: 09:00}}, {goto: x}]")


def test_journeys_that_start_one_another_in_a_circle_are_named() -> None:
    def starting(name: str, other: str):  # noqa: ANN202
        return read_journey(
            f"schema: 1\njourney: {name}\ntrigger: {{request: any}}\n"
            f"steps: [{{start_journey: {other}}}]"
        )

    found = list(circles_between([starting("a", "b"), starting("b", "c"), starting("c", "a")]))
    assert [name for name, _ in found] == ["a", "b", "c"]
    assert found[0][1].what == "leads back to itself: a → b → c → a"
    assert not list(circles_between([starting("a", "b"), starting("b", "c")]))


def test_settings_are_off_until_set_and_say_what_is_wrong() -> None:
    settings = JourneySettings.model_validate({})
    assert (settings.quiet_hours, settings.caps, settings.holdout) == (None, (), None)
    for wrong in (
        {"quiet_hours": {"from": "09:00", "to": "09:00"}},
        {"quiet_hours": {"from": "09:00", "to": "10:00", "days": list(WEEKDAYS)}},
        {"zone": "Mars/Olympus"},
        {"caps": [{"most": 0, "within": "1d"}]},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            JourneySettings.model_validate(wrong)


# -- the calendar -------------------------------------------------------------------------------

PARIS = ZoneInfo("Europe/Paris")
MOMENTS = st.datetimes(
    dt.datetime(2025, 1, 1),  # noqa: DTZ001 - hypothesis draws naive ones
    dt.datetime(2029, 1, 1),  # noqa: DTZ001
)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


def test_whole_days_keep_the_hour_on_the_wall_and_hours_are_hours() -> None:
    starts = "2026-03-29T10:00:00+02:00"  # the clocks went forward that night
    day_before = DateRule("event.x", -dt.timedelta(days=1)).instant(starts, PARIS)
    assert day_before == utc("2026-03-28T10:00:00+01:00")
    hours = DateRule("event.x", -dt.timedelta(hours=24, minutes=30)).instant(starts, PARIS)
    assert hours == utc("2026-03-28T09:30:00+01:00")


def test_a_date_without_a_time_counts_from_the_morning_or_from_midnight() -> None:
    assert DateRule("contact.x").instant("2026-12-24", PARIS) == utc("2026-12-24T09:00:00+01:00")
    two = DateRule("contact.x", dt.timedelta(hours=2)).instant("2026-12-24", PARIS)
    assert two == utc("2026-12-24T02:00:00+01:00")


@pytest.mark.parametrize("odd", [None, 5, "", "soon", "2026-02-30", "9999-12-31T23:59:59Z", [], {}])
def test_what_is_no_date_is_no_date(odd: object) -> None:
    rule = DateRule("contact.x", dt.timedelta(days=3000))
    assert rule.instant(odd, PARIS) is None


def test_the_29th_of_february_is_the_28th_in_a_common_year() -> None:
    assert yearly("2000-02-29", PARIS) == (2, 29)
    assert [in_year(year, 2, 29).day for year in (2027, 2028)] == [28, 29]
    assert yearly("--02-30", PARIS) is None


def test_a_zone_is_a_name_we_know() -> None:
    for odd in ("../etc/passwd", "Europe", "", "x" * 100, "Europe/\x00"):
        assert zone_named(odd) is None or odd == "Europe"
    assert zone_named("Europe/Paris") is not None


@given(
    MOMENTS,
    st.times(),
    st.sets(st.integers(0, 6)),
    st.sampled_from(["Europe/Paris", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"]),
)
def test_the_next_time_of_day_is_always_ahead_and_within_a_week_and_a_day(
    naive: dt.datetime, at: dt.time, days: set[int], name: str
) -> None:
    zone, now = ZoneInfo(name), naive.replace(tzinfo=dt.UTC)
    found = next_time(now, at, frozenset(days), zone)
    assert now < found <= now + dt.timedelta(days=9)
    local = found.astimezone(zone)
    assert not days or local.weekday() in days
    # Exactly that time of day, unless the night skipped it.
    skipped = local_instant(local.date(), at, zone).astimezone(zone).time() != at.replace(fold=0)
    assert local.time() == at.replace(fold=0) or skipped


@given(
    MOMENTS,
    st.times(), st.times(),
    st.sets(st.integers(0, 6), max_size=6),
    st.sampled_from(["Europe/Paris", "America/New_York", "Asia/Kathmandu"]),
)  # fmt: skip
def test_after_the_quiet_hours_it_is_quiet_no_more(
    naive: dt.datetime, begin: dt.time, end: dt.time, days: set[int], name: str
) -> None:
    zone, now = ZoneInfo(name), naive.replace(tzinfo=dt.UTC)
    begin, end = begin.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0)
    quiet = Quiet(begin, end, frozenset(days))
    until = quiet.over(now, zone)
    assert until is None or (until > now and quiet.over(until, zone) is None)
