"""Two contacts are one person: whose journey goes on, and what travels no further."""

import datetime as dt
from typing import Any

import msgspec

from chappe.events import Event, Flags, rename
from chappe.ids import ContactId, EnrollmentId, EventId
from chappe_orchestrator.domain import Contact, Enrollment, Profile
from chappe_orchestrator.domain.merging import HOPS_MAX, forwarded, merged_into, transfers
from tests.unit.orchestrator.world import DEFAULT, NINE, ZOE, World, small

OLD = ContactId("c_old")
MINUTE = dt.timedelta(minutes=1)


def said(name: str, contact: ContactId, **data: Any) -> Event:
    return Event(
        id=EventId(f"e_{name}"),
        name=name,
        workspace=DEFAULT,
        occurred_at=NINE,
        received_at=NINE,
        contact=contact,
        data=data,
    )


def test_only_the_one_that_goes_leaves() -> None:
    assert merged_into(said("contact.merged", OLD, **{"from": OLD, "into": ZOE})) == ZOE
    assert merged_into(said("contact.merged", ZOE, **{"from": OLD, "into": ZOE})) is None
    assert merged_into(said("contact.merged", OLD, **{"from": OLD, "into": OLD})) is None


def test_a_circle_of_merges_sends_an_event_on_only_so_often() -> None:
    event: Event | None = said("order.placed", OLD)
    hops = 0
    while event is not None:
        onward = forwarded(event, ZOE if event.contact == OLD else OLD)
        assert onward is None or onward.id == event.id
        event, hops = onward, hops + (onward is not None)
    assert hops == HOPS_MAX


def test_what_was_derived_from_an_event_is_not_sent_on_with_it() -> None:
    event = rename(said("segment.entered", OLD), flags=Flags(derived=True))
    assert forwarded(event, ZOE) is None


def test_the_parts_of_a_transfer_have_ids_of_their_own_and_the_same_ones_again() -> None:
    state = Contact(OLD, DEFAULT, Profile())
    merge = said("contact.merged", OLD, **{"from": OLD, "into": ZOE})
    once, again = transfers(state, merge, ZOE, NINE), transfers(state, merge, ZOE, NINE)
    assert [part.id for part in once] == [part.id for part in again]
    assert len({part.id for part in once}) == len(once)
    assert all(part.contact == ZOE and not part.flags.derived for part in once)


GO = "{event: custom.go}"
STEPS = "[{send: {template: one}}, {wait: P1D}, {send: {template: two}}]"


def inside(*, hours: float, mails: int = 1) -> tuple[World, Enrollment]:
    """A world whose contact entered so long ago, and its run as another contact had it."""
    world = World(small(GO, STEPS, "entry: {again: never}"))
    world.meet()
    mine = world.now
    world.now = mine - dt.timedelta(hours=hours)
    world.hear("custom.go")
    world.now = mine
    (own,) = world.active()
    theirs = msgspec.json.decode(msgspec.json.encode(own), type=Enrollment)
    theirs.id, theirs.key, theirs.entered_at = EnrollmentId("n_old"), OLD, mine
    theirs.asked = theirs.asked * mails
    return world, theirs


def take_in(world: World, theirs: Enrollment) -> None:
    state = Contact(OLD, DEFAULT, Profile(), {theirs.id: theirs})
    merge = said("contact.merged", OLD, **{"from": OLD, "into": ZOE})
    for part in transfers(state, merge, ZOE, world.now):
        world.apply(part)


def test_of_two_runs_of_one_identity_the_one_that_has_sent_more_goes_on() -> None:
    world, theirs = inside(hours=3, mails=2)
    take_in(world, theirs)
    (left,) = world.active()
    assert (left.id, left.key) == ("n_old", ZOE)
    assert world.reasons("exited") == ["merged"]


def test_on_a_tie_the_older_run_goes_on() -> None:
    world, theirs = inside(hours=3)
    take_in(world, theirs)
    (left,) = world.active()
    assert left.id != "n_old"
    assert world.reasons("exited") == ["merged"]


def test_a_run_that_is_taken_in_twice_is_there_once() -> None:
    world, theirs = inside(hours=3, mails=2)
    take_in(world, theirs)
    take_in(world, theirs)
    assert len(world.active()) == 1
    assert world.reasons("exited") == ["merged"]
