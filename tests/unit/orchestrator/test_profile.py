"""What is remembered of a contact, and that it stays small."""

import datetime as dt

import msgspec

from chappe.events import Flags
from chappe_orchestrator.domain import Profile
from chappe_orchestrator.domain.state import (
    COUNTED_DAYS_MAX,
    COUNTED_NAMES_MAX,
    MAILS_MAX,
    SEEN_MAX,
)
from tests.unit.orchestrator.world import EMAIL, NINE, World, program


def profile_of(world: World) -> Profile:
    return msgspec.json.decode(world.profile, type=Profile)


def test_an_unsubscribe_is_not_forgotten_by_a_restated_yes() -> None:
    world = World()
    world.meet()
    world.advance(hours=1)
    world.hear("contact.consent_changed", traits={"consent": {"email": "unsubscribed"}})
    world.hear("contact.updated", traits={"consent": {"email": "subscribed"}}, occurred=NINE)
    assert profile_of(world).consent["email"].state == "unsubscribed"


def test_a_click_on_unsubscribe_lowers_consent() -> None:
    world = World()
    world.meet()
    world.advance(hours=1)
    world.hear("email.unsubscribed", {"message": "m_1"})
    assert profile_of(world).consent["email"].state == "unsubscribed"


def test_opting_out_of_one_topic_leaves_the_channel_open() -> None:
    world = World()
    world.meet()
    world.hear("email.unsubscribed", {"topic": "offers", "scope": "topic"})
    assert profile_of(world).consent["email"].state == "subscribed"


def test_traits_are_merged_and_null_forgets_one() -> None:
    world = World()
    world.hear("contact.updated", traits={"first_name": "Zoé", "city": "Lyon"})
    world.hear("contact.updated", traits={"city": None, "tags": ["vip", 7]})
    assert profile_of(world).traits == {"first_name": "Zoé"}
    assert profile_of(world).tags == ["vip"]


def test_what_is_long_past_fills_gaps_and_overwrites_nothing() -> None:
    world = World()
    world.hear("contact.updated", traits={"city": "Lyon"}, email=EMAIL)
    world.hear(
        "contact.updated",
        traits={"city": "Paris", "first_name": "Zoé"},
        email="old@example.com",
        flags=Flags(historical=True),
    )
    profile = profile_of(world)
    assert profile.traits == {"city": "Lyon", "first_name": "Zoé"}
    assert profile.email == EMAIL


def test_a_busy_source_cannot_make_a_profile_large() -> None:
    world = World()
    for n in range(3_000):
        world.now = NINE + dt.timedelta(hours=n)
        world.hear("page.viewed", {"url": "x" * 5_000})
        if n < 500:
            world.hear(f"custom.spam_{n}", traits={f"t{n}": "x" * 900, "big": "x" * 5_000})
    profile = profile_of(world)
    assert profile.counters["page.viewed"].total == 3_000
    assert len(profile.counters["page.viewed"].days) == COUNTED_DAYS_MAX
    assert len(profile.counters) <= COUNTED_NAMES_MAX
    assert len(profile.seen) == SEEN_MAX
    assert "big" not in profile.traits
    assert len(world.profile) < 128 * 1024


def test_only_the_last_mails_are_remembered() -> None:
    world = World(
        program("""
schema: 1
journey: daily
trigger: {event: contact.created}
steps: [{send: {template: a}}, {wait: 1d}, {goto: a}]
""")
    )
    world.meet()
    world.hear("contact.created")
    world.advance(days=40)
    assert len(profile_of(world).mails) == MAILS_MAX
    assert len(world.active()[0].asked) <= MAILS_MAX


def test_an_event_with_a_huge_body_leaves_a_bounded_snapshot() -> None:
    world = World(
        program("""
schema: 1
journey: j
trigger: {event: order.placed}
steps: [{send: {template: a}}]
""")
    )
    world.meet()
    items = [{"title": "x" * 5_000} for _ in range(500)]
    world.hear("order.placed", {"items": items, "number": "#1"})
    send = world.sends[0]
    assert send.snapshot.event["number"] == "#1"
    assert len(send.snapshot.event["items"]) == 20
    assert len(msgspec.json.encode(send)) < 64 * 1024
