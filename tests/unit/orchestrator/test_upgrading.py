"""People inside a journey change to another version of it."""

import datetime as dt

from chappe_orchestrator.domain.orders import EXIT, UPGRADE
from chappe_orchestrator.domain.upgrading import foresee, moves_of
from tests.unit.orchestrator.world import World, small

DAY = dt.timedelta(days=1)
TRIGGER = "{event: custom.a}"
WAIT = "[{id: w, wait: 2d}, {send: {template: a}}]"


def inside(steps: str = WAIT, more: str = "") -> World:
    world = World(small(TRIGGER, steps, more))
    world.meet()
    world.hear("custom.a")
    return world


def upgrade(world: World, steps: str, moves: dict[str, str | None] | None = None) -> None:
    world.publish(small(TRIGGER, steps, version=2))
    (one,) = world.active()
    world.hear(UPGRADE, {"enrollment": one.id, "to": 2, "moves": moves or {}})


def test_a_longer_wait_counts_the_time_already_spent() -> None:
    world = inside()
    world.advance(days=1)
    upgrade(world, WAIT.replace("2d", "3d"))
    world.advance(days=1.5)
    assert world.mails == []
    world.advance(days=0.5)
    assert world.mails == ["a"]


def test_a_shorter_wait_that_is_over_ends_now_and_nothing_is_too_late() -> None:
    world = inside("[{id: w, wait: 10d}, {send: {template: a}}]")
    world.advance(days=5)
    upgrade(world, WAIT)
    world.advance(minutes=1)
    assert world.mails == ["a"]


def test_one_goes_on_at_once_from_a_wait_that_was_taken_out() -> None:
    old = small(TRIGGER, WAIT)
    world = inside()
    new = small(TRIGGER, "[{send: {template: a}}]", version=2)
    assert [one.kind for one in foresee(old, new, {})] == ["goes_on", "stays"]
    upgrade(world, "[{send: {template: a}}]", {**moves_of(old, new, {})})
    assert world.mails == ["a"]
    assert world.timers == set()


def test_one_without_anywhere_to_go_leaves_with_a_reason() -> None:
    world = inside()
    upgrade(world, "[{id: x, wait: 9d}, {send: {template: b}}]", {"w": None})
    assert world.active() == []
    assert world.reasons("exited") == ["step_removed"]
    assert world.timers == set()


def test_a_condition_is_looked_at_again() -> None:
    steps = (
        "[{id: w, wait: {for: {when: {contact.plan: PLAN}}, at_most: 9d}}, {send: {template: a}}]"
    )
    world = inside(steps.replace("PLAN", "gold"))
    world.hear("contact.updated", traits={"plan": "silver"})
    assert world.mails == []
    upgrade(world, steps.replace("PLAN", "silver"))
    assert world.mails == ["a"]


def test_who_is_held_by_a_pause_stays_held() -> None:
    world = inside()
    world.pause("j")
    world.advance(days=3)
    world.publish(small(TRIGGER, WAIT.replace("2d", "1d"), version=2), paused=("j",))
    (one,) = world.active()
    assert one.held
    world.hear(UPGRADE, {"enrollment": one.id, "to": 2, "moves": {}})
    assert world.mails == []
    (one,) = world.active()
    assert (one.held, one.version) == (True, 2)


def test_an_order_that_comes_twice_or_too_late_does_nothing() -> None:
    world = inside()
    upgrade(world, WAIT.replace("2d", "3d"))
    (one,) = world.active()
    order: dict[str, object] = {"enrollment": one.id, "to": 2, "moves": {}}
    world.hear(UPGRADE, order)
    world.hear(UPGRADE, {**order, "to": 9})
    world.hear(EXIT, {"enrollment": one.id, "reason": "asked"})
    world.hear(EXIT, {"enrollment": one.id, "reason": "asked"})
    world.hear(UPGRADE, order)
    assert len(world.said("upgraded")) == 1
    assert world.reasons("not_upgraded") == ["no_version"]
    assert world.reasons("exited") == ["asked"]
    assert world.timers == set()


def test_an_edit_while_inside_touches_nobody_until_they_are_moved() -> None:
    world = inside()
    world.publish(small(TRIGGER, WAIT.replace("2d", "9d"), version=2))
    world.advance(days=2)
    assert world.mails == ["a"]
