"""What an author is told of a journey that is right as it stands."""

from chappe.journey import read_journey
from chappe.journey.notes import notes_on

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
