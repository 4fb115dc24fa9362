"""The rules of entering, waiting, sending and leaving, each in a journey of its own."""

import datetime as dt

from chappe.events import Flags
from chappe_orchestrator.domain import arrange
from chappe_orchestrator.domain.state import ACTIVE_MAX
from tests.unit.orchestrator.world import EMAIL, NINE, World, program, shipped

HEAD = "schema: 1\njourney: j\n"


def bookings(again: str, more: str = "") -> World:
    return World(
        program(f"""
schema: 1
journey: reminder
trigger: {{event: custom.booked}}
entry: {{key: event.booking, again: {again}{more}}}
exit: [{{event: custom.cancelled, match: {{event.booking: entry.key}}}}]
steps: [{{wait: 1d}}, {{send: {{template: reminder}}}}]
""")
    )


# -- welcome ------------------------------------------------------------------------------------


def test_the_welcome_series_comes_at_once_on_day_two_and_on_day_five() -> None:
    world = World(shipped("welcome"))
    world.meet()
    world.hear("contact.created")
    assert world.mails == ["welcome-1"]
    world.advance(days=2)
    assert world.mails == ["welcome-1", "welcome-2"]
    world.advance(days=2, hours=23)
    assert len(world.mails) == 2
    world.advance(hours=1)
    assert world.mails == ["welcome-1", "welcome-2", "welcome-3"]


def test_a_second_signup_does_not_welcome_again() -> None:
    world = World(shipped("welcome"))
    world.meet()
    world.hear("contact.created")
    world.advance(days=9)
    world.hear("contact.created")
    assert world.reasons("not_entered") == ["already_entered"]


def test_asking_does_not_wait_for_consent_but_notes_what_was_known() -> None:
    world = World(shipped("welcome"))
    world.hear("contact.created", email=EMAIL)
    assert world.mails == ["welcome-1"]
    assert world.said("asked")[0].seen["consent.email"] == "unknown"


# -- who enters ---------------------------------------------------------------------------------


def test_a_test_event_stops_unless_it_is_a_test_recipients() -> None:
    welcome = shipped("welcome")
    world = World(welcome)
    world.hear("contact.created", email=EMAIL, flags=Flags(test=True))
    assert world.reasons("stopped") == ["test_event"]
    assert world.mails == []
    world = World(journeys=arrange([welcome], test_recipients=[EMAIL]))
    world.hear("contact.created", email=EMAIL, flags=Flags(test=True))
    assert [send.test for send in world.sends] == [True]


def test_a_derived_event_was_applied_before_and_is_passed_over() -> None:
    world = World(shipped("welcome"))
    world.hear("contact.created", email=EMAIL, flags=Flags(derived=True))
    assert world.decisions == []


def test_an_unverified_event_enters_nothing_and_binds_no_address() -> None:
    world = World(shipped("welcome"))
    world.hear("contact.created", email=EMAIL, flags=Flags(unverified=True))
    assert world.reasons("not_entered") == ["unverified"]
    world.hear("contact.created")
    assert world.reasons("skipped") == ["no_address"]


def test_an_unverified_event_cannot_end_a_known_contacts_journey() -> None:
    world = bookings("once_per_key")
    world.meet()
    world.hear("custom.booked", {"booking": "b1"})
    world.hear("custom.cancelled", {"booking": "b1"}, flags=Flags(unverified=True))
    assert len(world.active()) == 1


def test_the_trigger_filter_says_what_it_saw() -> None:
    world = World(
        program(
            HEAD
            + 'trigger: {event: order.placed, where: {event.total: {at_least: "20 EUR"}}}\n'
            + "steps: [{send: {template: thanks}}]"
        )
    )
    world.meet()
    cheap = {"amount": "19.99", "currency": "EUR"}
    world.hear("order.placed", {"total": cheap})
    assert world.reasons("not_entered") == ["where"]
    assert world.said("not_entered")[0].seen == {"event.total": cheap}
    world.hear("order.placed", {"total": {"amount": "20", "currency": "EUR"}})
    assert world.mails == ["thanks"]


def test_the_entry_filter_is_asked_again_before_each_send() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: contact.created}\n"
            + "entry: {filter: {not: {contact.vip: true}}}\n"
            + "steps: [{send: {template: a}}, {wait: 1d}, {send: {template: b}}]"
        )
    )
    world.meet()
    world.hear("contact.created")
    world.hear("contact.updated", traits={"vip": True})
    world.advance(days=1)
    assert world.mails == ["a"]
    assert world.reasons("skipped") == ["filter"]


# -- whether again ------------------------------------------------------------------------------


def test_each_key_has_its_own_enrollment() -> None:
    world = bookings("once_per_key")
    world.meet()
    for booking in ("b1", "b2", "b1"):
        world.hear("custom.booked", {"booking": booking})
    assert [one.key for one in world.active()] == ["b1", "b2"]
    world.hear("custom.cancelled", {"booking": "b1"})
    assert [one.key for one in world.active()] == ["b2"]


def test_never_again_means_once_in_a_life_whatever_the_key() -> None:
    world = bookings("never")
    world.meet()
    world.hear("custom.booked", {"booking": "b1"})
    world.hear("custom.booked", {"booking": "b2"})
    assert world.reasons("not_entered") == ["already_entered"]


def test_always_enters_each_time() -> None:
    world = bookings("always")
    world.meet()
    world.hear("custom.booked", {"booking": "b1"})
    world.hear("custom.booked", {"booking": "b1"})
    assert len({one.id for one in world.active()}) == 2


def test_a_cooldown_counts_from_the_entry() -> None:
    world = bookings("{cooldown: 7d}")
    world.meet()
    world.hear("custom.booked", {"booking": "b1"})
    world.advance(days=6, hours=23)
    world.hear("custom.booked", {"booking": "b1"})
    assert world.reasons("not_entered") == ["cooldown"]
    world.advance(hours=1)
    world.hear("custom.booked", {"booking": "b1"})
    assert len(world.said("entered")) == 2


def test_with_always_a_closed_key_opens_again_after_three_days() -> None:
    world = bookings("always")
    world.meet()
    world.hear("custom.cancelled", {"booking": "b1"})
    world.advance(hours=71)
    world.hear("custom.booked", {"booking": "b1"})
    assert world.reasons("not_entered") == ["closed_key"]
    world.advance(hours=1)
    world.hear("custom.booked", {"booking": "b1"})
    assert len(world.active()) == 1


def test_closed_for_says_how_long_the_key_stays_closed() -> None:
    world = bookings("always", ", closed_for: 1h")
    world.meet()
    world.hear("custom.cancelled", {"booking": "b1"})
    world.advance(hours=1)
    world.hear("custom.booked", {"booking": "b1"})
    assert len(world.active()) == 1


def test_a_contact_cannot_be_inside_without_bound() -> None:
    world = bookings("once_per_key")
    world.meet()
    for n in range(ACTIVE_MAX + 5):
        world.hear("custom.booked", {"booking": f"b{n}"})
    assert len(world.active()) == ACTIVE_MAX
    assert world.reasons("not_entered") == ["too_many"] * 5


# -- waits and branches -------------------------------------------------------------------------


def test_a_human_click_implies_an_open() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: contact.created}\n"
            + "steps:\n  - send: {template: a}\n"
            + "  - wait: {for: {event: email.opened, of: a}, at_most: 1d}\n"
            + "    then: [{send: {template: opened}}]\n"
            + "    timeout: [{send: {template: not-opened}}]"
        )
    )
    world.meet()
    world.hear("contact.created")
    world.hear("email.clicked", {"message": world.message("a"), "verdict": "unsure"})
    assert world.mails == ["a", "opened"]
    assert not world.timers


def test_what_has_happened_already_passes_at_once() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: contact.created}\n"
            + "steps:\n  - send: {template: a}\n  - wait: 1h\n"
            + "  - wait: {for: {event: email.clicked, of: a}, at_most: 1d}\n"
            + "    then: [{send: {template: clicked}}]"
        )
    )
    world.meet()
    world.hear("contact.created")
    world.advance(minutes=10)
    world.hear("email.clicked", {"message": world.message("a"), "verdict": "human"})
    world.advance(minutes=50)
    assert world.mails == ["a", "clicked"]


def test_a_wait_may_look_at_the_event_it_waits_for() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: contact.created}\n"
            + "steps:\n"
            + "  - wait: {for: {event: order.placed, where: {event.vip: true}}, at_most: 1d}\n"
            + "    then: [{send: {template: thanks}}]"
        )
    )
    world.meet()
    world.hear("contact.created")
    world.hear("order.placed", {"vip": False})
    world.hear("order.placed", {"vip": True}, flags=Flags(historical=True))
    assert world.mails == []
    world.hear("order.placed", {"vip": True})
    assert world.mails == ["thanks"]


def test_a_branch_counts_what_happened_since_the_entry() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: contact.created}\n"
            + "steps:\n  - wait: 1d\n  - branch:\n"
            + "      - when: {did: order.placed, since: entry}\n"
            + "        then: [{send: {template: yes}}]\n"
            + "      - else: [{send: {template: no}}]"
        )
    )
    world.meet()
    world.hear("order.placed")
    world.hear("contact.created")
    world.advance(days=1)
    assert world.mails == ["no"]
    assert world.said("branched")[0].seen == {"did order.placed": 0}


def test_waits_count_from_the_clock_at_the_step_not_from_when_it_was_due() -> None:
    world = World(shipped("welcome"))
    world.meet()
    world.hear("contact.created")
    world.sleep_through(days=2, hours=5)
    assert world.sends[-1].due_at == NINE + dt.timedelta(days=2)
    assert {timer.due_at for timer in world.timers} == {NINE + dt.timedelta(days=5, hours=5)}


# -- messages -----------------------------------------------------------------------------------


def test_a_message_makes_sense_for_a_day_after_its_step_was_due() -> None:
    world = World(shipped("welcome"))
    world.meet()
    world.hear("contact.created", received=NINE - dt.timedelta(hours=2))
    assert world.sends[0].due_at == NINE - dt.timedelta(hours=2)
    assert world.sends[0].deadline == NINE + dt.timedelta(hours=22)


def test_within_changes_the_deadline() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: contact.created}\n"
            + "steps: [{send: {template: a, within: 2h, topic: news}}]"
        )
    )
    world.meet()
    world.hear("contact.created")
    assert world.sends[0].deadline == NINE + dt.timedelta(hours=2)
    assert world.sends[0].topic == "news"


def test_a_marketing_step_a_day_late_is_skipped_and_the_journey_goes_on() -> None:
    world = World(shipped("welcome"))
    world.meet()
    world.hear("contact.created")
    world.sleep_through(days=3, hours=1)
    assert world.reasons("skipped") == ["too_late"]
    world.advance(days=3)
    assert world.mails == ["welcome-1", "welcome-3"]


def test_a_transactional_step_is_asked_for_however_late() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: order.placed}\nsteps: [{wait: 1h}, {send: {template: receipt}}]",
            marketing=False,
        )
    )
    world.meet()
    world.hear("order.placed")
    world.sleep_through(days=2)
    assert world.mails == ["receipt"]


def test_a_later_mail_overtakes_one_not_yet_handed_over_when_a_wait_lies_between() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: contact.created}\n"
            + "steps: [{send: {template: a}}, {send: {template: b}},"
            + " {wait: 1d}, {send: {template: c}}]"
        )
    )
    world.meet()
    world.hear("contact.created")
    world.hear("email.accepted", {"message": world.message("a")})
    world.advance(days=1)
    assert [send.overtakes for send in world.sends] == [(), (), (world.message("b"),)]


def test_a_loop_asks_for_a_new_message_on_each_visit() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: contact.created}\n"
            + "steps: [{send: {template: a}}, {wait: 1d}, {goto: a}]"
        )
    )
    world.meet()
    world.hear("contact.created")
    world.advance(days=3)
    assert len({send.message for send in world.sends}) == 4


# -- leaving ------------------------------------------------------------------------------------


def test_an_exit_step_leaves_what_was_asked_to_be_sent() -> None:
    world = World(
        program(
            HEAD
            + "trigger: {event: contact.created}\nsteps: [{send: {template: a}}, {exit: enough}]"
        )
    )
    world.meet()
    world.hear("contact.created")
    assert world.reasons("exited") == ["enough"]
    assert world.cancels == []


def test_an_erased_contact_leaves_everything() -> None:
    world = World(shipped("welcome"))
    world.meet()
    world.hear("contact.created")
    world.hear("privacy.erase_requested")
    assert world.active() == []
    assert len(world.cancels) == 1
    assert not world.timers


def test_those_inside_stay_on_their_version() -> None:
    old = program(
        HEAD + "trigger: {event: contact.created}\nsteps: [{wait: 1d}, {send: {template: old}}]"
    )
    new = program(
        HEAD + "trigger: {event: contact.created}\nsteps: [{wait: 1d}, {send: {template: new}}]",
        version=2,
    )
    world = World(old)
    world.meet()
    world.hear("contact.created")
    world.journeys = arrange([old, new])
    world.advance(days=1)
    assert [(send.template, send.version) for send in world.sends] == [("old@1", 1)]


def test_a_paused_journey_takes_nobody_in_and_holds_those_inside() -> None:
    welcome = shipped("welcome")
    world = World(welcome)
    world.meet()
    world.hear("contact.created")
    world.journeys = arrange([welcome], paused=["welcome"])
    world.advance(days=2)
    assert world.mails == ["welcome-1"]
    assert world.reasons("held") == ["paused"]
    assert not world.timers
    held = world.active()[0]
    assert held.held
    assert held.due_at == NINE + dt.timedelta(days=2)
