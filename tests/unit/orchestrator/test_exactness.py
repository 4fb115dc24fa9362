"""What the simulator and the reference found, each as a sentence."""

import datetime as dt
from typing import Any

import msgspec

from chappe_orchestrator.domain import Timer, step
from chappe_orchestrator.domain.effects import Effects, Recheck
from tests.unit.orchestrator.world import World, small

SILENT = "{inactive: {event: order.placed, for: 60d}}"
HI = "[{send: {template: hi}}]"
HOOK = "{id: h, webhook: {url: https://example.com/hook}}"
ANSWERED = "{wait: {for: {event: webhook.answered, of: h}, at_most: 1d}, then: [{exit: answered}]}"


def met(*programs: Any) -> World:
    world = World(*programs)
    world.meet()
    return world


def read(world: World, one: Timer | Recheck, until: dt.datetime) -> Effects:
    """Time is the input, and the log has been read so far only."""
    state = world._load((one,))
    state.read_keys = None
    state, effects = step(state, [one], now=world.now, journeys=world.journeys, read_until=until)
    world.profile = msgspec.json.encode(state.profile)
    return effects


def test_a_silence_is_over_only_when_the_log_has_been_read_to_its_end() -> None:
    world = met(small(SILENT, HI))
    world.hear("order.placed")
    (timer,) = world.timers
    world.now += dt.timedelta(days=10)
    world.hear("order.placed")
    end = world.now + dt.timedelta(days=60)
    world.now = end + dt.timedelta(hours=1)  # late, and what came since is not read yet
    effects = read(world, timer, timer.due_at)
    assert not effects.commands
    assert [one.due_at for one in effects.timers_set] == [end]


def test_a_sweep_enters_nobody_for_a_date_that_may_have_been_moved_meanwhile() -> None:
    journey = small("{date: contact.day}", HI)
    world = met()
    day = world.now + dt.timedelta(hours=2)
    world.hear("contact.updated", traits={"day": day.isoformat()})
    world.publish(journey)
    world.now = day + dt.timedelta(minutes=1)
    effects = read(world, Recheck("j"), day - dt.timedelta(minutes=1))
    assert not effects.commands
    assert [one.due_at for one in effects.timers_set] == [day]


def test_the_answer_to_an_earlier_call_opens_no_wait() -> None:
    steps = f"[{{id: t, wait: 1h}}, {HOOK}, {ANSWERED}, {{goto: t}}]"
    world = met(small("{event: custom.a}", steps))
    world.hear("custom.a")
    world.advance(hours=1)
    world.advance(days=1, hours=1)
    first, second = world.calls
    for call in (first, second):
        told = {"call": call.id, "enrollment": call.enrollment, "step": "h", "answer": {"ok": True}}
        world.hear("webhook.answered", told)
        assert bool(world.active()) is (call is first)


def test_an_exit_drops_the_open_call_of_a_journey_that_is_over() -> None:
    exits = "exit: [{event: order.placed}]"
    world = met(small("{event: custom.a}", f"[{HOOK}]", exits))
    world.hear("custom.a")
    assert not world.active()
    world.hear("order.placed")
    assert world.dropped == [call.id for call in world.calls]
