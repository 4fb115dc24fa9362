"""The abandoned-cart recipe, as it ships."""

import pytest

from chappe.events import Flags
from chappe_orchestrator.domain.state import WATCHED_MAX
from tests.unit.orchestrator.world import EMAIL, World, shipped

CART = {"checkout_token": "k1", "cart_token": "t1", "total": {"amount": "30.00", "currency": "EUR"}}


@pytest.fixture
def world() -> World:
    return World(shipped("abandoned-cart"))


def started(world: World) -> World:
    world.meet()
    world.hear("checkout.started", CART)
    return world


def test_a_cart_left_alone_gets_three_mails_at_their_times(world: World) -> None:
    started(world)
    world.advance(minutes=59)
    assert world.mails == []
    world.advance(minutes=1)
    assert world.mails == ["cart-1"]
    world.advance(hours=23)
    assert world.mails == ["cart-1", "cart-2"]
    world.advance(days=2)
    assert world.mails == ["cart-1", "cart-2", "cart-3"]
    assert world.reasons("finished") == ["finished"]
    assert not world.timers


def test_a_click_changes_the_path_to_a_shorter_mail_twenty_minutes_later(world: World) -> None:
    started(world)
    world.advance(hours=2)
    world.hear("email.clicked", {"message": world.message("cart-1"), "verdict": "human"})
    world.advance(minutes=19)
    assert world.mails == ["cart-1"]
    world.advance(minutes=1)
    assert world.mails == ["cart-1", "cart-2-clicked"]
    world.advance(days=5)
    assert world.mails == ["cart-1", "cart-2-clicked", "cart-3"]


def test_a_machine_that_follows_links_does_not_change_the_path(world: World) -> None:
    started(world)
    world.advance(hours=2)
    world.hear("email.clicked", {"message": world.message("cart-1"), "verdict": "machine"})
    world.advance(days=5)
    assert world.mails == ["cart-1", "cart-2", "cart-3"]


def test_a_click_in_another_mail_does_not_change_the_path(world: World) -> None:
    started(world)
    world.advance(hours=2)
    world.hear("email.clicked", {"message": "m_other", "verdict": "human"})
    world.advance(days=1)
    assert world.mails == ["cart-1", "cart-2"]


def test_an_order_ends_the_cart_at_once(world: World) -> None:
    started(world)
    world.advance(minutes=30)
    world.hear("order.placed", {"checkout_token": "k1", "cart_token": "t1"})
    assert world.active() == []
    assert not world.timers
    world.advance(days=5)
    assert world.mails == []
    assert world.reasons("exited") == ["order.placed"]
    assert world.reasons("goal_reached") == ["order.placed"]


def test_an_order_that_arrives_before_the_checkout_closes_its_key(world: World) -> None:
    world.meet()
    world.hear("order.placed", {"checkout_token": "k1"})
    world.advance(minutes=1)
    world.hear("checkout.updated", CART)
    assert world.active() == []
    assert world.reasons("not_entered") == ["closed_key"]
    world.advance(days=5)
    assert world.mails == []


def test_an_order_known_by_the_cart_token_alone_closes_the_key_too(world: World) -> None:
    world.meet()
    world.hear("order.placed", {"cart_token": "t1"})
    world.hear("checkout.started", CART)
    assert world.reasons("not_entered") == ["closed_key"]


def test_a_checkout_that_is_completed_triggers_nothing(world: World) -> None:
    world.meet()
    world.hear("checkout.updated", {**CART, "completed": True})
    assert world.reasons("not_entered") == ["completed"]


def test_a_checkout_without_an_address_waits_for_one(world: World) -> None:
    world.hear("checkout.started", CART)
    world.advance(minutes=30)
    world.meet()
    world.advance(minutes=30)
    assert [send.address for send in world.sends] == [EMAIL]


def test_a_checkout_that_never_gets_an_address_is_skipped_with_the_reason(world: World) -> None:
    world.hear("checkout.started", CART)
    world.advance(days=5)
    assert world.mails == []
    assert world.reasons("skipped") == ["no_address"] * 3


def test_an_order_ends_a_checkout_that_had_no_address_yet(world: World) -> None:
    world.hear("checkout.started", CART)
    world.hear("order.placed", {"checkout_token": "k1"}, email=EMAIL)
    world.advance(days=5)
    assert world.mails == []


def test_an_order_takes_back_the_mail_that_is_still_queued(world: World) -> None:
    started(world)
    world.advance(hours=1)
    world.hear("order.placed", {"checkout_token": "k1"})
    assert [(c.message, c.reason) for c in world.cancels] == [
        (world.message("cart-1"), "order.placed")
    ]
    assert world.reasons("cancelled") == ["order.placed"]


def test_an_order_takes_back_the_last_mail_though_the_journey_is_over(world: World) -> None:
    started(world)
    world.advance(days=4)
    assert world.active() == []
    world.hear("email.accepted", {"message": world.message("cart-1")})
    world.hear("email.accepted", {"message": world.message("cart-2")})
    world.hear("order.placed", {"checkout_token": "k1"})
    assert [c.message for c in world.cancels] == [world.message("cart-3")]


def test_a_mail_that_was_accepted_is_not_taken_back(world: World) -> None:
    started(world)
    world.advance(hours=1)
    world.hear("email.accepted", {"message": world.message("cart-1")})
    world.hear("order.placed", {"checkout_token": "k1"})
    assert world.cancels == []
    assert world.active() == []


def test_an_order_without_any_token_ends_every_open_cart_of_the_contact(world: World) -> None:
    started(world)
    world.hear("order.placed", {"order_id": "1"})
    assert world.active() == []


def test_an_order_of_another_cart_ends_this_one_as_well(world: World) -> None:
    started(world)
    world.hear("order.placed", {"checkout_token": "k9"})
    assert world.reasons("exited") == ["order.placed"]


def test_of_two_carts_the_newest_wins(world: World) -> None:
    started(world)
    world.advance(minutes=30)
    world.hear("checkout.started", {"checkout_token": "k2"})
    assert world.reasons("exited") == ["newer_cart"]
    assert [one.key for one in world.active()] == ["k2"]
    world.advance(minutes=60)
    assert world.mails == ["cart-1"]
    assert world.sends[0].snapshot.entry == {"key": "k2"}


def test_a_changed_cart_does_not_restart_the_wait(world: World) -> None:
    started(world)
    world.advance(minutes=40)
    world.hear("checkout.updated", CART)
    world.advance(minutes=20)
    assert world.mails == ["cart-1"]
    assert world.reasons("not_entered") == ["already_entered"]


def test_two_tabs_of_one_cart_are_one_enrollment(world: World) -> None:
    world.meet()
    world.hear("checkout.started", {"cart_token": "t1"})
    world.hear("checkout.started", {"checkout_token": "k1", "cart_token": "t1"})
    assert [one.key for one in world.active()] == ["t1"]


def test_a_cart_met_again_under_a_new_token_is_ended_by_that_token(world: World) -> None:
    world.meet()
    world.hear("checkout.started", {"cart_token": "t1"})
    world.hear("checkout.updated", {"checkout_token": "k1", "cart_token": "t1"})
    assert world.active()[0].aliases == ["t1", "k1"]


def test_a_checkout_without_any_token_does_not_enter(world: World) -> None:
    world.meet()
    world.hear("checkout.started", {"total": {"amount": "3", "currency": "EUR"}})
    assert world.reasons("not_entered") == ["no_key"]


def test_a_copied_order_ends_the_cart_and_counts_nowhere(world: World) -> None:
    started(world)
    world.hear("order.placed", {"checkout_token": "k1"}, flags=Flags(copy=True))
    assert world.active() == []
    assert world.said("goal_reached") == []
    world.hear("checkout.updated", CART)
    assert world.reasons("not_entered") == ["closed_key"]


def test_a_historical_order_ends_the_cart_but_is_nobodys_goal(world: World) -> None:
    started(world)
    world.hear("order.placed", {"checkout_token": "k1"}, flags=Flags(historical=True))
    assert world.active() == []
    assert world.said("goal_reached") == []


def test_a_historical_checkout_does_not_enter(world: World) -> None:
    world.meet()
    world.hear("checkout.started", CART, flags=Flags(historical=True))
    assert world.reasons("not_entered") == ["historical"]


def test_an_order_after_the_last_mail_still_counts_as_the_goal(world: World) -> None:
    started(world)
    world.advance(days=4)
    assert world.active() == []
    world.hear("order.placed", {"checkout_token": "k1"})
    world.hear("order.placed", {"checkout_token": "k2"})
    assert len(world.said("goal_reached")) == 1


def test_an_order_long_after_the_entry_is_not_its_goal(world: World) -> None:
    started(world)
    world.advance(days=6)
    world.hear("order.placed", {"checkout_token": "k1"})
    assert world.said("goal_reached") == []


def test_only_the_last_carts_are_still_watched_for_their_goal(world: World) -> None:
    world.meet()
    for n in range(WATCHED_MAX + 10):
        world.hear("checkout.started", {"checkout_token": f"k{n}"})
    world.hear("order.placed", {"checkout_token": "k0"})
    assert len(world.said("goal_reached")) == WATCHED_MAX + 1


def test_the_same_event_twice_changes_nothing(world: World) -> None:
    world.meet()
    event = world.event("checkout.started", CART)
    world.apply(event)
    before = (world.profile, dict(world.enrollments), list(world.decisions))
    world.apply(event)
    assert (world.profile, world.enrollments, world.decisions) == before


def test_the_mail_shows_the_cart_and_the_contact(world: World) -> None:
    world.meet(first_name="Zoé", locale="fr-FR")
    world.hear("checkout.started", CART)
    world.advance(hours=1)
    send = world.sends[0]
    assert send.template == "cart-1@1"
    assert send.topic == "offers"
    assert send.locale == "fr-FR"
    assert send.snapshot.event == CART
    assert send.snapshot.contact["first_name"] == "Zoé"
