"""What an author is told of a journey that is right as it stands."""

from chappe.journey import read_journey
from chappe.journey.notes import notes_on, notes_on_segment
from chappe.journey.segments import Segment

TEXT = """
schema: 1
journey: example
trigger: {{event: contact.created}}
entry: {{filter: {{did: {event}, where: {{event.total: {{at_least: 5}}}}}}}}
steps: [{{send: {{template: hello}}}}]
"""


def test_history_that_begins_with_the_publication_is_said() -> None:
    (note,) = notes_on(read_journey(TEXT.format(event="cart.updated")))
    assert note.startswith("cart.updated: its history is kept only from the first publication")


def test_orders_are_always_kept() -> None:
    assert notes_on(read_journey(TEXT.format(event="order.placed"))) == []


def test_a_wait_for_what_only_time_changes_is_pointed_to_a_segment() -> None:
    text = """
schema: 1
journey: example
trigger: {event: contact.created}
exit: [{when: {tag: vip}}, {when: {last: order.placed, at: {before: -30d}}}]
steps:
  - wait: {for: {when: {contact.renews: {within_next: 7d}}}, at_most: 90d}
  - wait: {for: [{when: {segment: lapsed}}, {event: order.placed}], at_most: 90d}
"""
    assert [note.partition(":")[0] for note in notes_on(read_journey(text))] == [
        "exit[1]", "wait-1",
    ]  # fmt: skip


def test_names_that_nobody_knows_are_said_once_with_the_nearest() -> None:
    rule = {
        "any": [{"segment": "loyl"}, {"not": {"segment": "loyl"}}, {"topic": {"a": "subscribed"}}]
    }
    segment = Segment.model_validate({"schema": 1, "segment": "s", "rule": rule})
    assert notes_on_segment(segment, {"segment": {"loyal"}}) == [
        "no segment is called 'loyl', did you mean 'loyal'?"
    ]
    assert notes_on_segment(segment) == []


def test_a_window_longer_than_the_history_is_said() -> None:
    rule = {"did": "order.placed", "since": "800d"}
    segment = Segment.model_validate({"schema": 1, "segment": "s", "rule": rule})
    assert notes_on_segment(segment) == ["the history goes back 400 days, not 800"]
