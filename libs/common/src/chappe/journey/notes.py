"""What its author should know of a journey that is right as it stands."""

from chappe.journey.definition import Journey
from chappe.journey.program import compile_program

ALWAYS_REMEMBERED = frozenset({"order.placed", "order.refunded"})
"""Few, and asked for most: their history is there when a journey first asks. Any other name is
remembered from the publication of the first condition on that asks for it.
"""


def notes_on(journey: Journey) -> list[str]:
    """Warnings, a sentence each."""
    asked = {query.event for query in compile_program(journey).needs_history}
    return [
        f"{name}: its history is kept only from the first publication that asks for it on; "
        "what happened before counts as never happened"
        for name in sorted(asked - ALWAYS_REMEMBERED)
    ]
