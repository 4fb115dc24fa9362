"""Who may enter beside the trigger, and every rule that ends an enrollment."""

import pytest

from tests.unit.orchestrator.world import EMAIL, World, small

GO = "{event: custom.go}"
SLOW = "[{wait: 1h}, {send: {template: a}}]"


def met(program: object, **settings: object) -> World:
    world = World(program, settings=settings)  # type: ignore[arg-type]
    world.meet()
    return world


def test_no_more_than_so_many_at_once() -> None:
    world = met(small(GO, SLOW, "entry: {key: event.k, at_most: 2}"))
    for key in ("a", "b", "c"):
        world.hear("custom.go", {"k": key})
    assert world.reasons("not_entered") == ["too_many_at_once"]
    world.advance(hours=1)
    world.hear("custom.go", {"k": "d"})
    assert len(world.said("entered")) == 3


def test_nobody_enters_before_it_starts_or_after_it_ends() -> None:
    entry = "entry: {key: event.k, starts: 2026-12-01, ends: 2026-12-24}"
    world = met(small(GO, SLOW, entry))
    for day, key in (("11-30", "a"), ("12-01", "b"), ("12-24", "c")):
        world.at(f"2026-{day}T00:00:00Z")
        world.hear("custom.go", {"k": key})
    assert world.reasons("not_entered") == ["not_started", "ended"]
    assert len(world.said("entered")) == 1


def test_the_held_out_walk_the_journey_and_their_message_is_trapped() -> None:
    world = met(
        small(
            GO,
            "[{send: {template: a}}, {wait: 1h}, {send: {template: b}}]",
            "entry: {holdout: 99.9999}",
        )
    )
    world.hear("custom.go")
    world.advance(hours=1)
    assert world.sends == []
    assert world.reasons("trapped") == ["holdout", "holdout"]
    assert world.said("trapped")[0].message is not None
    assert world.reasons("finished") == ["finished"]


def test_transactional_mail_is_not_held_out() -> None:
    entry = "entry: {holdout: 99.9999}"
    world = met(small(GO, "[{send: {template: a}}]", entry, marketing=False))
    world.hear("custom.go")
    assert world.mails == ["a"]


def test_a_workspace_may_hold_out_a_share_of_its_own() -> None:
    world = met(small(GO, "[{send: {template: a}}]"), holdout=99.9999)
    world.hear("custom.go")
    assert world.reasons("trapped") == ["holdout"]


def test_holdout_is_sticky_and_about_as_large_as_it_says() -> None:
    from chappe_orchestrator.domain.lots import lot  # noqa: PLC0415

    lots = [lot("default", "holdout", "j", f"c_{n}") for n in range(4_000)]
    assert lots[0] == lot("default", "holdout", "j", "c_0")
    assert 0.08 < sum(one < 0.1 for one in lots) / len(lots) < 0.12


def test_a_condition_on_the_contact_ends_the_enrollment_at_once() -> None:
    world = met(small(GO, SLOW, "exit: [{when: {contact.vip: true}}]"))
    world.hear("custom.go")
    world.hear("contact.updated", traits={"vip": True})
    assert world.reasons("exited") == ["condition"]
    assert world.said("exited")[0].seen == {"contact.vip": True}
    assert not world.timers


def test_the_goal_ends_the_enrollment_where_the_rule_says_so() -> None:
    more = "goal: {event: order.placed, within: 5d, where: {event.n: 2}}\nexit: [{goal: true}]"
    world = met(small(GO, SLOW, more))
    world.hear("custom.go")
    world.hear("order.placed", {"n": 1})
    assert len(world.active()) == 1
    world.hear("order.placed", {"n": 2})
    assert world.reasons("exited") == ["goal"]


def test_a_goal_step_is_a_goal_too() -> None:
    world = met(small(GO, "[{goal: read}, {send: {template: a}}]", "exit: [{goal: true}]"))
    world.hear("custom.go")
    assert world.reasons("goal_reached") == ["read"]
    assert world.mails == []


def test_at_the_end_date_everybody_leaves_in_the_middle_of_a_wait() -> None:
    world = met(small(GO, "[{wait: 60d}, {send: {template: a}}]", "exit: [{at: 2026-12-24}]"))
    world.hear("custom.go")
    assert len(world.timers) == 1
    world.at("2026-12-24T00:00:00Z")
    assert world.reasons("exited") == ["end_date"]
    assert not world.timers
    world.hear("custom.go")
    assert world.reasons("not_entered") == ["ended"]


def test_an_exit_takes_back_the_mail_and_the_call_not_yet_handed_over() -> None:
    steps = """[{send: {template: a}}, {webhook: {url: "https://crm.example.com/x"}}, {wait: 1d}]"""
    world = met(small(GO, steps, "exit: [{event: order.placed}]"))
    world.hear("custom.go")
    world.hear("order.placed")
    assert [cancel.message for cancel in world.cancels] == [world.message("a")]
    assert world.dropped == [world.calls[0].id]
    assert not world.timers


def test_an_enrollment_that_was_paused_over_its_due_date_goes_on_and_skips_what_is_too_old() -> (
    None
):
    steps = "[{wait: 1d}, {send: {template: a}}, {wait: 1d}, {send: {template: b}}]"
    world = met(small(GO, steps))
    world.hear("custom.go")
    world.pause("j")
    world.advance(days=3)
    assert world.mails == []
    world.resume()
    assert world.reasons("skipped") == ["too_late"]
    world.advance(days=1)
    assert world.mails == ["b"]


def test_a_pause_shorter_than_the_catch_up_limit_skips_nothing() -> None:
    world = met(small(GO, "[{wait: 1d}, {send: {template: a}}]"))
    world.hear("custom.go")
    world.pause("j")
    world.advance(hours=40)
    world.resume()
    assert world.mails == ["a"]


def test_whoever_is_inside_stays_on_its_version() -> None:
    world = met(small(GO, "[{wait: 1d}, {send: {template: old}}]", "entry: {key: event.k}"))
    world.hear("custom.go", {"k": "a"})
    world.publish(
        small(GO, "[{wait: 2d}, {send: {template: new}}]", "entry: {key: event.k}", version=2)
    )
    world.hear("custom.go", {"k": "b"})
    world.advance(days=1)
    assert world.mails == ["old"]
    world.advance(days=1)
    assert world.mails == ["old", "new"]


CART = """entry: {key: [event.checkout_token, event.cart_token]%s}
exit:
  - event: order.placed
    match: {any: [event.checkout_token, event.cart_token], is: entry.key}"""


def cart(more: str = "") -> World:
    return met(small("{event: checkout.started}", SLOW, CART % more))


def test_two_tabs_of_the_same_cart_are_one_cart() -> None:
    world = cart()
    world.hear("checkout.started", {"checkout_token": "t1", "cart_token": "c"})
    world.hear("checkout.started", {"checkout_token": "t2", "cart_token": "c"})
    assert len(world.active()) == 1
    world.hear("order.placed", {"checkout_token": "t2"})
    assert world.active() == []


def test_of_two_carts_at_once_the_newest_goes_on_or_each_goes_its_way() -> None:
    for more, left in ((", newest_only: true", ["c2"]), ("", ["c1", "c2"])):
        world = cart(more)
        world.hear("checkout.started", {"cart_token": "c1"})
        world.hear("checkout.started", {"cart_token": "c2"})
        assert [one.key for one in world.active()] == left


def test_an_order_that_arrives_before_its_cart_prevents_the_journey() -> None:
    world = cart()
    world.hear("order.placed", {"cart_token": "c1"})
    world.hear("checkout.started", {"cart_token": "c1"})
    assert world.reasons("not_entered") == ["closed_key"]


@pytest.mark.parametrize("occurred_later", [True, False])
def test_the_clocks_do_not_matter_to_a_closed_key(occurred_later: bool) -> None:
    import datetime as dt  # noqa: PLC0415

    world = cart()
    world.hear("order.placed", {"cart_token": "c1"})
    shift = dt.timedelta(hours=1 if occurred_later else -1)
    world.hear("checkout.started", {"cart_token": "c1"}, occurred=world.now + shift)
    assert world.reasons("not_entered") == ["closed_key"]


def test_the_contact_is_known_by_its_address() -> None:
    world = cart()
    world.hear("checkout.started", {"cart_token": "c1"})
    world.advance(hours=1)
    assert world.sends[0].address == EMAIL
