"""What an adapter makes of a delivery, in the forms the tests compare."""

import datetime as dt
from typing import Any

from chappe.events import Event
from chappe_ingest.domain.normalised import Normalised
from tests.unit.ingest.shop import NOW


def names(found: Normalised) -> list[str]:
    return [fact.event.name for fact in found.facts]


def only(found: Normalised) -> Event:
    (fact,) = found.facts
    return fact.event


def named(found: Normalised, name: str) -> Event:
    return next(fact.event for fact in found.facts if fact.event.name == name)


def meanings(found: Normalised, name: str) -> list[str | None]:
    return [fact.meaning for fact in found.facts if fact.event.name == name]


def identifiers(found: Normalised) -> set[tuple[str, str]]:
    return {(each.type, each.value) for each in found.identifiers}


def money(amount: str, currency: str | None = "EUR") -> dict[str, Any]:
    return {"amount": amount, "currency": currency}


def epoch(minutes: float = 0) -> int:
    """Seconds since 1970, minutes from ``NOW``."""
    return int((NOW + dt.timedelta(minutes=minutes)).timestamp())
