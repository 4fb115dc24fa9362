"""What is counted, and how counts change."""

from decimal import Decimal
from typing import NamedTuple, TypeAlias

from chappe.ids import WorkspaceId


class Tally(NamedTuple):
    """One number. ``journey`` is empty for what belongs to none, ``step`` and ``reason`` likewise.

    ``measure`` is a decision (``entered``, ``waiting`` …), a fate of a message (``sent``,
    ``clicked`` …), ``events`` with the event's name as reason, or ``revenue`` with the currency.
    """

    workspace: WorkspaceId
    journey: str
    version: int
    step: str
    measure: str
    reason: str


Counts: TypeAlias = dict[Tally, Decimal]
"""How many of each; revenue in major units of its currency."""

REVENUE = "revenue"
AMOUNT_MAX = Decimal(10) ** 15
PLACES = Decimal("0.0001")


def add(counts: Counts, tally: Tally, n: Decimal | int = 1) -> None:
    """Move one number."""
    counts[tally] = counts.get(tally, Decimal()) + n


def change(before: Counts, after: Counts) -> Counts:
    """What must be added to ``before`` to make it ``after``."""
    moved = {
        tally: after.get(tally, Decimal()) - before.get(tally, Decimal())
        for tally in {**before, **after}
    }
    return {tally: n for tally, n in moved.items() if n}


def amount_of(value: object) -> Decimal | None:
    """A money amount that can be summed; None for what is no plausible amount."""
    if not isinstance(value, str | int | float):
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    if not amount.is_finite() or abs(amount) >= AMOUNT_MAX:
        return None
    return amount.quantize(PLACES).normalize()


def plain(amount: Decimal) -> str:
    """``25.90``, never ``2.59E+1``: at least two places, as money is written."""
    text = f"{amount:f}"
    whole, _, cents = text.partition(".")
    cents = cents.rstrip("0")
    return f"{whole}.{cents:0<2}"
