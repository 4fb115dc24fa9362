"""Carts that are left behind, and the purchase that ends the reminders."""

from chappe_recipes import recipe
from tests.e2e.journeys import Stage

RECIPE = "abandoned-cart"
EACH = """\
schema: 1
journey: each-cart
trigger: {event: [checkout.started, checkout.updated]}
entry: {key: event.checkout_token}
exit: [{event: order.placed, match: {event.checkout_token: entry.key}}]
steps:
  - wait: 1h
  - send: {template: each-1}
  - wait: 1d
  - send: {template: each-2}
"""
QUOTE = """\
schema: 1
journey: quote
trigger: {event: custom.quote_made}
entry: {key: event.quote}
exit: [{event: custom.quote_signed, match: {event.quote: entry.key}}]
steps: [{wait: 1h}, {send: {template: sign-it}}]
"""
BOTH_REMINDERS = [
    "entered",
    "waiting wait-1",
    "wait_over wait-1: time",
    "asked each-1",
    "waiting wait-2",
    "handed_over each-1",
    "wait_over wait-2: time",
    "asked each-2",
    "finished: finished",
    "handed_over each-2",
]


def fills(stage: Stage, who: str, cart: str) -> None:
    stage.hears(who, "Checkout Started", checkout_id=cart, value=40, currency="EUR")


def buys(stage: Stage, who: str, cart: str) -> None:
    order = {"order_id": f"of-{cart}", "checkout_id": cart, "total": 40, "currency": "EUR"}
    stage.hears(who, "Order Completed", **order)


def test_buying_a_cart_takes_back_its_mail_that_is_still_queued(stage: Stage) -> None:
    stage.publish(recipe(RECIPE).journey)
    zoe = stage.meets("zoe")
    fills(stage, "zoe", "z1")
    queue = stage.done("POST", "/api/v1/sending/stops", {"kind": "journey", "value": RECIPE})
    stage.advance("PT1H")
    assert stage.messages(zoe) == [("cart-1", "pending")]
    buys(stage, "zoe", "z1")
    assert stage.messages(zoe) == [("cart-1", "cancelled")]
    stage.done("POST", "/api/v1/sending/resume", {"stop": queue["id"]})
    stage.advance("P5D")
    assert stage.story(zoe, RECIPE) == [
        "entered",
        "waiting wait-1",
        "wait_over wait-1: time",
        "asked cart-1",
        "waiting wait-2",
        "goal_reached: order.placed",
        "exited wait-2: order.placed",
        "cancelled cart-1: order.placed",  # asked back by the journey …
        "cancelled cart-1: order.placed",  # … and taken out of the queue by the sender
    ]
    assert stage.box.mails("zoe@example.com") == []


def test_two_tabs_of_one_cart_are_one_run(stage: Stage) -> None:
    stage.publish(EACH)
    tom = stage.meets("tom")
    fills(stage, "tom", "t1")
    stage.tells("tom", "checkout.updated", checkout_token="t1")
    stage.advance("P2D")
    known = "not_entered: already_entered"
    assert stage.story(tom, "each-cart") == [*BOTH_REMINDERS[:2], known, *BOTH_REMINDERS[2:]]


def test_of_two_carts_only_the_bought_one_is_left_alone(stage: Stage) -> None:
    stage.publish(EACH)
    amy = stage.meets("amy")
    fills(stage, "amy", "a1")
    fills(stage, "amy", "a2")
    stage.advance("PT2H")
    buys(stage, "amy", "a1")
    stage.advance("P2D")
    first, second = stage.enrollments(amy, "each-cart")
    assert (first["key"], first["reason"]) == ("a1", "order.placed")
    assert (second["key"], second["reason"]) == ("a2", "finished")
    assert stage.story_of(amy, first["id"]) == [*BOTH_REMINDERS[:6], "exited wait-2: order.placed"]
    assert stage.story_of(amy, second["id"]) == BOTH_REMINDERS


def test_in_the_recipe_a_newer_cart_takes_the_place_of_the_older(stage: Stage) -> None:
    stage.publish(recipe(RECIPE).journey)
    bea = stage.meets("bea")
    fills(stage, "bea", "b1")
    stage.advance("PT30M")
    fills(stage, "bea", "b2")
    stage.advance("PT1H")
    assert stage.story(bea, RECIPE) == [
        "entered",
        "waiting wait-1",
        "exited wait-1: newer_cart",
        "entered",
        "waiting wait-1",
        "wait_over wait-1: time",
        "asked cart-1",
        "waiting wait-2",
        "handed_over cart-1",
    ]


def test_an_order_that_comes_before_its_cart_prevents_the_reminders(stage: Stage) -> None:
    stage.publish(EACH, recipe(RECIPE).journey)
    eve = stage.meets("eve")
    buys(stage, "eve", "e1")
    fills(stage, "eve", "e1")
    stage.advance("P2D")
    assert stage.story(eve, "each-cart") == ["not_entered: completed"]
    assert stage.story(eve, RECIPE) == ["not_entered: completed"]
    assert stage.messages(eve) == []


def test_what_ends_a_run_also_closes_its_key_before_the_run_began(stage: Stage) -> None:
    stage.publish(QUOTE)
    max_ = stage.meets("max")
    stage.hears("max", "Quote Signed", quote="q1")
    stage.hears("max", "Quote Made", quote="q1")
    stage.hears("max", "Quote Made", quote="q2")
    stage.hears("max", "Quote Made")
    stage.advance("PT2H")
    assert stage.story(max_, "quote") == [
        "not_entered: closed_key",
        "entered",
        "waiting wait-1",
        "not_entered: no_key",
        "wait_over wait-1: time",
        "asked sign-it",
        "finished: finished",
        "handed_over sign-it",
    ]
