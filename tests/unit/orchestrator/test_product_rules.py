"""Rules of the product that no other file names: what is long past, what comes late, who is who."""

import datetime as dt

import msgspec
import pytest

from chappe.events import Event, Flags
from chappe.ids import ContactId, EventId
from chappe.journey import JourneyInvalidError
from chappe_orchestrator.domain import Contact, Enrollment, Profile, arrange
from chappe_orchestrator.domain.merging import transfers
from chappe_orchestrator.domain.state import Key, KeyMark
from tests.unit.orchestrator.test_segments import segments
from tests.unit.orchestrator.world import DEFAULT, NINE, ZOE, World, small

GO = "{event: custom.go}"
SLOW = "[{send: {template: one}}, {wait: 1d}, {send: {template: two}}]"
CART = """\
entry: {key: event.cart_token}
exit: [{event: order.placed, match: {event.cart_token: entry.key}}]"""
LONG_PAST = Flags(historical=True)
OLD = ContactId("c_old")
HOUR = dt.timedelta(hours=1)


def met(*programs: object, **more: object) -> World:
    world = World(*programs, **more)  # type: ignore[arg-type]
    world.meet()
    return world


def profile_of(world: World) -> Profile:
    return msgspec.json.decode(world.profile, type=Profile)


# -- what is long past ----------------------------------------------------------------------------


def test_what_is_long_past_satisfies_no_wait_and_reaches_no_goal() -> None:
    steps = "[{wait: {for: {event: order.placed}, at_most: 1d}, then: [{send: {template: yes-1}}],"
    steps += " timeout: [{send: {template: no-1}}]}]"
    world = met(small(GO, steps, "goal: {event: order.placed, within: 5d}"))
    world.hear("custom.go")
    world.hear("order.placed", flags=LONG_PAST)
    world.advance(days=2)
    assert world.mails == ["no-1"]
    assert world.said("goal_reached") == []


def test_what_is_long_past_closes_its_key() -> None:
    world = met(small("{event: checkout.started}", SLOW, CART))
    world.hear("order.placed", {"cart_token": "c1"}, flags=LONG_PAST)
    world.hear("checkout.started", {"cart_token": "c1"})
    assert world.reasons("not_entered") == ["closed_key"]


def test_what_is_long_past_counts_and_lowers_consent_but_raises_none() -> None:
    world = World()
    raised = {"consent": {"email": "subscribed"}}
    world.hear("contact.updated", traits=raised)
    world.now += HOUR
    lowered = {"consent": {"email": "unsubscribed"}}
    world.hear("contact.consent_changed", traits=lowered, flags=LONG_PAST)
    assert profile_of(world).consent["email"].state == "unsubscribed"
    world.hear("order.placed", flags=LONG_PAST, occurred=NINE - dt.timedelta(days=300))
    counter = profile_of(world).counters["order.placed"]
    assert (counter.total, counter.last) == (1, NINE - dt.timedelta(days=300))
    world.hear("contact.updated", traits=raised, occurred=NINE, flags=LONG_PAST)
    assert profile_of(world).consent["email"].state == "unsubscribed"


# -- exits --------------------------------------------------------------------------------------


def test_an_exit_without_a_match_ends_those_inside_and_closes_nothing() -> None:
    more = "entry: {key: event.cart_token}\nexit: [{event: order.placed}]"
    world = met(small("{event: checkout.started}", SLOW, more))
    world.hear("checkout.started", {"cart_token": "c1"})
    world.hear("order.placed", {"cart_token": "c2"})
    assert world.reasons("exited") == ["order.placed"]
    assert (world.active(), world.timers) == ([], set())
    world.hear("checkout.started", {"cart_token": "c2"})
    assert [one.key for one in world.active()] == ["c2"]


def test_an_exit_may_look_at_the_event() -> None:
    where = '{event.total: {at_least: "100 EUR"}}'
    world = met(small(GO, SLOW, f"exit: [{{event: order.placed, where: {where}}}]"))
    world.hear("custom.go")
    world.hear("order.placed", {"total": {"amount": "99.99", "currency": "EUR"}})
    assert len(world.active()) == 1
    world.hear("order.placed", {"total": {"amount": "100", "currency": "EUR"}})
    assert world.reasons("exited") == ["order.placed"]


def test_coming_into_a_segment_ends_the_enrollment_in_the_middle_of_a_wait() -> None:
    journey = small(GO, SLOW, "exit: [{when: {segment: loyal}}]")
    world = met(journey)
    rules = segments(loyal={"did": "order.placed", "times": {"at_least": 2}})
    world.journeys = arrange([journey], segments=rules)
    world.hear("custom.go")
    world.hear("order.placed")
    assert len(world.active()) == 1
    world.hear("order.placed")
    assert world.reasons("exited") == ["condition"]
    assert world.timers == set()


def test_time_alone_ends_an_enrollment_where_a_segment_says_so() -> None:
    journey = small(GO, "[{wait: 90d}, {send: {template: one}}]", "exit: [{when: {segment: gone}}]")
    world = met(journey)
    rules = segments(gone={"last": "order.placed", "at": {"before": "-30d"}})
    world.journeys = arrange([journey], segments=rules)
    world.hear("order.placed")
    world.hear("custom.go")
    world.advance(days=31)
    assert world.reasons("exited") == ["condition"]
    world.advance(days=90)
    assert world.mails == []


# -- waits and lateness -------------------------------------------------------------------------


def test_when_none_of_several_things_comes_the_maximum_opens_its_own_way() -> None:
    steps = """
- wait:
    for:
      - {event: order.placed, then: [{send: {template: bought}}]}
      - {when: {tag: vip}, then: [{send: {template: vip}}]}
    at_most: 2d
  timeout: [{send: {template: nothing}}]"""
    world = met(small(GO, steps))
    world.hear("custom.go")
    world.hear("page.viewed")
    world.advance(hours=47)
    assert world.mails == []
    world.advance(hours=1)
    assert world.mails == ["nothing"]


def test_marketing_that_a_late_trigger_asks_for_is_skipped_and_the_waits_count_from_now() -> None:
    world = met(small(GO, SLOW))
    world.hear("custom.go", received=NINE - dt.timedelta(hours=25))
    assert world.reasons("skipped") == ["too_late"]
    world.advance(hours=23)
    assert world.mails == []
    world.advance(hours=1)
    assert world.mails == ["two"]


def test_what_a_late_trigger_asks_for_is_sent_within_the_catch_up_limit() -> None:
    world = met(small(GO, SLOW))
    world.hear("custom.go", received=NINE - dt.timedelta(hours=23))
    assert world.mails == ["one"]


def test_quiet_hours_do_not_count_against_the_time_in_which_a_mail_makes_sense() -> None:
    quiet = {"quiet_hours": {"from": "08:00", "to": "20:00"}, "zone": "UTC"}
    world = met(small(GO, "[{send: {template: one, within: 2h}}]"), settings=quiet)
    world.hear("custom.go")
    world.advance(hours=12)
    (send,) = world.sends
    assert send.deadline == NINE + dt.timedelta(hours=13)


# -- who is who ---------------------------------------------------------------------------------


def test_the_same_run_has_the_same_name_wherever_it_is_told_and_so_have_its_mails() -> None:
    def told(key: str) -> tuple[str, list[str]]:
        world = met(small("{event: checkout.started}", SLOW, CART))
        world.hear("checkout.started", {"cart_token": key}, event_id=f"e_{key}")
        world.advance(days=2)
        return world.standing()[0].id, [send.message for send in world.sends]

    assert told("c1") == told("c1")
    assert told("c1")[0] != told("c2")[0]
    assert not {*told("c1")[1]} & {*told("c2")[1]}


def test_a_merge_while_inside_goes_on_at_its_step_at_its_time_and_with_its_names() -> None:
    there = met(small(GO, SLOW))
    there.hear("custom.go")
    (moved,) = there.active()
    here = met(small(GO, SLOW))
    here.advance(hours=1)
    merge_into(here, moved)
    (inside,) = here.active()
    assert (inside.id, inside.step, inside.key) == (moved.id, moved.step, ZOE)
    here.advance(hours=22)
    assert here.mails == []
    here.advance(hours=1)
    assert here.mails == ["two"]
    assert here.active() == []


def test_a_merge_while_inside_meets_the_order_that_the_other_placed() -> None:
    there = met(small("{event: checkout.started}", SLOW, CART))
    there.hear("checkout.started", {"cart_token": "c1"})
    (moved,) = there.active()
    here = met(small("{event: checkout.started}", SLOW, CART))
    here.hear("order.placed", {"cart_token": "c1"})
    merge_into(here, moved, {Key("j", "c1"): KeyMark(entered_at=NINE, enrollment=moved.id)})
    assert here.reasons("exited") == ["closed_key"]
    assert [cancel.message for cancel in here.cancels] == [there.message("one")]
    assert here.timers == set()


def test_two_who_are_one_are_looked_at_again_for_their_segments_and_it_is_told() -> None:
    rules = segments(
        loyal={"did": "order.placed", "times": {"at_least": 2}},
        fresh={"did": "order.placed", "since": "30d"},
    )
    journey = small("{segment: {entered: loyal}}", "[{send: {template: thanks}}]")
    there, here = World(), met(journey)
    here.journeys = arrange([journey], segments=rules)
    for world in (there, here):
        world.hear("order.placed", event_id=f"e_{id(world)}")
        world.now += HOUR
    state = Contact(OLD, DEFAULT, profile_of(there))
    for part in transfers(state, merged(here), ZOE, here.now):
        here.apply(part)
    assert profile_of(here).segments == ["fresh", "loyal"]
    assert here.mails == ["thanks"]
    assert len(here.timers) == 1


def merge_into(world: World, moved: Enrollment, keys: dict[Key, KeyMark] | None = None) -> None:
    state = Contact(OLD, DEFAULT, Profile(), {moved.id: moved}, keys or {})
    moved.key = OLD if moved.key == ZOE else moved.key
    moved.aliases = [OLD if alias == ZOE else alias for alias in moved.aliases]
    for part in transfers(state, merged(world), ZOE, world.now):
        world.apply(part)


def merged(world: World) -> Event:
    return Event(
        id=EventId("e_merge"),
        name="contact.merged",
        workspace=DEFAULT,
        occurred_at=world.now,
        received_at=world.now,
        contact=OLD,
        data={"from": OLD, "into": ZOE},
    )


# -- opens --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "mail"), [("human", "thanks"), ("unsure", "thanks"), ("machine", "again")]
)
def test_an_open_counts_unless_a_machine_did_it(verdict: str, mail: str) -> None:
    steps = "[{send: {template: one}}, {wait: {for: {event: email.opened, of: one}, at_most: 1d},"
    steps += " then: [{send: {template: thanks}}], timeout: [{send: {template: again}}]}]"
    world = met(small(GO, steps))
    world.hear("custom.go")
    world.hear("email.opened", {"message": world.message("one"), "verdict": verdict})
    world.advance(days=2)
    assert world.mails == ["one", mail]


# -- what a step may not do -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["consent", "tags", "email", "phone"])
def test_an_update_cannot_touch_consent_or_who_somebody_is(name: str) -> None:
    with pytest.raises(JourneyInvalidError, match=f"'{name}' cannot be set by a journey"):
        small(GO, f"[{{update: {{set: {{{name}: x}}}}}}]")
