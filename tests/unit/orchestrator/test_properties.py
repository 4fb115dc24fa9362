"""Whatever comes, in whatever order: what can never be."""

import datetime as dt
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chappe.events import Flags
from tests.unit.orchestrator.world import World, program, shipped

LOOP = """
schema: 1
journey: loop
trigger: {event: [checkout.started, custom.again]}
entry: {key: event.checkout_token, again: always}
exit: [{event: order.placed, match: {event.checkout_token: entry.key}}]
steps:
  - send: {template: a}
  - wait: {for: {event: email.clicked, of: a}, at_most: 1d}
    then: [{wait: 1h}]
    timeout: [{exit: ignored}]
  - goto: a
"""

PROGRAMS = (shipped("welcome"), shipped("abandoned-cart"), program(LOOP))

ODD: list[Any] = [None, "k1", "k2", "k3", 7, True, [], {}]
tokens: st.SearchStrategy[Any] = st.sampled_from(ODD)
NAMES = (
    *("contact.created", "checkout.started", "checkout.updated", "order.placed", "custom.again"),
    *("email.accepted", "email.clicked", "email.opened", "email.skipped", "contact.deleted"),
)
flags = st.builds(Flags, historical=st.booleans(), copy=st.booleans(), unverified=st.booleans())
events: st.SearchStrategy[Any] = st.tuples(
    st.sampled_from(NAMES), tokens, tokens, flags, st.integers(0, 3)
)
hours = st.integers(0, 60)
repeats = st.just("repeat")
stale = st.just("stale timer")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(events, hours, repeats, stale), max_size=40))
def test_the_invariants_hold(story: list[Any]) -> None:
    world = World(*PROGRAMS)
    world.meet()
    last = world.event("page.viewed")
    fired: set[Any] = set()
    tokens_seen: dict[str, int] = {}
    for chapter in story:
        if isinstance(chapter, int):
            fired |= world.timers
            world.until(world.now + dt.timedelta(hours=chapter))
        elif chapter == "repeat":
            world.apply(last)
        elif chapter == "stale timer":
            for timer in fired - world.timers:
                world.apply(timer)
        else:
            name, checkout, cart, flags, mail = chapter
            sends = world.sends
            index = int(mail) % max(1, len(sends))
            message = sends[index].message if sends else None
            data: dict[str, Any] = {
                "checkout_token": checkout,
                "cart_token": cart,
                "message": message,
            }
            last = world.event(name, data, flags=flags)
            world.apply(last)
        check(world, tokens_seen)


def check(world: World, tokens_seen: dict[str, int]) -> None:
    messages = [send.message for send in world.sends]
    assert len(messages) == len(set(messages)), "one message asked for twice"
    armed = {timer.enrollment: timer for timer in world.timers}
    assert len(armed) == len(world.timers), "two timers for one enrollment"
    for enrollment in world.standing():
        assert enrollment.token >= tokens_seen.get(enrollment.id, 0), "a token went back"
        tokens_seen[enrollment.id] = enrollment.token
        timer = armed.pop(enrollment.id, None)
        if enrollment.status == "finished":
            assert timer is None, "a finished enrollment has a timer"
        else:
            assert timer is not None, "an active enrollment waits for nothing"
            assert (timer.due_at, timer.token) == (enrollment.due_at, enrollment.token)
    assert not armed
